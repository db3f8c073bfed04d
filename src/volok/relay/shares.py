"""Shares of the event loop for connections that bring more than their share.

1. Who brings little is served at once. What is left of a connection after its share waits here, and
   whoever has had least is next: a flood waits for those who pause between what they send.
2. All that waits here gets one short stretch of each turn of the event loop, so that everybody
   else's bytes, timers and answers come in between.
3. Whoever brings mostly what is good for nothing shares one part in eight of the time with all
   such, whether others wait or not: the processor is needed elsewhere.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from weakref import WeakKeyDictionary

SHARE_SECONDS = 0.00025
"""What one connection gets before the next one's share; a single message may take longer."""
_STRETCH_SECONDS = 0.001
"""What all shares together take of one turn of the event loop."""
_SUSPECTS = 8
"""Those who bring what is good for nothing have one part in so many of the time."""
_MEMORY_SECONDS = 0.02
"""The most by which a connection is ahead of others, or behind them, for what it had before."""


class Account:
    """What is known of one connection."""

    __slots__ = ("had", "is_suspect")

    def __init__(self) -> None:
        """Nothing so far."""
        self.had = 0.0
        """What it had, in seconds, on the clock of those who wait."""
        self.is_suspect = False
        """Whether its last share was spent on what is good for nothing."""


class Shares:
    """The connections of one event loop that wait for their share."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        """`clock` gives seconds since anything."""
        self._loop = loop
        self.clock = clock
        self._waiting: list[tuple[float, int, Account, Callable[[], None]]] = []
        """A heap: who has had least comes first, and of those who have had the same the oldest."""
        self._suspects: deque[tuple[Account, Callable[[], None]]] = deque()
        self._resting = False
        """Whether suspects have had their part, or will at once."""
        self._numbers = count()
        self._level = 0.0
        """What the one had who was served last."""
        self._scheduled = False
        self._served: Account | None = None
        """Who works at the moment."""
        self._again = False
        """Whether it wants another share."""

    @property
    def is_busy(self) -> bool:
        """Whether somebody waits, so that whoever brings something now waits as well."""
        return self._scheduled

    def add(self, account: Account, take: Callable[[], None]) -> None:
        """Call `take` when it is its turn. It works for `SHARE_SECONDS`, comes back if there is
        more, and does not raise. An account waits once at a time."""
        if account is self._served:
            self._again = True
            return
        if account.is_suspect:
            self._suspects.append((account, take))
            if not self._resting:
                self._resting = True
                self._loop.call_soon(self._rested)
            return
        low, high = self._level - _MEMORY_SECONDS, self._level + _MEMORY_SECONDS
        account.had = min(max(account.had, low), high)
        heappush(self._waiting, (account.had, next(self._numbers), account, take))
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._run)

    async def turn(self, account: Account) -> None:
        """Return when it is this account's turn, for one share: at once while nobody waits."""
        if self._scheduled:
            future = self._loop.create_future()
            account.had += SHARE_SECONDS
            self.add(account, lambda: None if future.done() else future.set_result(None))
            await future

    def _run(self) -> None:
        waiting, clock = self._waiting, self.clock
        begun = clock()
        until = begun + _STRETCH_SECONDS
        try:
            while waiting and begun < until:
                had, _, account, take = heappop(waiting)
                self._level = max(self._level, had)
                again = self._serve(account, take)
                now = clock()
                account.had = had + now - begun
                begun = now
                if again:
                    self.add(account, take)
        finally:
            self._scheduled = bool(waiting)
            if waiting:
                self._loop.call_soon(self._run)

    def _run_suspect(self) -> None:
        begun, again = self.clock(), False
        account, take = self._suspects.popleft()
        try:
            again = self._serve(account, take)
        finally:
            if again and account.is_suspect:
                self._suspects.append((account, take))
            elif again:
                self.add(account, take)
            rest = (self.clock() - begun) * (_SUSPECTS - 1)
            self._loop.call_later(rest, self._rested)

    def _rested(self) -> None:
        self._resting = bool(self._suspects)
        if self._suspects:
            self._run_suspect()

    def _serve(self, account: Account, take: Callable[[], None]) -> bool:
        """Whether it wants another share."""
        self._served, self._again = account, False
        try:
            take()
        finally:
            self._served = None
        return self._again


_of_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, Shares] = WeakKeyDictionary()


def shares_of(loop: asyncio.AbstractEventLoop) -> Shares:
    """The one that all connections of this event loop have in common."""
    found = _of_loops.get(loop)
    if found is None:
        found = _of_loops[loop] = Shares(loop)
    return found
