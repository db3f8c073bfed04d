"""HTTP requests over many paths: one candidate after the other, until one answers.

1. A body that is being read can be sent once only; after its first piece there is no second try.
2. No answer, no next piece in time: the path is blamed. Other errors may be the relay's: it may
   speak no HTTP at all, so they blame nobody.
3. What froze with a body on its way tells how much this network lets through, and whoever asked may
   go on at once with less. From then on each request has a connection of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from volok.paths.choice import Place
from volok.paths.ground import NO_PATH, Candidate, Ground
from volok.paths.live import Frozen, PathError, Response, Resumable
from volok.paths.watch import FROZEN


@dataclass(frozen=True, slots=True)
class AskingSettings:
    """How long an HTTP request may do nothing. Times are in seconds."""

    head_wait: float = 8.0
    """For the head of an answer, while nothing of a body is being sent."""
    latency_factor: float = 20.0
    """For it at least so many times the path's usual round trip."""
    body_wait: float = 8.0
    """For the next piece of a body, in either direction."""
    slowest: float = 8000.0
    """Bytes per second that even a slow link carries: what was sent may be on its way so long."""
    next_wait: float = 3.0
    """For the next piece of a body, where connections are known to be cut."""
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
            tried = _Tried(self._ground, place, step.name, _length(headers, body))
            async with AsyncExitStack() as stack:
                path = by_name[step.name].path
                try:
                    await path.prepare(url)
                    asking = path.request(method, url, tried.fitted(headers), upload or body)
                    latency = path.capabilities.latency
                    response = await self._head(stack, asking, upload, latency)
                except Frozen:
                    problem = tried.froze(tried.sent, 0)
                except PathError as error:
                    problem = error
                except TimeoutError:
                    begun = upload is not None and upload.begun
                    problem = tried.froze(tried.sent, 0, opened=begun and tried.is_large)
                else:
                    tried.passed(tried.sent)
                    pieces = self._pieces(tried, response)
                    yield Response(response.status, response.headers, pieces)
                    return
            if isinstance(problem, Resumable) or (upload is not None and upload.begun):
                break
        raise problem

    async def _head(
        self,
        stack: AsyncExitStack,
        asking: AbstractAsyncContextManager[Response],
        upload: _Upload | None,
        latency: float,
    ) -> Response:
        settings = self._settings
        wait = max(settings.head_wait, settings.latency_factor * latency)
        async with (
            self._ground.turn(settings.handshake_share),
            asyncio.timeout(wait) as limit,
        ):
            if upload is not None:
                upload.watch(limit, settings)
            return await stack.enter_async_context(asking)

    async def _pieces(self, tried: _Tried, response: Response) -> AsyncIterator[bytes]:
        wait = self._settings.body_wait
        if tried.room is not None:
            wait = min(wait, self._settings.next_wait)
        came = 0
        while True:
            try:
                async with asyncio.timeout(wait):
                    piece = await anext(response.body, None)
            except (TimeoutError, Frozen) as error:
                whole = _length(response.headers, None)
                raise tried.froze(max(whole, came + 1), came) from error
            if piece is None:
                tried.passed(came)
                return
            came += len(piece)
            yield piece


class _Tried:
    """One request over one path, and what is to be learned of it."""

    def __init__(self, ground: Ground, place: Place, name: str, sent: int) -> None:
        self._ground = ground
        self._place = place
        self._name = name
        self._allowance = ground.allowances.known(place, name)
        self.sent = sent
        """Bytes of the request's body."""
        self.room = ground.allowances.sizes.room(place, name, self._allowance, ground.now())

    @property
    def is_large(self) -> bool:
        """Whether its body may have been too much for a connection; a little one never is."""
        return self.sent > self._ground.allowances.sizes.settings.first

    def fitted(self, headers: Mapping[str, str]) -> Mapping[str, str]:
        """The headers; where connections are cut, no other request shares this one."""
        return headers if self.room is None else {**headers, "connection": "close"}

    def passed(self, size: int) -> None:
        """A body of this size passed."""
        if self.room is not None and size:
            sizes, now = self._ground.allowances.sizes, self._ground.now()
            sizes.passed(self._place, self._name, size, self._allowance, now)

    def froze(self, size: int, passed: int, opened: bool = True) -> PathError:
        """It froze over a body of so many bytes, of which so many came; `opened`: after the
        connection was open. Returns what is to be raised."""
        sizes, now = self._ground.allowances.sizes, self._ground.now()
        if self.room is None:
            # What else this connection has carried is not known.
            size = max(size, 4 * sizes.settings.first)
        args = self._place, self._name, size, passed, self._allowance, now
        if opened and size and sizes.froze(*args):
            return Resumable(FROZEN)
        self._ground.blame(self._place, self._name)
        return PathError(FROZEN)


def _length(headers: Mapping[str, str], body: AsyncIterator[bytes] | bytes | None) -> int:
    """How long a body is, as far as is known."""
    if isinstance(body, bytes):
        return len(body)
    text = headers.get("content-length", "0")
    return int(text) if text.isdecimal() and len(text) < 16 else 0


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
