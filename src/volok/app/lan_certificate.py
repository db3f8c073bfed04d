"""The certificate of a listener on the local network: made in memory, used for a while, gone."""

from __future__ import annotations

import os
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_LIFE = timedelta(days=365)


def throwaway_context(name: str, now: float) -> tuple[ssl.SSLContext, bytes]:
    """A context for a listener, and its certificate in DER.

    `name` is put into it; `now` (Unix seconds) shows in whole days alone, so that the clock of this
    computer does not. The key never touches a disk where the system can keep files in memory.
    Raises OSError.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    today = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - timedelta(days=1))
        .not_valid_after(today + _LIFE)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0
    with _in_memory(secret + certificate.public_bytes(serialization.Encoding.PEM)) as path:
        context.load_cert_chain(path)
    return context, certificate.public_bytes(serialization.Encoding.DER)


@contextmanager
def _in_memory(data: bytes) -> Iterator[Path]:
    """A file that holds `data` for the moment: ssl reads certificates from files alone."""
    create = getattr(os, "memfd_create", None)
    if create is not None:
        with os.fdopen(create("certificate"), "wb") as file:
            file.write(data)
            file.flush()
            yield Path(f"/proc/self/fd/{file.fileno()}")
        return
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        yield Path(file.name)
