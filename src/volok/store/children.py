"""Processes of ours that work for another one, each over a socket.

Messages are `marshal` values behind their length: both ends are this program, run by the same
interpreter, and what people wrote is bytes in them. A child ends when its socket ends, however its
parent ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import marshal
import select
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from threading import Lock
from typing import Any, cast

_LENGTH = struct.Struct("!I")
_AT_ONCE = 1 << 18
_NEW_OBJECTS = 50_000
"""New objects after which a child looks for cycles among them."""

Received = Callable[[Any], None]
"""Takes a message."""


class Messages:
    """Takes bytes as they come and gives whole messages."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, data: bytes) -> None:
        """More bytes."""
        self._bytes += data

    def __iter__(self) -> Iterator[Any]:
        """The messages that are complete; each is given once."""
        while len(self._bytes) >= _LENGTH.size:
            end = _LENGTH.size + _LENGTH.unpack_from(self._bytes)[0]
            if len(self._bytes) < end:
                return
            message = bytes(self._bytes[_LENGTH.size : end])
            del self._bytes[:end]
            yield marshal.loads(message)  # noqa: S302 (from ourselves)


def packed(message: Any) -> bytes:
    """A message as it is sent."""
    text = marshal.dumps(message)
    return _LENGTH.pack(len(text)) + text


class Parent:
    """The parent, as a child sees it."""

    def __init__(self, link: socket.socket) -> None:
        self.has_ended = False
        """Whether no more will come."""
        self._link = link
        self._messages = Messages()
        self._saying = Lock()
        self._readable = select.poll()
        self._readable.register(link, select.POLLIN)

    def messages(self) -> Iterator[Any]:
        """Those that have come whole; each is given once."""
        return iter(self._messages)

    def wait(self, seconds: float | None) -> bool:
        """Wait for more bytes and take them in; False when nothing came in so many seconds."""
        if not self._readable.poll(None if seconds is None else 1000 * seconds):
            return False
        try:
            data = self._link.recv(_AT_ONCE)
        except OSError:
            data = b""
        self._messages.feed(data)
        self.has_ended = not data
        return True

    def say(self, message: Any) -> None:
        """Send a message; to nobody when the parent has ended. Any thread may call it."""
        with self._saying, contextlib.suppress(OSError):
            self._link.sendall(packed(message))


def parent_of(arguments: list[str]) -> Parent:
    """Begin to be a child; `arguments` are those of its command."""
    # A terminal and a supervisor send these to the whole group; the parent decides.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS)
    return Parent(socket.socket(fileno=int(arguments[1])))


class Child(asyncio.Protocol):
    """A child, as its parent sees it."""

    def __init__(
        self, process: subprocess.Popen[bytes], received: Received, lost: Callable[[], None]
    ) -> None:
        """Use `begin`."""
        self._process = process
        self._received = received
        self._on_lost = lost
        self._messages = Messages()
        self._transport: asyncio.Transport
        self._lost = asyncio.Event()

    @classmethod
    async def begin(cls, module: str, received: Received, lost: Callable[[], None]) -> Child:
        """Start `python -m MODULE DESCRIPTOR`; `lost` is called at its end. Raises OSError."""
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.to_thread(_spawn, module, theirs)
        _, child = await asyncio.get_running_loop().create_unix_connection(
            lambda: cls(process, received, lost), sock=ours
        )
        return child

    @property
    def pid(self) -> int:
        """The number of its process."""
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        """Whether nothing will come any more."""
        return self._lost.is_set()

    def say(self, message: Any) -> None:
        """Send a message; it is lost when the child has ended."""
        self._transport.write(packed(message))

    async def end(self) -> None:
        """Let the child finish what it was told, and wait for its end."""
        if not self._transport.is_closing():
            self._transport.write_eof()
        await self._lost.wait()
        await asyncio.to_thread(self._process.wait)

    # What `asyncio.Protocol` promises.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are no subclass

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        self._messages.feed(data)
        for message in self._messages:
            self._received(message)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self._lost.set()
        self._on_lost()


def _spawn(module: str, link: socket.socket) -> subprocess.Popen[bytes]:
    number = link.fileno()
    return subprocess.Popen(  # noqa: S603 (this program)
        [sys.executable, "-m", module, str(number)],
        pass_fds=(number,),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
