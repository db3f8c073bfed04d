"""Verification and commit in batches; a store that fails."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from volok.native import NativeCrypto
from volok.relay.ingest import BATCH, Ingest
from volok.relay.metrics import Metrics
from volok.relay.outputs import Rejection
from volok.relay.verifying import VerifyingThreads
from volok.store.memory_store import MemoryStore
from volok.store.store import Outcome, StoreFull

NOW = 1_800_000_000


class FullStore(MemoryStore):
    """A store whose disk is full until `room` is set."""

    room = False

    async def add(self, events, now):
        if not self.room:
            raise StoreFull
        return await super().add(events, now)


@pytest.fixture
async def start():
    tasks = []

    def start(store):
        ingest = Ingest(store, VerifyingThreads(NativeCrypto()), lambda: NOW, Metrics())
        tasks.append(asyncio.create_task(ingest.run()))
        return ingest

    yield start
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def take_in(ingest, events):
    results = [asyncio.get_running_loop().create_future() for _ in events]
    for event, result in zip(events, results, strict=True):
        ingest.submit(event, result.set_result)
    async with asyncio.timeout(10):
        return await asyncio.gather(*results)


async def test_each_event_gets_its_own_result(start, people):
    good = [people[0].event(content=str(number)) for number in range(3 * BATCH)]
    forged = [replace(event, sig="00" * 64) for event in good]
    mixed = [event for pair in zip(good, forged, strict=True) for event in pair]
    store = MemoryStore()
    results = await take_in(start(store), mixed)
    assert results == [Outcome.ADDED, Rejection.FORGED] * len(good)
    assert await store.count([], NOW) == 0
    assert {entry.event.id for entry in await store.log(0, 1000, NOW)} == {e.id for e in good}


async def test_a_full_disk_is_told_and_passes(start, people):
    store = FullStore()
    ingest = start(store)
    event = people[0].event()
    assert await take_in(ingest, [event]) == [Rejection.FAILED]
    store.room = True
    assert await take_in(ingest, [event]) == [Outcome.ADDED]
