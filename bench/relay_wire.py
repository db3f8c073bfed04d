"""Websockets by hand (RFC 6455), as cheap as Python has them: the relay shall be what is slow.

Frames are built before the measuring starts, with a mask of zeros, and written many at a time.
What comes back is not decoded: patterns are counted in the bytes as they arrive.
"""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import Callable
from typing import cast
from urllib.parse import urlsplit

Received = Callable[[bytes], None]

_PING, _PONG = 0x89, 0x8A
_SECONDS = 20.0


class Refused(Exception):
    """The relay did not open the websocket."""


def frame(text: bytes) -> bytes:
    """A text frame of a client. The mask is zero, so that the payload stays as it is."""
    return _head(0x81, len(text)) + text


class Pattern:
    """How often some bytes occur in a stream that comes in pieces."""

    def __init__(self, wanted: bytes) -> None:
        self._wanted = wanted
        self._rest = b""

    def count(self, piece: bytes) -> int:
        """How often they ended in this piece."""
        keep = len(self._wanted) - 1
        found = piece.count(self._wanted)
        found += (self._rest + piece[:keep]).count(self._wanted)
        self._rest = (self._rest + piece)[-keep:] if len(piece) < keep else piece[-keep:]
        return found


class Link(asyncio.Protocol):
    """One websocket. `received` gets the bytes as they come, heads of frames included."""

    def __init__(self, host: str, path: str) -> None:
        self.transport: asyncio.Transport
        self.received: Received = _ignore
        self.open: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.lost = asyncio.Event()
        self._request = (
            f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\n\r\n"
        ).encode()
        self._answer: bytes | None = b""

    def write(self, data: bytes) -> None:
        """Send frames."""
        if not self.transport.is_closing():
            self.transport.write(data)

    def close(self) -> None:
        """Take the connection down."""
        self.transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's are no subclass
        self.transport.write(self._request)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()
        if not self.open.done():
            self.open.set_exception(Refused("the connection was closed"))

    def data_received(self, data: bytes) -> None:
        if self._answer is not None:
            self._answer += data
            head, found, data = self._answer.partition(b"\r\n\r\n")
            if not found:
                return
            self._answer = None
            if self.open.done():
                return
            if b" 101 " not in head[:32]:
                self.open.set_exception(Refused(head[:64].decode("latin-1")))
                return
            self.open.set_result(None)
        if data and data[0] == _PING and len(data) == 2 + (data[1] & 0x7F):
            # Seen where nothing else is said: who is silent for a minute has to answer.
            self.write(_head(_PONG, len(data) - 2) + data[2:])
        elif data:
            self.received(data)


async def connect(url: str) -> Link:
    """Open a websocket. Raises Refused, OSError, TimeoutError."""
    parts = urlsplit(url)
    host, port = parts.hostname or "127.0.0.1", parts.port or 80
    async with asyncio.timeout(_SECONDS):
        _, link = await asyncio.get_running_loop().create_connection(
            lambda: Link(f"{host}:{port}", parts.path or "/"), host, port
        )
        await link.open
    return link


def _ignore(_data: bytes) -> None:
    pass


def _head(opcode: int, length: int) -> bytes:
    if length < 126:
        return bytes([opcode, 0x80 | length]) + bytes(4)
    if length < 1 << 16:
        return bytes([opcode, 0xFE]) + length.to_bytes(2, "big") + bytes(4)
    return bytes([opcode, 0xFF]) + length.to_bytes(8, "big") + bytes(4)
