"""Verification and commit in batches; a store that fails."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from volok.native import NativeCrypto
from volok.relay.ingest import BATCH, Brought, Ingest
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


class GatedVerifying(VerifyingThreads):
    """Lets the urgent through, and others once it is opened."""

    def __init__(self) -> None:
        super().__init__(NativeCrypto())
        self.gate = asyncio.Event()

    async def genuine(self, events, is_urgent=False):
        if not is_urgent:
            await self.gate.wait()
        return await super().genuine(events, is_urgent)


class CountingStore(MemoryStore):
    """Notes how many events came at once."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    async def add(self, events, now):
        self.sizes.append(len(events))
        return await super().add(events, now)


async def test_a_crowd_is_stored_in_few_commits(start, people):
    store = CountingStore()
    events = [people[0].event(content=str(number)) for number in range(2048)]
    assert await take_in(start(store), events) == [Outcome.ADDED] * len(events)
    assert sum(store.sizes) == len(events)
    assert len(store.sizes) <= 2048 // BATCH // 2


async def test_beside_a_lone_event_a_crowd_is_stored_little_by_little(start, people):
    store = CountingStore()
    ingest = start(store)
    events = [people[0].event(content=str(number)) for number in range(1024)]
    lone = asyncio.get_running_loop().create_future()
    ingest.submit(people[1].event(), lone.set_result, "lone", is_lone=True)
    assert await take_in(ingest, events) == [Outcome.ADDED] * len(events)
    assert await lone is Outcome.ADDED
    assert sum(store.sizes) == len(events) + 1
    assert max(store.sizes) <= 256


async def test_a_lone_event_does_not_wait_for_a_crowd(people):
    verifying, crowd, settled = GatedVerifying(), 10 * BATCH, []
    ingest = Ingest(MemoryStore(), verifying, lambda: NOW, Metrics())
    running = asyncio.create_task(ingest.run())
    for number in range(crowd):
        ingest.submit(people[0].event(content=str(number)), settled.append, "crowd")
    done = asyncio.get_running_loop().create_future()
    ingest.submit(people[1].event(), done.set_result, "lone", is_lone=True)
    async with asyncio.timeout(30):
        assert await done is Outcome.ADDED
        assert not settled
        verifying.gate.set()
        while ingest.waiting:
            await asyncio.sleep(0.01)
    assert settled == [Outcome.ADDED] * crowd
    running.cancel()
    await verifying.aclose()


async def test_a_crowd_of_lone_events_is_a_crowd(people):
    verifying = GatedVerifying()
    ingest = Ingest(MemoryStore(), verifying, lambda: NOW, Metrics())
    settled = []
    for number in range(2 * BATCH):
        event = people[0].event(content=str(number))
        ingest.submit(event, settled.append, number, is_lone=True)
    running = asyncio.create_task(ingest.run())
    async with asyncio.timeout(30):
        while len(settled) < BATCH:
            await asyncio.sleep(0.01)
        assert ingest.waiting == BATCH
        verifying.gate.set()
        while ingest.waiting:
            await asyncio.sleep(0.01)
    running.cancel()
    await verifying.aclose()


def test_who_has_brought_much_belongs_to_the_crowd_for_a_while():
    brought = Brought()
    assert all(brought.another(5.0) for _ in range(16))
    assert not brought.another(5.0)
    for _ in range(17):
        brought.settled(Outcome.ADDED)
    assert brought.pending == 0
    assert not brought.another(5.9)
    assert brought.another(6.0)


def test_who_forges_belongs_to_the_crowd_until_a_genuine_event():
    brought = Brought()
    assert brought.another(1.0)
    brought.settled(Rejection.FORGED)
    assert not brought.another(10.0)
    brought.settled(Outcome.DUPLICATE)
    assert brought.another(10.0)
