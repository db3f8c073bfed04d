"""HTTP requests over many paths: one candidate after the other, until one answers.

1. A body that is being read can be sent once only; after its first piece there is no second try.
2. No answer, no next piece in time: the path is blamed. Other errors may be the relay's: it may
   speak no HTTP at all, so they blame nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from volok.paths.choice import Place
from volok.paths.ground import NO_PATH, Candidate, Ground
from volok.paths.live import PathError, Response
from volok.paths.watch import FROZEN


@dataclass(frozen=True, slots=True)
class AskingSettings:
    """How long an HTTP request may do nothing. Times are in seconds."""

    head_wait: float = 8.0
    """For the head of an answer, while nothing of a body is being sent."""
    body_wait: float = 8.0
    """For the next piece of a body, in either direction."""
    slowest: float = 8000.0
    """Bytes per second that even a slow link carries: what was sent may be on its way so long."""
    handshake_share: float = 3.0
    """For which a request counts as a handshake; most are over by then."""


class Asking:
    """Makes requests over candidates."""

    def __init__(self, ground: Ground, settings: AskingSettings) -> None:
        self._ground = ground
        self._settings = settings

    @asynccontextmanager
    async def request(
        self,
        candidates: Sequence[Candidate],
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: AsyncIterator[bytes] | bytes | None,
    ) -> AsyncGenerator[Response, None]:
        """See `LivePath.request`."""
        place = self._ground.place(url)
        by_name = {one.name: one for one in candidates}
        options = [one.option for one in candidates]
        problem = PathError(NO_PATH)
        for step in self._ground.memory.steps(place, options, self._ground.now()):
            upload = None if body is None or isinstance(body, bytes) else _Upload(body)
            async with AsyncExitStack() as stack:
                path = by_name[step.name].path
                try:
                    asking = path.request(method, url, headers, upload or body)
                    response = await self._head(stack, asking, upload)
                except PathError as error:
                    problem = error
                except TimeoutError:
                    problem = PathError(FROZEN)
                    self._ground.blame(place, step.name)
                else:
                    pieces = self._pieces(place, step.name, response.body)
                    yield Response(response.status, response.headers, pieces)
                    return
            if upload is not None and upload.begun:
                break
        raise problem

    async def _head(
        self,
        stack: AsyncExitStack,
        asking: AbstractAsyncContextManager[Response],
        upload: _Upload | None,
    ) -> Response:
        settings = self._settings
        async with (
            self._ground.turn(settings.handshake_share),
            asyncio.timeout(settings.head_wait) as limit,
        ):
            if upload is not None:
                upload.watch(limit, settings)
            return await stack.enter_async_context(asking)

    async def _pieces(
        self, place: Place, name: str, body: AsyncIterator[bytes]
    ) -> AsyncIterator[bytes]:
        while True:
            try:
                async with asyncio.timeout(self._settings.body_wait):
                    piece = await anext(body, None)
            except TimeoutError as error:
                self._ground.blame(place, name)
                raise PathError(FROZEN) from error
            if piece is None:
                return
            yield piece


class _Upload:
    """A body on its way up; each piece that is asked for puts the time limit off."""

    def __init__(self, body: AsyncIterator[bytes]) -> None:
        self._body = body
        self._limit: asyncio.Timeout | None = None
        self._settings = AskingSettings()
        self._size = 0
        self.begun = False

    def watch(self, limit: asyncio.Timeout, settings: AskingSettings) -> None:
        """Put this limit off."""
        self._limit, self._settings = limit, settings

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        self.begun = True
        if self._limit is not None and not self._limit.expired():
            # The system may hold all that was handed over, while a slow link carries it.
            wait = self._settings.body_wait + self._size / self._settings.slowest
            self._limit.reschedule(asyncio.get_running_loop().time() + wait)
        piece = await anext(self._body)
        self._size += len(piece)
        return piece
