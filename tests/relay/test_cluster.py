"""Relays over one PostgreSQL and NATS, each part killed under load: nothing taken is lost."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.relay.cluster import (
    KIND,
    Publisher,
    RelayProcess,
    Subscriber,
    answer,
    kill_at_random,
    more,
    new_relay,
    stored,
)
from tests.store.cluster_servers import Nats, Postgres, nats_server, postgres_server

from volok.native import NativeCrypto
from volok.relay.backends import backends
from volok.relay.errors import RelayError
from volok.store.postgres_inspection import verify


@dataclass
class Cluster:
    """All parts, running, and load on them."""

    postgres: Postgres
    nats: Nats
    relays: list[RelayProcess]
    publishers: list[Publisher]
    subscribers: list[Subscriber]
    acked: list[str]
    publishing: list[asyncio.Task[None]]

    async def rest(self) -> None:
        """End the load."""
        for task in self.publishing:
            task.cancel()
        await asyncio.gather(*self.publishing, return_exceptions=True)

    async def check_tables(self) -> None:
        """Whether indices, numbers and events agree; each event of the load has one tag."""
        folder, now = self.relays[0].folder, int(time.time())
        found = await verify(self.relays[0].store, folder, now, NativeCrypto())
        assert not found.problems, found.told
        schema = self.relays[0].store.rpartition("=")[2]
        counts = (
            f"SELECT count(*), count(DISTINCT number), count(DISTINCT name), max(number)"
            f" FROM {schema}.events"
        )
        tags = f"SELECT count(*) FROM {schema}.tags JOIN {schema}.events USING (name, shelf)"
        rows, numbers, names, newest = map(int, self.postgres.sql(counts).split("|"))
        assert rows == numbers == names == int(self.postgres.sql(tags))
        assert int(self.postgres.sql(f"SELECT head FROM {schema}.store")) == newest
        assert rows == newest, "numbers are dense"


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    with postgres_server() as postgres, nats_server() as nats:
        store = postgres.new_store()
        first = new_relay(tmp_path / "a", store, nats.url)
        await first.start()
        second = new_relay(tmp_path / "b", store, nats.url, first.folder)
        await second.start()
        acked: list[str] = []
        relays = [first, second]
        publishers = [Publisher(relay.url, acked) for relay in relays]
        subscribers = [Subscriber(relay.url) for relay in relays]
        reading = [asyncio.create_task(one.run()) for one in subscribers]
        for one in subscribers:
            await one.ready.wait()
        publishing = [asyncio.create_task(one.run()) for one in publishers]
        try:
            yield Cluster(postgres, nats, relays, publishers, subscribers, acked, publishing)
        finally:
            for task in (*publishing, *reading):
                task.cancel()
            results = await asyncio.gather(*publishing, *reading, return_exceptions=True)
            for relay in relays:
                await relay.kill()
        assert not [r for r in results if not isinstance(r, asyncio.CancelledError)]


async def test_each_part_is_killed_under_load(cluster: Cluster) -> None:
    acked, (one, other) = cluster.acked, cluster.subscribers
    await more(acked, 20)
    cluster.nats.kill()
    await more(acked, 30)
    await asyncio.to_thread(cluster.nats.start)
    await more(acked, 20)
    # The database is gone: everybody is told so, and nobody is disconnected.
    await asyncio.to_thread(cluster.postgres.kill)
    for relay in cluster.relays:
        closed = await answer(relay.url, "REQ", "x", {"kinds": [KIND]})
        assert closed[:2] == ["CLOSED", "x"]
        assert closed[2].startswith("error: ")
    async with asyncio.timeout(20):
        while not all(publisher.refusals for publisher in cluster.publishers):
            await asyncio.sleep(0.02)
    assert all(text.startswith("error: ") for p in cluster.publishers for text in p.refusals)
    await asyncio.to_thread(cluster.postgres.start)
    await more(acked, 40)
    # Until here both have kept one connection and one subscription, and got each event once.
    assert one.connections == other.connections == 1
    for subscriber in (one, other):
        await subscriber.saw(list(acked))
        assert set(Counter(subscriber.seen).values()) == {1}
    await cluster.relays[0].kill()
    await more(acked, 20)
    await cluster.relays[0].start()
    taken = cluster.publishers[0].own
    async with asyncio.timeout(20):
        while cluster.publishers[0].own < taken + 10:
            await asyncio.sleep(0.02)
    await cluster.rest()
    await other.saw(acked)
    assert other.connections == 1
    assert set(Counter(other.seen).values()) == {1}
    await one.saw(acked)
    for relay in cluster.relays:
        assert await stored(relay.url, acked) == set(acked)
    await cluster.check_tables()


@pytest.mark.full
@pytest.mark.timeout(600)
async def test_killed_fifty_times(cluster: Cluster) -> None:
    """Relays, bus and database in any order; who reconnects has every event in the end."""
    cluster_parts = (cluster.relays, cluster.postgres, cluster.nats)
    await kill_at_random(*cluster_parts, kills=50, dice=random.Random(11))
    await more(cluster.acked, 50)
    await cluster.rest()
    for subscriber in cluster.subscribers:
        await subscriber.saw(cluster.acked)
    for relay in cluster.relays:
        assert await stored(relay.url, cluster.acked) == set(cluster.acked)
    await cluster.check_tables()
    assert len(cluster.acked) > 500
    assert all(text.startswith("error: ") for p in cluster.publishers for text in p.refusals)


@pytest.mark.parametrize(
    ("store", "bus", "blobs", "said"),
    [
        ("mysql://x", "", "", "postgresql://"),
        ("", "nats://x", "", "--store"),
        ("postgresql://x/y", "http://x", "", "nats://"),
        ("", "", "http://x", "s3://"),
    ],
)
def test_wrong_addresses_are_named(store: str, bus: str, blobs: str, said: str) -> None:
    with pytest.raises(RelayError, match=said):
        backends(store, bus, blobs, NativeCrypto(), {})


async def test_a_store_that_cannot_be_opened_says_what_to_do(tmp_path: Path) -> None:
    opening = backends("postgresql://127.0.0.1:1/x", "", "", NativeCrypto(), {})
    with pytest.raises(RelayError, match="cannot be reached"):
        await opening.store(tmp_path)
    with postgres_server() as postgres:
        url = postgres.new_store()
        opening = backends(url, "", "", NativeCrypto(), {})
        store = await opening.store(tmp_path)
        await store.close()
        (tmp_path / "other").mkdir()
        with pytest.raises(RelayError, match=r"Copy store\.key"):
            await opening.store(tmp_path / "other")
