"""The ClientHello as a censor reads it: as much of it as the censor puts together.

Sources: RFC 8446 (TLS 1.3, sections 4.1.2 and 5.1), RFC 6066 (server name), RFC 7301 (ALPN),
RFC 8701 (GREASE), RFC 9849 (encrypted ClientHello). Boxes differ in what they put together: some
look at one TCP segment alone, some at one TLS record alone. What they have they read, so that a
name which lies whole in the first piece is seen although the hello is not.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256

from lab.packets import SEQUENCE

HANDSHAKE = 22
CLIENT_HELLO = 1

_NAME = 0
_GROUPS = 10
_SIGNATURES = 13
_ALPN = 16
_PADDING = 21
_PRE_SHARED_KEY = 41
_EARLY_DATA = 42
_VERSIONS = 43
_COOKIE = 44
_ECH = 0xFE0D

_PER_CONNECTION = frozenset({_NAME, _PADDING, _PRE_SHARED_KEY, _EARLY_DATA, _COOKIE})
"""Extensions that one client sends to one server and not to the next: no part of a fingerprint."""

_LONGEST_RECORD = (1 << 14) + 256
_MANY_CIPHERS = 15
"""Browsers offer 15 to 17 cipher suites, small libraries fewer."""


@dataclass(frozen=True, slots=True)
class Hello:
    """What a ClientHello shows to the border."""

    name: str | None
    """The server name (SNI) in lower case."""
    alpn: tuple[str, ...]
    """The protocols offered, in order."""
    has_ech: bool
    """Whether the extension of encrypted ClientHello is there; `name` is the outer name then."""
    fingerprint: str
    """Text that is the same for the same client as long as the hello is whole: version, number of
    ciphers and of extensions, first protocol, then hashes of the ciphers, and of the extensions and
    signature algorithms. Sorted and without GREASE, as browsers shuffle them; without name, padding
    and resumption, which differ from server to server."""
    browser_like: bool
    """Whether it has GREASE values or as many ciphers as a browser."""
    length: int
    """Bytes of the handshake message by its own account, its header of 4 included; 0 if unseen."""
    whole: bool = True
    """Whether all of it was read; else the rest was in pieces that this reader does not join."""


@dataclass(frozen=True, slots=True)
class NotTls:
    """What the client sent does not begin with a ClientHello.

    Also when the reader has to judge by fewer than 3 bytes, which could be anything.
    """


@dataclass(slots=True)
class HelloReader:
    """Reads the ClientHello of one connection from what the client sends, piece by piece."""

    reassemble_tcp: bool = True
    """False: only the first payload counts."""
    reassemble_records: bool = True
    """False: only the first TLS record counts."""
    limit: int = 32768
    """Bytes that are kept; when they are full, what is there is read as it is."""
    result: Hello | NotTls | None = None
    """None until there is enough; does not change after that."""
    _bytes: bytearray = field(default_factory=bytearray)
    _next: int | None = None
    _waiting: dict[int, bytes] = field(default_factory=dict)

    def opened(self, seq: int) -> None:
        """The client's SYN had this sequence number, so its bytes begin with the next one.

        Without this call, the first piece that comes is taken for the first piece of all.
        """
        self._next = (seq + 1) % SEQUENCE

    def add(self, payload: bytes, seq: int | None = None) -> None:
        """Take the client's next bytes.

        With `seq` the pieces are put in order: those that come again are dropped, those that
        come early wait, both only if `reassemble_tcp` is set. Without it they
        have to come in order.
        """
        if self.result is not None or not payload:
            return
        if seq is not None and self.reassemble_tcp:
            self._order(payload, seq)
        else:
            self._bytes += payload
        full = not self.reassemble_tcp or len(self._bytes) >= self.limit
        if self._bytes:
            self.result = _read(bytes(self._bytes), self.reassemble_records, full)
        if self.result is not None:
            self._bytes.clear()
            self._waiting.clear()

    def _order(self, payload: bytes, seq: int) -> None:
        if self._next is None:
            self._next = seq
        ahead = (seq - self._next) % SEQUENCE
        before = len(self._bytes)
        if ahead <= self.limit:
            self._wait(before + ahead, payload)
        elif (late := SEQUENCE - ahead) < len(payload):
            self._wait(before, payload[late:])
        for at in sorted(self._waiting):
            if at > len(self._bytes):
                break
            self._bytes += self._waiting.pop(at)[len(self._bytes) - at :]
        self._next = (self._next + len(self._bytes) - before) % SEQUENCE
        # What waits is bounded, too: a client that leaves a gap open is none that we can read.
        while sum(map(len, self._waiting.values())) > self.limit:
            self._waiting.popitem()

    def _wait(self, at: int, payload: bytes) -> None:
        if len(payload) > len(self._waiting.get(at, b"")):
            self._waiting[at] = payload


class _Cursor:
    """Takes fields from bytes that may be cut short anywhere; `short` says that they were."""

    __slots__ = ("_at", "_data", "short")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self.short = False

    def left(self) -> bool:
        return self._at < len(self._data)

    def take(self, count: int) -> bytes:
        taken = self._data[self._at : self._at + count]
        self._at += count
        self.short = self.short or len(taken) < count
        return taken

    def number(self, count: int) -> int:
        taken = self.take(count)
        return int.from_bytes(taken, "big") if len(taken) == count else 0

    def vector(self, count: int) -> bytes:
        """Bytes that follow their length, which has `count` bytes."""
        return self.take(self.number(count))


@dataclass(slots=True)
class _Fields:
    """What was found in a hello so far."""

    length: int = 0
    version: int = 0
    ciphers: tuple[int, ...] = ()
    extensions: list[int] = field(default_factory=list)
    signatures: tuple[int, ...] = ()
    grease: bool = False
    name: str | None = None
    alpn: tuple[str, ...] = ()


def _read(data: bytes, all_records: bool, full: bool) -> Hello | NotTls | None:
    """What the client's first bytes are; None if more are needed and will come (not `full`)."""
    message = bytearray()
    at = 0
    while at < len(data):
        head = data[at : at + 5]
        if not at and not _may_begin_hello(head):
            return NotTls()
        if len(head) < 5:
            break
        size = int.from_bytes(head[3:5], "big")
        if at and (head[0] != HANDSHAKE or size > _LONGEST_RECORD):
            full = True
            break
        message += data[at + 5 : at + 5 + size]
        at += 5 + size
        if message and message[0] != CLIENT_HELLO:
            return NotTls()
        if _is_whole(message):
            break
        if not all_records and at <= len(data):
            full = True
            break
    if full or _is_whole(message):
        # Fewer bytes than a record's type and version could be anything.
        return NotTls() if len(data) < 3 else _hello(bytes(message))
    return None


def _may_begin_hello(head: bytes) -> bool:
    """Whether the first 1 to 5 bytes may be those of a handshake record."""
    return (
        head[0] == HANDSHAKE
        and head[1:2] in {b"", b"\x03"}
        and (len(head) < 3 or head[2] <= 4)
        and (len(head) < 5 or int.from_bytes(head[3:5], "big") <= _LONGEST_RECORD)
    )


def _is_whole(message: bytes | bytearray) -> bool:
    return len(message) >= 4 and len(message) >= 4 + int.from_bytes(message[1:4], "big")


def _hello(message: bytes) -> Hello:
    """Read a ClientHello, also one that is cut short or malformed."""
    found = _Fields()
    cursor = _Cursor(message)
    cursor.take(1)
    size = cursor.number(3)
    found.length = 0 if cursor.short else size + 4
    body = _Cursor(message[4 : found.length])
    found.version = body.number(2)
    body.take(32)
    body.vector(1)
    ciphers = _numbers(body.vector(2))
    body.vector(1)
    extensions = _Cursor(body.vector(2)) if body.left() else _Cursor(b"")
    while extensions.left():
        kind = extensions.number(2)
        _extension(found, kind, _Cursor(extensions.vector(2)))
    found.ciphers = tuple(cipher for cipher in ciphers if not _is_grease(cipher))
    found.grease = found.grease or len(found.ciphers) < len(ciphers)
    return Hello(
        name=found.name,
        alpn=found.alpn,
        has_ech=_ECH in found.extensions,
        fingerprint=_fingerprint(found),
        browser_like=found.grease or len(found.ciphers) >= _MANY_CIPHERS,
        length=found.length,
        whole=_is_whole(message),
    )


def _extension(found: _Fields, kind: int, data: _Cursor) -> None:
    if _is_grease(kind):
        found.grease = True
        return
    found.extensions.append(kind)
    if kind == _NAME:
        names = _Cursor(data.vector(2))
        name_type, name = names.number(1), names.vector(2)
        # Half a name is no name: a list would not match it either.
        if not (name_type or names.short or data.short) and name:
            found.name = name.decode("ascii", "backslashreplace").lower().rstrip(".")
    elif kind == _ALPN:
        protocols = _Cursor(data.vector(2))
        while protocols.left():
            protocol = protocols.vector(1)
            if len(protocol) == 2 and _is_grease(int.from_bytes(protocol, "big")):
                found.grease = True
            else:
                found.alpn += (protocol.decode("ascii", "backslashreplace"),)
    elif kind == _SIGNATURES:
        found.signatures = _numbers(data.vector(2))
    elif kind == _GROUPS:
        found.grease = found.grease or any(map(_is_grease, _numbers(data.vector(2))))
    elif kind == _VERSIONS:
        known = [version for version in _numbers(data.vector(1)) if not _is_grease(version)]
        found.version = max(known, default=found.version)


def _numbers(data: bytes) -> tuple[int, ...]:
    """Numbers of two bytes each; an odd byte at the end is dropped."""
    return tuple(int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data) - 1, 2))


def _is_grease(number: int) -> bool:
    return number & 0x0F0F == 0x0A0A and number >> 8 == number & 0xFF


def _fingerprint(found: _Fields) -> str:
    kept = sorted(set(found.extensions) - _PER_CONNECTION)
    first = found.alpn[0] if found.alpn else "-"
    return (
        f"{found.version:04x}c{len(found.ciphers):02}e{len(kept):02}{first}"
        f"_{_digest(sorted(found.ciphers))}_{_digest([*kept, 0, *found.signatures])}"
    )


def _digest(numbers: list[int]) -> str:
    text = ",".join(f"{number:04x}" for number in numbers)
    return sha256(text.encode()).hexdigest()[:12]
