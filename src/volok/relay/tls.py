"""TLS of a relay that needs no web server in front of it: small records, and nothing that stands
out. The certificate can be replaced while the relay runs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from collections.abc import Callable
from pathlib import Path

from volok.model.relay_link import InvalidCertificate, key_pin
from volok.paths.shape import RECORD_SIZE, small_records
from volok.relay.errors import RelayError

_LOOK_SECONDS = 10.0
"""How often the files of a certificate are looked at."""

_Marks = tuple[tuple[int, ...], ...]


def server_context(certificate: Path, key: Path, record_size: int = RECORD_SIZE) -> ssl.SSLContext:
    """The context for a certificate (a chain) and its key, both in PEM.

    Records are at most `record_size` bytes of content; no session tickets (they cost every
    connection half a packet), no protocol but HTTP/1.1. Raises RelayError.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _load(context, certificate, key)
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


class Certificates:
    """The context of a relay whose files may change: connections made after a change get the new
    certificate, those that are open keep theirs. A file that is no good changes nothing."""

    def __init__(
        self, certificate: Path, key: Path, changed: Callable[[], None] | None = None
    ) -> None:
        """`changed` is called after new files took effect. Raises RelayError."""
        self._files = certificate, key
        self._changed = changed
        self._marks = self._look()
        self.context = server_context(certificate, key)

    def reload(self) -> bool:
        """Read the files again, whether or not they changed; returns whether they were good."""
        marks = self._look()
        try:
            # Tried elsewhere first: a context that takes half of a pair can serve nobody.
            server_context(*self._files)
            _load(self.context, *self._files)
        except RelayError:
            return False
        self._marks = marks
        if self._changed is not None:
            self._changed()
        return True

    def reload_if_changed(self) -> bool:
        """Read the files again if they changed since; returns whether new ones took effect.

        Files that are no good are tried again the next time: the second of a pair may be missing.
        """
        return self._look() != self._marks and self.reload()

    async def watch(self, seconds: float = _LOOK_SECONDS) -> None:
        """Look for changes until cancelled."""
        while True:
            await asyncio.sleep(seconds)
            # Not in a thread: a context must not change while the loop makes a connection of it.
            self.reload_if_changed()

    def _look(self) -> _Marks:
        return tuple(_mark(path) for path in self._files)


def _mark(path: Path) -> tuple[int, ...]:
    with contextlib.suppress(OSError):
        found = os.stat(path)
        return found.st_ino, found.st_size, found.st_mtime_ns
    return ()


def _load(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    try:
        # A key under a passphrase must not ask for it on a terminal that nobody watches.
        context.load_cert_chain(certificate, key, password="")
    except (OSError, ssl.SSLError, ValueError) as error:
        raise RelayError(
            "The certificate and its key cannot be read, or do not belong together. "
            "Both have to be files in PEM, the key without a passphrase."
        ) from error
