"""The way of an event into the store: signatures in batches off the event loop, then one commit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor

from volok.model.crypto import Verifier
from volok.model.event import Event, verify_event
from volok.relay.metrics import Metrics
from volok.relay.outputs import Rejection
from volok.store.store import Outcome, Store

Settle = Callable[[Outcome | Rejection], None]

BATCH = 64
"""The most events that are verified and committed together."""
_WORKERS = 4
_THREADS = 2


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
        stored = iter(outcomes)
        return [next(stored) if valid else Rejection.FORGED for valid in genuine]


def verify_all(events: Sequence[Event], verifier: Verifier) -> list[bool]:
    """Which of these events have the right id and signature."""
    return [verify_event(event, verifier) for event in events]
