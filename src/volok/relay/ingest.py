"""The way of an event into the store: signatures in batches off the event loop, then one commit.

1. Connections take turns: who sends one event does not wait behind who sends thousands, and who has
   sent few has a lane of its own.
2. While some batches commit, others are being verified; under load batches are full, and a lone
   event does not wait for company.

A deletion request that names sealed events is erased soon after it took effect. What it deleted
stays deleted without it (`volok.store.settle`), nobody but its author may read it, and kept in the
order of their arrival such requests show whoever reads the disk which inboxes are one person's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass

from volok.model.event import Event
from volok.model.filters import Filter
from volok.model.supersession import DELETION
from volok.relay.access import SEALED_KINDS, Refusal
from volok.relay.metrics import Metrics
from volok.relay.outputs import Rejection
from volok.relay.plugin import Ruling, Shadow, Submission
from volok.relay.turns import Turns
from volok.relay.verifying import Verifying
from volok.store.store import Outcome, Store

Result = Outcome | Rejection | Refusal
"""What became of an event; a refusal is the policy plug-in's."""

Settle = Callable[[Result], None]
_Waiting = tuple[Event, Settle, str]
Judge = Callable[[Sequence[Submission]], Awaitable[Sequence[Ruling]]]
"""Says of genuine events whether the relay takes them (see `volok.relay.plugin`)."""

BATCH = 64
"""The most events that are verified and committed together."""
_BATCHES = 4
"""Batches of the crowd that are verified at once."""
_TOGETHER = 768
_TOGETHER_BESIDE_LONE = 128
"""Events of the crowd that are handed to the store at once when there are so many: a large commit
costs less of each event; and while there are lone events, which wait for such a commit."""
_STORING = 2048
_STORING_BESIDE_LONE = 256
"""Events of the crowd that may wait for their commit, without and with lone events."""
_LONE_SECONDS = 1.0
"""After a lone event there may soon be another."""
_LONE = 16
"""A source of which no more events wait may take the short way."""
_CROWD_SECONDS = 1.0
"""For so long after it has brought more than that, the events of a source belong to the crowd."""
_LONE_BATCH = 16
_CROWD = 64 * 1024 * 1024
"""When so many bytes of events wait, whoever sends more is asked to wait."""
_SPENT = Filter(
    kinds=frozenset({DELETION}), tags={"k": frozenset(str(kind) for kind in SEALED_KINDS)}
)
_SPENT_AT_ONCE = 1000
_FORGET_SECONDS = 1.0
"""Between two erasures: each cuts the log of the store."""


@dataclass(slots=True)
class Brought:
    """What one source has brought of late."""

    pending: int = 0
    """Events that are not settled."""
    forges: bool = False
    """Whether the last one that was settled was forged."""
    _crowd_until: float = 0.0

    def another(self, now: float) -> bool:
        """Count one more; whether it may take the short way. `now` is in seconds."""
        self.pending += 1
        if self.pending > _LONE:
            self._crowd_until = now + _CROWD_SECONDS
        return now >= self._crowd_until and not self.forges

    def settled(self, result: Result) -> None:
        """One is done."""
        self.pending -= 1
        self.forges = result is Rejection.FORGED


class _Lane:
    """One of the ways of events to verification."""

    def __init__(self, batch: int) -> None:
        """At most `batch` are taken at once."""
        self.batch = batch
        self.turns: Turns[_Waiting] = Turns()
        self.filled = asyncio.Event()


class Ingest:
    """Events of all connections on their way into one store."""

    def __init__(
        self,
        store: Store,
        verifying: Verifying,
        now: Callable[[], int],
        metrics: Metrics,
        judge: Judge | None = None,
    ) -> None:
        """`now` gives Unix seconds. `judge` is asked about each event that is genuine."""
        self._judge = judge
        self._store = store
        self._verifying = verifying
        self._now = now
        self._metrics = metrics
        self._crowd = _Lane(BATCH)
        self._lone = _Lane(_LONE_BATCH)
        self._bytes = 0
        self._submitted = 0
        self.settled = 0
        """How many events were settled since the start."""
        self._unverified = 0
        """Events of the crowd whose signatures are not checked yet."""
        self._genuine: list[_Waiting] = []
        """Events of the crowd that wait for company."""
        self._storing = 0
        """Events of the crowd that wait for their commit."""
        self._stored = asyncio.Event()
        self._lone_until = 0.0
        """Until when the crowd makes room, in seconds of the event loop."""
        self._spent = asyncio.Event()
        self._spent.set()  # what an earlier run left

    @property
    def is_crowded(self) -> bool:
        """Whether sources should wait until what they submitted is settled."""
        return self._bytes >= _CROWD

    @property
    def waiting(self) -> int:
        """How many events are not settled yet."""
        return self._submitted - self.settled

    def submit(
        self,
        event: Event,
        settle: Settle,
        source: Hashable = None,
        authed: str = "",
        is_lone: bool = False,
    ) -> None:
        """Queue an event behind those of the same source; `settle` is called with what became of
        it, after the commit. `authed` is a key that the source has proved to hold. With `is_lone`
        it takes the short way while that is free: for who has sent little, and nothing forged."""
        self._submitted += 1
        lane = self._lone if is_lone and len(self._lone.turns) < BATCH else self._crowd
        if lane is self._lone:
            self._lone_until = asyncio.get_running_loop().time() + _LONE_SECONDS
        else:
            self._unverified += 1
        lane.turns.put(source, (event, settle, authed))
        lane.filled.set()
        self._bytes += len(event.to_json())

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(_BATCHES):
                group.create_task(self._work(self._crowd, group))
            group.create_task(self._work(self._lone, group))
            group.create_task(self._forget())

    async def _work(self, lane: _Lane, group: asyncio.TaskGroup) -> None:
        is_lone = lane is self._lone
        while True:
            while not (taken := lane.turns.take(lane.batch)):
                lane.filled.clear()
                await lane.filled.wait()
            self._metrics.batches += 1
            events = [event for _, (event, _, _) in taken]
            self._bytes -= sum(len(event.to_json()) for event in events)
            genuine = await self._verifying.genuine(events, is_lone)
            good: list[_Waiting] = []
            for (source, waiting), valid in zip(taken, genuine, strict=True):
                lane.turns.judge(source, not valid)
                if valid:
                    good.append(waiting)
                else:
                    self.settled += 1
                    waiting[1](Rejection.FORGED)
            if not is_lone:
                self._unverified -= len(taken)
                self._genuine += good
                await self._hand_over(group)
            elif good:
                group.create_task(self._store_all(good))

    async def _hand_over(self, group: asyncio.TaskGroup) -> None:
        """Give the store what is genuine of the crowd, unless enough will soon join it."""
        together = self._most(_TOGETHER, _TOGETHER_BESIDE_LONE)
        count = len(self._genuine)
        if not count or count < together <= count + self._unverified:
            return
        events, self._genuine = self._genuine, []
        while self._storing and self._storing + count > self._most(_STORING, _STORING_BESIDE_LONE):
            self._stored.clear()
            await self._stored.wait()
        self._storing += count
        group.create_task(self._store_crowd(events))

    def _most(self, alone: int, beside_lone: int) -> int:
        is_alone = asyncio.get_running_loop().time() >= self._lone_until
        return alone if is_alone else beside_lone

    async def _store_crowd(self, events: Sequence[_Waiting]) -> None:
        try:
            await self._store_all(events)
        finally:
            self._storing -= len(events)
            self._stored.set()

    async def _store_all(self, batch: Sequence[_Waiting]) -> None:
        try:
            results = await self._take_in(batch)
        finally:
            self.settled += len(batch)
        for (_, settle, _), result in zip(batch, results, strict=True):
            settle(result)

    async def _add(self, events: Sequence[Event]) -> Sequence[Result]:
        return await self._store.add(events, self._now())

    async def _judged(self, submissions: Sequence[Submission], judge: Judge) -> Sequence[Result]:
        """Store what the policy takes."""
        rulings = await judge(submissions)
        both = zip(submissions, rulings, strict=True)
        taken = [one.event for one, ruling in both if ruling is None]
        stored = iter(await self._add(taken) if taken else ())
        results: list[Result] = []
        for ruling in rulings:
            shown = Outcome.ADDED if isinstance(ruling, Shadow) else ruling
            results.append(next(stored) if shown is None else shown)
        return results

    async def _take_in(self, batch: Sequence[_Waiting]) -> Sequence[Result]:
        good = [event for event, _, _ in batch]
        outcomes: Sequence[Result]
        try:
            if self._judge is None:
                outcomes = await self._add(good)
            else:
                asked = [Submission(event, authed) for event, _, authed in batch]
                outcomes = await self._judged(asked, self._judge)
        except Exception:  # Whatever a store does wrong must not stop the relay.
            self._metrics.store_failures += 1
            outcomes = [Rejection.FAILED] * len(good)
        if any(map(_SPENT.matches, [event for event in good if event.kind == DELETION])):
            self._spent.set()
        return outcomes

    async def _forget(self) -> None:
        while True:
            await self._spent.wait()
            await asyncio.sleep(_FORGET_SECONDS)
            self._spent.clear()
            try:
                entries = await self._store.query([_SPENT], _SPENT_AT_ONCE, self._now())
                await self._store.delete([entry.event.id for entry in entries])
            except Exception:  # as above; and what could not be erased now is erased later
                self._metrics.store_failures += 1
                self._spent.set()
            else:
                if len(entries) == _SPENT_AT_ONCE:
                    self._spent.set()
