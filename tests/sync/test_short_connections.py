"""A network that freezes every connection after 16 KB: everything arrives, over many of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.paths.freezing import Detour, border_to
from tests.sync.world import CRYPTO, MemoryDeliveries, Node, envelope, inbox_key

from volok.paths.budget import BudgetSettings
from volok.paths.choice import ChoiceSettings
from volok.paths.ground import Candidate
from volok.paths.many import ManyPaths, ManySettings
from volok.paths.watch import WatchSettings
from volok.store.deliveries import MarkState
from volok.store.file_blobs import FileBlobs
from volok.store.memory_store import MemoryStore
from volok.sync.engine import Engine, RelayScope
from volok.sync.settings import SyncSettings

pytestmark = pytest.mark.own_time

ANN, BOB = inbox_key(1), inbox_key(2)
LIMIT = 16_000
QUICK = ManySettings(
    choice=ChoiceSettings(retry_first=0.2),
    watch=WatchSettings(silence=0.3, quiet=0.2, ping_wait=0.3, latency_factor=0.0, slowest=1e6),
    budget=BudgetSettings(drain=0.1),
)
Confined = Callable[[int], Node]


@pytest.fixture
async def confined(tmp_path: Path) -> AsyncIterator[Confined]:
    """Make a node all of whose connections lead to this port of loopback."""
    made: list[ManyPaths] = []

    def make(port: int) -> Node:
        store, deliveries = MemoryStore(), MemoryDeliveries()
        candidates = [Candidate("direct", Detour(port, 1.0), lambda _: True)]
        clock = asyncio.get_running_loop().time
        path = ManyPaths(candidates, lambda: "here", clock, lambda: 0.0, QUICK)
        made.append(path)
        blobs = FileBlobs(tmp_path / f"confined-{len(made)}")
        engine = Engine(store, blobs, deliveries, path, CRYPTO, time.time, SyncSettings())
        return Node(engine, store, blobs, deliveries, path)  # type: ignore[arg-type]

    yield make
    for path in made:
        await path.close()


def letters(count: int, to: Any) -> list[Any]:
    now = int(time.time())
    return [envelope(to, f"{number:03}" + "x" * 2500, now - 37 * number) for number in range(count)]


async def test_a_backlog_is_read_over_many_connections(
    make_node: Any, our_relay: Any, confined: Confined
) -> None:
    events = letters(15, BOB)
    async with our_relay.running() as url, border_to(our_relay.port, LIMIT) as border:
        abroad = make_node()
        async with abroad.running():
            await abroad.publish(url, *events)
            await abroad.deliveries.settled()
        bob = confined(border.port)
        async with bob.running(), asyncio.timeout(25):
            await bob.in_step(RelayScope(url, (BOB,)))
            assert len(await bob.contents(15)) == 15
        assert border.connections > 3
        assert bob.deliveries.cursors[url, BOB.public] > 0


async def test_what_waits_is_published_over_many_connections(
    make_node: Any, our_relay: Any, confined: Confined
) -> None:
    events = letters(15, ANN)
    async with our_relay.running() as url, border_to(our_relay.port, LIMIT) as border:
        bob = confined(border.port)
        async with bob.running(), asyncio.timeout(25):
            await bob.in_step(RelayScope(url, (BOB,)))
            await bob.publish(url, *events)
            await bob.deliveries.settled()
        assert len(bob.deliveries.items(MarkState.TAKEN)) == 15
        assert border.connections > 3
