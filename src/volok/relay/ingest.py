"""The way of an event into the store: signatures in batches off the event loop, then one commit.

A deletion request that names sealed events is erased soon after it took effect. What it deleted
stays deleted without it (`volok.store.settle`), nobody but its author may read it, and kept in the
order of their arrival such requests show whoever reads the disk which inboxes are one person's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor

from volok.model.crypto import Verifier
from volok.model.event import Event, verify_event
from volok.model.filters import Filter
from volok.model.supersession import DELETION
from volok.relay.access import SEALED_KINDS
from volok.relay.metrics import Metrics
from volok.relay.outputs import Rejection
from volok.store.store import Outcome, Store

Settle = Callable[[Outcome | Rejection], None]

BATCH = 64
"""The most events that are verified and committed together."""
_WORKERS = 4
_THREADS = 2
_SPENT = Filter(
    kinds=frozenset({DELETION}), tags={"k": frozenset(str(kind) for kind in SEALED_KINDS)}
)
_SPENT_AT_ONCE = 1000
_FORGET_SECONDS = 1.0
"""Between two erasures: each cuts the log of the store."""


class Ingest:
    """Events of all connections on their way into one store."""

    def __init__(
        self, store: Store, verifier: Verifier, now: Callable[[], int], metrics: Metrics
    ) -> None:
        """`now` gives Unix seconds."""
        self._store = store
        self._verifier = verifier
        self._now = now
        self._metrics = metrics
        self._waiting: asyncio.Queue[tuple[Event, Settle]] = asyncio.Queue()
        self._spent = asyncio.Event()
        self._spent.set()  # what an earlier run left

    def submit(self, event: Event, settle: Settle) -> None:
        """Queue an event; `settle` is called with what became of it, after the commit."""
        self._waiting.put_nowait((event, settle))

    async def run(self) -> None:
        """Work until cancelled."""
        with ThreadPoolExecutor(_THREADS, "volok-verify") as pool:
            async with asyncio.TaskGroup() as group:
                # While one batch commits, the next is being verified.
                for _ in range(_WORKERS):
                    group.create_task(self._work(pool))
                group.create_task(self._forget())

    async def _work(self, pool: Executor) -> None:
        while True:
            batch = [await self._waiting.get()]
            while len(batch) < BATCH and not self._waiting.empty():
                batch.append(self._waiting.get_nowait())
            results = await self._take_in([event for event, _ in batch], pool)
            for (_, settle), result in zip(batch, results, strict=True):
                settle(result)

    async def _take_in(
        self, events: Sequence[Event], pool: Executor
    ) -> Sequence[Outcome | Rejection]:
        self._metrics.batches += 1
        loop = asyncio.get_running_loop()
        genuine = await loop.run_in_executor(pool, verify_all, events, self._verifier)
        good = [event for event, valid in zip(events, genuine, strict=True) if valid]
        if not good:
            return [Rejection.FORGED] * len(events)
        outcomes: Sequence[Outcome | Rejection]
        try:
            outcomes = await self._store.add(good, self._now())
        except Exception:  # Whatever a store does wrong must not stop the relay.
            self._metrics.store_failures += 1
            outcomes = [Rejection.FAILED] * len(good)
        if any(_SPENT.matches(event) for event in good):
            self._spent.set()
        stored = iter(outcomes)
        return [next(stored) if valid else Rejection.FORGED for valid in genuine]

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


def verify_all(events: Sequence[Event], verifier: Verifier) -> list[bool]:
    """Which of these events have the right id and signature."""
    return [verify_event(event, verifier) for event in events]
