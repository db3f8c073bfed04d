"""TLS of a relay that needs no web server in front of it: small records, and nothing that stands
out."""

from __future__ import annotations

import ssl
from pathlib import Path

from volok.model.relay_link import InvalidCertificate, key_pin
from volok.paths.shape import RECORD_SIZE, small_records
from volok.relay.errors import RelayError


def server_context(certificate: Path, key: Path, record_size: int = RECORD_SIZE) -> ssl.SSLContext:
    """The context for a certificate (a chain) and its key, both in PEM.

    Records are at most `record_size` bytes of content; no session tickets (they cost every
    connection half a packet), no protocol but HTTP/1.1. Raises RelayError.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise RelayError(
            "The certificate and its key cannot be read, or do not belong together. "
            "Both have to be files in PEM."
        ) from error
    context.sslobject_class = small_records(record_size)
    context.num_tickets = 0
    context.set_alpn_protocols(["http/1.1"])
    return context


def file_pin(certificate: Path) -> bytes:
    """The pin of the key in the first certificate of a PEM file. Raises RelayError."""
    try:
        text = certificate.read_text(encoding="ascii")
        end = text.index(ssl.PEM_FOOTER) + len(ssl.PEM_FOOTER)
        begin = text.index(ssl.PEM_HEADER)
        return key_pin(ssl.PEM_cert_to_DER_cert(text[begin:end]))
    except (OSError, ValueError, InvalidCertificate) as error:
        raise RelayError("The certificate cannot be read. It has to be a file in PEM.") from error
