"""What comes from relays is verified once, stored once, and known only when it is stored."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from tests.sync.world import CRYPTO, envelope, inbox_key

from volok.model.event import Event
from volok.store.memory_store import MemoryStore
from volok.store.store import Outcome, StoreFull
from volok.sync.engine import RelayScope
from volok.sync.intake import Intake

BOB = inbox_key(2)
NOW = int(time.time())


class FullStore(MemoryStore):
    """A store on a disk that is full until `full` is taken back."""

    full = True

    async def add(self, events: Sequence[Event], now: int) -> list[Outcome]:
        if self.full:
            raise StoreFull
        return await super().add(events, now)


async def test_duplicates_and_forgeries() -> None:
    store = MemoryStore()
    intake = Intake(store, CRYPTO, time.time, 100)
    true = envelope(BOB, "true", NOW)
    forged = replace(true, content="forged")
    assert await intake.take([forged, true, true, forged]) == 2
    assert await intake.take([true, forged]) == 0
    assert intake.received == 1
    assert [entry.event for entry in await store.log(0, 10, NOW)] == [true]


async def test_what_could_not_be_stored_is_not_known() -> None:
    store = FullStore()
    intake = Intake(store, CRYPTO, time.time, 100)
    event = envelope(BOB, "true", NOW)
    with pytest.raises(StoreFull):
        await intake.take([event])
    store.full = False
    assert await intake.take([event]) == 0
    assert intake.received == 1


async def test_memory_is_bounded() -> None:
    intake = Intake(MemoryStore(), CRYPTO, time.time, 3)
    events = [envelope(BOB, str(number), NOW) for number in range(10)]
    await intake.take(events)
    await intake.take(events)
    assert intake.received == 10


async def test_a_full_disk_moves_no_cursor(make_node: Any, our_relay: Any) -> None:
    node, disk = make_node(retry_first=(0.01,)), FullStore()
    node.engine._intake._store = disk
    await our_relay.store.add([envelope(BOB, "kept", NOW)], NOW)
    async with our_relay.running() as url, node.running():
        node.engine.set_scopes([RelayScope(url, (BOB,))])
        await node.until(lambda: any("disk is full" in one.problem for one in node.engine.status()))
        assert node.deliveries.cursors == {}
        disk.full = False
        await node.until(lambda: node.engine.status()[0].in_step)
    assert [entry.event.content for entry in await disk.log(0, 10, NOW)] == ["kept"]
    assert node.deliveries.cursors[url, BOB.public] >= NOW
