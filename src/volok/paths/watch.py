"""A websocket that is watched: what it carries, and whether it froze.

1. Something was sent, and nothing at all came back for a while: a ping is sent. No answer to that
   either: the connection is frozen, and whoever uses it is told by PathError.
2. After things came and then stopped, one ping is sent as well: a download may have frozen. Where
   the allowance of connections is known that ping is spared, since it would use it up.
3. On a slow link what was sent takes its time; the estimate of that puts the ping off.
4. Where the system can tell that nothing of what was sent arrives, it is believed at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from volok.paths.budget import RESUME, Meter
from volok.paths.live import PathError, Resumable, Socket

FROZEN = "The connection stopped carrying anything."


@dataclass(frozen=True, slots=True)
class WatchSettings:
    """When a connection counts as frozen. Times are in seconds."""

    silence: float = 2.5
    """Without any answer to what was sent, before a ping."""
    quiet: float = 3.0
    """After things stopped coming, before a ping."""
    ping_wait: float = 2.5
    """For the answer to a ping."""
    latency_factor: float = 8.0
    """All of these are at least so many times the path's usual round trip."""
    slowest: float = 8000.0
    """Bytes per second that even a slow link carries."""
    most_delay: float = 10.0
    """By which slowness puts a ping off at most."""
    look: float = 0.5
    """Between two looks whether the system can tell."""
    recent: float = 60.0
    """A freeze so soon after the last answer tells how much the network lets pass."""


@dataclass(frozen=True, slots=True)
class Reports:
    """Whom a watched socket tells. Each is called at most once."""

    worked: Callable[[], None]
    """The first frame came."""
    stable: Callable[[], None]
    """`stable_bytes` were carried."""
    frozen: Callable[[Meter, Meter, bool], bool]
    """It froze: what had passed when the last frame came, all that was counted, and whether that
    frame came only recently. True: another connection over this path may go on."""
    broke: Callable[[], None]
    """It was lost before anything came over it, though something was sent."""
    ended: Callable[[], None]
    """It is over, for whatever reason."""


class WatchedSocket(Socket):
    """`socket`, watched. `meter` counts what it carries; with `counted` somebody below does."""

    def __init__(
        self,
        socket: Socket,
        meter: Meter,
        latency: float,
        stable_bytes: int,
        settings: WatchSettings,
        reports: Reports,
        counted: bool = False,
    ) -> None:
        self._socket = socket
        self._meter = meter
        self._answered = replace(meter)
        least = settings.latency_factor * latency
        self._silence = max(settings.silence, least)
        self._quiet = max(settings.quiet, least)
        self._ping_wait = max(settings.ping_wait, least)
        self._settings = settings
        self._reports = reports
        self._counted = counted
        self._stable_bytes = stable_bytes
        self._clock = asyncio.get_running_loop().time
        self._owed_since: float | None = None
        self._settled = asyncio.Event()
        self._settled.set()
        self._came_at = self._clock()
        self._flushed_at = 0.0
        self._doubted = False
        self._timer: asyncio.TimerHandle | None = None
        self._pinging: asyncio.Task[None] | None = None
        self._worked = self._stable = self._broke = self._over = self._leaving = False
        self._problem: PathError | None = None

    async def send(self, text: str) -> None:
        if self._leaving:
            raise Resumable(RESUME)
        now = self._clock()
        if self._owed_since is None:
            self._owed_since = now
            self._settled.clear()
        rate, most = self._settings.slowest, self._settings.most_delay
        self._flushed_at = min(max(self._flushed_at, now) + len(text) / rate, now + most)
        if not self._counted:
            self._meter.count(len(text))
        self._arm(self._settings.look)
        try:
            await self._socket.send(text)
        except PathError as error:
            raise self._explained(error) from error

    async def receive(self) -> str:
        try:
            text = await self._socket.receive()
        except PathError as error:
            if (
                not (self._worked or self._problem or self._leaving or self._broke)
                and self._flushed_at
            ):
                self._broke = True
                self._reports.broke()
            raise self._explained(error) from error
        self._owed_since, self._came_at = None, self._clock()
        self._settled.set()
        if not self._counted:
            self._meter.count(len(text))
            self._doubted = True
            self._arm(self._quiet)
        meter, seen = self._meter, self._answered
        seen.bytes, seen.packets = meter.bytes, meter.packets
        if not self._worked:
            self._worked = True
            self._reports.worked()
        if not self._stable and meter.bytes >= self._stable_bytes:
            self._stable = True
            self._reports.stable()
        return text

    async def ping(self) -> None:
        await self._socket.ping()

    def stuck(self) -> bool | None:
        return self._socket.stuck()

    def traffic(self) -> tuple[int, int, int] | None:
        return self._socket.traffic()

    async def leave(self) -> None:
        """End it for a better path, once what is due was answered; whoever uses it is told by
        `Resumable`."""
        self._leaving = True
        with suppress(TimeoutError):
            async with asyncio.timeout(self._silence):
                await self._settled.wait()
        await self._socket.close()

    async def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        # The ping may be what closes it.
        if self._pinging is not None and self._pinging is not asyncio.current_task():
            self._pinging.cancel()
        if not self._over:
            self._over = True
            self._reports.ended()
        await self._socket.close()

    def _explained(self, error: PathError) -> PathError:
        if self._leaving:
            return Resumable(RESUME)
        return self._problem or error

    def _arm(self, wait: float) -> None:
        if self._timer is None and self._pinging is None and not self._over:
            self._timer = asyncio.get_running_loop().call_later(wait, self._look)

    def _look(self) -> None:
        self._timer = None
        stuck = None if self._owed_since is None else self._socket.stuck()
        if self._owed_since is not None:
            due = max(self._owed_since, self._flushed_at) + self._silence
        elif self._doubted:
            due = self._came_at + self._quiet
        else:
            return
        left = due - self._clock()
        if self._over:
            return
        if stuck:
            self._pinging = asyncio.create_task(self._end())
        elif left > 0.001:
            self._arm(left if stuck is None else min(left, self._settings.look))
        else:
            self._doubted = False
            self._pinging = asyncio.create_task(self._ask())

    async def _end(self) -> None:
        self._froze(self._clock())
        await self._socket.close()

    async def _ask(self) -> None:
        asked = self._clock()
        if not self._counted:
            self._meter.pinged()
        with suppress(PathError):
            # A connection that is lost tells the reader by itself.
            try:
                async with asyncio.timeout(self._ping_wait):
                    await self._socket.ping()
                self._owed_since = None
            except TimeoutError:
                if self._came_at < asked:
                    self._froze(asked)
                    await self._socket.close()
        self._pinging = None
        if self._owed_since is not None:
            self._arm(self._silence)

    def _froze(self, asked: float) -> None:
        recent = asked - self._came_at <= self._settings.recent
        answered, seen = self._answered, self._socket.traffic()
        if seen is not None and self._socket.stuck():
            # The system knows what arrived.
            answered = replace(answered)
            answered.bytes, answered.packets = seen[0], seen[1] - seen[2]
        goes_on = self._reports.frozen(answered, self._meter, recent)
        self._problem = Resumable(FROZEN) if goes_on else PathError(FROZEN)
