"""Bodies of requests as they come in, and how many may come in at once.

1. A body may be as slow as a person's worst line, and no slower: else a byte a minute would hold a
   place for ever.
2. When every place is taken, the slowest body makes room for the next, unless all of them come in
   well.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator

from starlette.requests import Request

IDLE_SECONDS = 60.0
"""How long a body may stand still."""
SLOWEST = 512
"""Bytes per second below which a body is cut off, once a minute is over."""
_GOOD = 16 * 1024
"""Bytes per second from which a body need not make room."""
_SETTLED_SECONDS = 5.0
"""How long a body is given to get up to speed before it may have to make room."""


class BodyTooLong(ValueError):
    """The body is longer than is taken here."""


class NoRoom(Exception):
    """Too much is coming in at the moment."""


class Coming:
    """One body on its way in."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._got = 0
        self._unwanted = False
        self._waiting: asyncio.Timeout | None = None

    async def through(self, pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        """The same pieces. Raises TimeoutError when they are too slow or have to make room."""
        while True:
            patience = self._began + IDLE_SECONDS + self._got / SLOWEST - self._loop.time()
            if self._unwanted:
                raise TimeoutError
            async with asyncio.timeout(min(IDLE_SECONDS, patience)) as waiting:
                self._waiting = waiting
                try:
                    piece = await anext(pieces)
                except StopAsyncIteration:
                    return
                finally:
                    self._waiting = None
            self._got += len(piece)
            yield piece

    def rate(self) -> float:
        """Bytes per second so far; endless while it is too early to tell."""
        age = self._loop.time() - self._began
        return self._got / age if age > _SETTLED_SECONDS else float("inf")

    def cut(self) -> None:
        """Let `through` end with TimeoutError."""
        self._unwanted = True
        if self._waiting is not None:
            self._waiting.reschedule(self._loop.time())


class Room:
    """The places for bodies that come in at once."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._coming: set[Coming] = set()
        self.cuts = 0
        """How many had to make room."""

    @contextlib.contextmanager
    def place(self) -> Iterator[Coming]:
        """A place for as long as the block runs. Raises NoRoom."""
        if len(self._coming) >= self._most:
            self._make_room()
        coming = Coming()
        self._coming.add(coming)
        try:
            yield coming
        finally:
            self._coming.discard(coming)

    def _make_room(self) -> None:
        slowest = min(self._coming, key=Coming.rate, default=None)
        if slowest is None or slowest.rate() >= _GOOD:
            raise NoRoom
        self.cuts += 1
        self._coming.discard(slowest)
        slowest.cut()


async def read_body(request: Request, most: int) -> bytes:
    """A short body as a whole. Raises BodyTooLong past `most` bytes, TimeoutError, and starlette's
    ClientDisconnect."""
    body = bytearray()
    async for piece in Coming().through(request.stream()):
        body += piece
        if len(body) > most:
            raise BodyTooLong
    return bytes(body)
