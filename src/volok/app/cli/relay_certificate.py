"""The certificate that a relay makes for itself: one key for as long as its data folder lives.

It looks like what `openssl req -x509` makes, which is what most certificates that somebody made
by hand look like. People know the relay by the pin of its key, so neither the name in it nor its
dates mean anything.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from volok.relay.errors import RelayError
from volok.store.secure_files import write_private

KEY_FILE = "tls-key.pem"
CERTIFICATE_FILE = "tls-certificate.pem"

_LIFE = timedelta(days=3650)


def kept_certificate(data_dir: Path, name: str, now: Callable[[], float]) -> tuple[Path, Path]:
    """The files of the certificate and of its key, made once for this host name.

    `now` gives Unix seconds. The key file can be read by its owner alone. Raises RelayError.
    """
    certificate, key = data_dir / CERTIFICATE_FILE, data_dir / KEY_FILE
    try:
        if not (certificate.exists() and key.exists()):
            data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            pem, secret = make_certificate(name, datetime.fromtimestamp(now(), UTC))
            write_private(key, secret)
            write_private(certificate, pem)
    except OSError as error:
        raise RelayError("The data folder cannot be written. Choose another folder.") from error
    return certificate, key


def make_certificate(name: str, now: datetime) -> tuple[bytes, bytes]:
    """A self-signed certificate for a P-256 key, and the key, both in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + _LIFE)
        .add_extension(identifier, critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return certificate.public_bytes(serialization.Encoding.PEM), secret
