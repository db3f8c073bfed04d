"""Shaped TLS: what the border sees of a handshake, and how large our records are.

1. The ClientHello may be cut into two TLS records, its first bytes may travel in a TCP segment of
   their own, and it names the relay, a cover name, or nobody.
2. Every record we write is small: some borders count packets, and a full record that is cut off
   is lost whole.
3. A relay with a pinned key is known by that alone; any other by its certificate, which has to
   hold its name whatever name the hello shows. Both are checked before the first byte of HTTP; an
   address that was found by name is proved by that (`volok.paths.names`).

The hooks are those of the `ssl` module (`SSLContext.wrap_bio` and `sslobject_class`), so asyncio
and uvloop behave alike, and whatever runs over them.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Any, cast

from volok.model.relay_link import RelayPin
from volok.paths.names import Dialled

RECORD_SIZE = 1278
"""Bytes of content with which a whole record of TLS 1.3 takes 1,300 bytes."""

Dial = Callable[[str, int], Awaitable[socket.socket]]
"""Opens a connected, non-blocking stream socket to a host and port. Raises OSError."""

_HANDSHAKE = 22
_HEADER = struct.Struct(">BHH")


class Sni(Enum):
    """Which host name the ClientHello shows. For an address there is never one (RFC 6066)."""

    NONE = "none"
    NAME = "name"
    """The relay's own."""
    COVER = "cover"
    """The cover name in the relay's address; without one, the relay's own."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How a connection looks from outside."""

    sni: Sni = Sni.COVER
    """Which host name the ClientHello shows."""
    cut_record: int | None = None
    """Bytes of the ClientHello in the first of two TLS records; None for a single record."""
    cut_segment: int | None = None
    """Bytes in the first TCP segment; the rest follows in others. None for one segment."""
    record_size: int = RECORD_SIZE
    """The most bytes of content in a TLS record that we write."""
    alpn: tuple[str, ...] = ("http/1.1",)
    """Protocols that the ClientHello offers (RFC 7301); empty for no such extension."""


def split_hello(data: bytes, at: int) -> bytes:
    """Cut the first TLS record in `data` into two, with `at` bytes of content in the first.

    What is not a handshake record longer than that comes back as it is.
    """
    if len(data) < _HEADER.size:
        return data
    kind, version, size = _HEADER.unpack_from(data)
    body, rest = data[_HEADER.size : _HEADER.size + size], data[_HEADER.size + size :]
    if kind != _HANDSHAKE or not 0 < at < len(body):
        return data
    parts = (body[:at], body[at:])
    return b"".join(_HEADER.pack(kind, version, len(part)) + part for part in parts) + rest


def small_records(size: int = RECORD_SIZE) -> type[ssl.SSLObject]:
    """A value for `SSLContext.sslobject_class` that writes at most `size` bytes per record.

    `write` then takes a part of what it is given and says so; asyncio and uvloop write the rest.
    """

    class SmallRecords(ssl.SSLObject):
        def write(self, data: Any) -> int:
            return super().write(memoryview(data)[:size])

    return SmallRecords


def certificate_names(certificate: dict[str, Any], host: str) -> bool:
    """Whether a certificate, as `SSLObject.getpeercert` decodes it, is for this host.

    Only subjectAltName counts; `*` stands for one whole leftmost label (RFC 9525, section 6).
    """
    wanted = host.lower().removesuffix(".")
    address = _address(wanted)
    for kind, value in certificate.get("subjectAltName", ()):
        if address is not None:
            if kind == "IP Address" and _address(value) == address:
                return True
        elif kind == "DNS":
            name = value.lower()
            if name == wanted or (
                name.startswith("*.")
                and name.count(".") > 1
                and wanted.partition(".")[0]
                and wanted.partition(".")[2] == name[2:]
            ):
                return True
    return False


class ShapedTls:
    """Makes TLS connections of one shape."""

    def __init__(self, shape: Shape, authorities: ssl.SSLContext | None = None) -> None:
        """`authorities` holds the certificate authorities that relays without a pin are verified
        against; by default those of the system."""
        self._shape = shape
        self._pinning = self._context()
        self._pinning.verify_mode = ssl.CERT_NONE
        self._authorities = authorities

    def handshake(
        self, connection: socket.socket, host: str, pin: RelayPin | None
    ) -> ssl.SSLContext:
        """What asyncio is to be given as `ssl`, with an empty `server_hostname`, to make TLS on
        this connected socket, once. The handshake raises ssl.SSLCertVerificationError when this
        is not the relay that is meant."""
        context = self._verifying if pin is None else self._pinning
        start = _Handshake(context, self._shape, connection, host, pin)
        # Nothing but `wrap_bio` of a context is ever used by the event loops.
        return cast(ssl.SSLContext, start)

    @cached_property
    def _verifying(self) -> ssl.SSLContext:
        # Made when it is needed first: reading the authorities takes a while.
        context = self._context()
        if self._authorities is None:
            context.load_default_certs()
        elif known := self._authorities.get_ca_certs(binary_form=True):
            context.load_verify_locations(cadata=b"".join(known))
        return context

    def _context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False  # `certificate_names` does it, whatever name is shown
        if self._shape.alpn:
            context.set_alpn_protocols(list(self._shape.alpn))
        context.sslobject_class = _ShapedObject
        return context


def shown_name(shape: Shape, host: str, pin: RelayPin | None) -> str | None:
    """The host name that the ClientHello shows; None for none."""
    if shape.sni is Sni.NONE:
        return None
    if shape.sni is Sni.COVER and pin is not None and pin.sni:
        return pin.sni
    return None if _address(host) is not None else host


class _Handshake:
    """The start of one connection; stands in for a context."""

    def __init__(
        self,
        context: ssl.SSLContext,
        shape: Shape,
        connection: socket.socket,
        host: str,
        pin: RelayPin | None,
    ) -> None:
        self._context = context
        self._connection = connection
        self._host = host
        self._pin = pin
        self.shape = shape
        self.outgoing = ssl.MemoryBIO()
        self.hello_gone = False

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        self.outgoing = outgoing
        name = shown_name(self.shape, self._host, self._pin)
        made = self._context.wrap_bio(incoming, outgoing, server_side, name, session)
        cast(_ShapedObject, made).start = self
        return made

    def cut(self) -> None:
        """Give the ClientHello, which lies in `outgoing` now, its shape."""
        if self.hello_gone or not self.outgoing.pending:
            return
        self.hello_gone = True
        hello = self.outgoing.read()
        if self.shape.cut_record is not None:
            hello = split_hello(hello, self.shape.cut_record)
        if self.shape.cut_segment is not None and self.shape.cut_segment < len(hello):
            # Sent past the event loop, which has sent nothing yet: what it sends next is another
            # segment. A socket that takes nothing costs the cut, not the connection.
            with suppress(BlockingIOError):
                hello = hello[self._connection.send(hello[: self.shape.cut_segment]) :]
        self.outgoing.write(hello)

    def check(self, tls: ssl.SSLObject) -> None:
        """Raises ssl.SSLCertVerificationError for a relay that is not the one meant."""
        if self._pin is not None:
            known = self._pin.accepts(tls.getpeercert(True) or b"")
        else:
            known = certificate_names(cast("dict[str, Any]", tls.getpeercert() or {}), self._host)
        if not known:
            raise ssl.SSLCertVerificationError("The certificate is not this relay's.")
        if isinstance(self._connection, Dialled):
            self._connection.proved()


class _ShapedObject(ssl.SSLObject):
    start: _Handshake

    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        finally:
            self.start.cut()
        self.start.check(self)

    def write(self, data: Any) -> int:
        return super().write(memoryview(data)[: self.start.shape.record_size])


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
