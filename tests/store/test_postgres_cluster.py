"""Several stores over one PostgreSQL, with the real servers: one log, nothing left of what went."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tests.store.cluster_servers import Nats, Postgres, nats_server, postgres_server

from volok.model.filters import Filter
from volok.native import NativeCrypto
from volok.store.conformance_tools import ALICE, BOB, NOW, make_deletion, make_event
from volok.store.key_file import KEY_FILE, WrongKeyFile
from volok.store.nats_bus import NatsBus
from volok.store.postgres_schema import PostgresOptions
from volok.store.postgres_store import PostgresStore
from volok.store.store import Entry, Outcome, StoreError

CRYPTO = NativeCrypto()
WEEK = 7 * 86_400


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="module")
def nats() -> Iterator[Nats]:
    with nats_server() as server:
        yield server


Join = Callable[..., Any]


@pytest.fixture
def join(postgres: Postgres, tmp_path: Path) -> Join:
    """Opens one more store over the same database."""
    url, names = postgres.new_store(), itertools.count()

    @asynccontextmanager
    async def join(bus: Nats | None = None, **options: Any) -> AsyncIterator[PostgresStore]:
        folder = tmp_path / f"relay{next(names)}"
        folder.mkdir()
        first = tmp_path / "relay0" / KEY_FILE
        if first.exists():
            shutil.copy(first, folder)
        store = await PostgresStore.open(
            url, folder, CRYPTO, NatsBus(bus.url) if bus else None, PostgresOptions(**options)
        )
        try:
            yield store
        finally:
            await store.close()

    return join


async def followed(store: PostgresStore, count: int, after: int = 0) -> list[Entry]:
    """The first `count` entries that a follower is given."""
    found: list[Entry] = []
    async with asyncio.timeout(20), aclosing(store.follow(after)) as batches:  # type: ignore[type-var]
        async for batch in batches:
            found += batch
            if len(found) >= count:
                return found
    raise AssertionError


async def on_the_bus(one: PostgresStore, other: PostgresStore) -> None:
    """Wait until both hear each other."""
    for sender, hearer in ((one, other), (other, one)):
        heard = asyncio.create_task(followed(hearer, 1, hearer._order.position))
        async with asyncio.timeout(20):
            while not heard.done():
                await sender.add([make_event(20_002, content=str(os.urandom(8)))], NOW)
                await asyncio.wait((heard,), timeout=0.05)


@pytest.mark.parametrize("with_bus", [False, True])
async def test_many_writers_make_one_log(join: Join, nats: Nats, with_bus: bool) -> None:
    """Numbers are dense, and every follower of every process sees all in the same order."""
    bus = nats if with_bus else None
    async with join(bus) as one, join(bus) as other, join(bus) as idle:
        kinds, people = (1, 7, 1059), (ALICE, BOB)
        events = [make_event(kinds[n % 3], people[n % 2], content=str(n)) for n in range(300)]
        reading = [asyncio.create_task(followed(s, len(events))) for s in (one, other, idle)]
        calls = [
            store.add(events[n : n + 5], NOW)
            for n in range(0, len(events), 5)
            for store in ((one, other)[n // 5 % 2],)
        ]
        outcomes = await asyncio.gather(*calls)
        assert all(what is Outcome.ADDED for part in outcomes for what in part)
        first, *rest = [await task for task in reading]
        assert all(entries == first for entries in rest)
        assert [entry.number for entry in first] == list(range(1, len(events) + 1))
        assert {entry.event for entry in first} == set(events)
        assert await idle.add(events, NOW) == [Outcome.DUPLICATE] * len(events)


async def test_replaced_and_deleted_by_another_process(join: Join) -> None:
    async with join() as one, join() as other:
        old, note = make_event(0, created_at=NOW - 1), make_event(content="note")
        new, wish = make_event(0), make_deletion(ALICE, ["e", note.id])
        await one.add([old, note], NOW)
        assert await other.add([new, wish], NOW) == [Outcome.ADDED] * 2
        assert await one.add([old, note], NOW) == [Outcome.SUPERSEDED, Outcome.DELETED]
        here = await one.query([Filter()], 10, NOW)
        assert {entry.event.id for entry in here} == {new.id, wish.id}


async def test_ephemeral_events_go_by_the_bus_alone(
    join: Join, nats: Nats, postgres: Postgres
) -> None:
    async with join(nats) as one, join(nats) as other:
        await on_the_bus(one, other)
        position = other._order.position
        reading = asyncio.create_task(followed(other, 3, position))
        fleeting = make_event(20_001, content="gone with the wind")
        kept = [make_event(content=str(n)) for n in range(2)]
        for event in (kept[0], fleeting, kept[1]):
            assert await one.add([event], NOW) == [Outcome.ADDED]
        assert [entry.event for entry in await reading] == [kept[0], fleeting, kept[1]]
        assert fleeting.id not in {e.event.id for e in await one.query([Filter()], 50, NOW)}


async def test_a_lost_bus_costs_no_stored_event(join: Join) -> None:
    with nats_server() as bus:
        async with join(bus, poll_seconds=0.2) as one, join(bus, poll_seconds=0.2) as other:
            await on_the_bus(one, other)
            position = other._order.position
            events = [make_event(content=str(n)) for n in range(40)]
            reading = asyncio.create_task(followed(other, len(events), position))
            for n, event in enumerate(events):
                if n == 10:
                    bus.kill()
                if n == 25:
                    bus.start()
                await one.add([event], NOW)
            shown = [entry for entry in await reading if entry.event.kind == 1]
            assert [entry.event for entry in shown] == events
            await on_the_bus(one, other)  # it comes back by itself
            assert one.invalid_messages == other.invalid_messages == 0


async def test_strangers_on_the_bus_are_not_heard(join: Join, nats: Nats) -> None:
    async with join(nats) as one:
        stranger = NatsBus(nats.url)
        heard = asyncio.Event()
        await stranger.listen(one._subject, lambda _: heard.set())
        async with asyncio.timeout(20):
            while not one.invalid_messages or not heard.is_set():
                await stranger.tell(one._subject, os.urandom(100))
                await asyncio.sleep(0.02)
        await stranger.close()
        event = make_event(content="ours")
        await one.add([event], NOW)
        assert [entry.event for entry in await followed(one, 1)] == [event]


async def test_the_content_is_in_no_file_of_the_server(
    join: Join, postgres: Postgres, tmp_path: Path
) -> None:
    """Neither while it is here nor after: tables, indices and the log hold ciphertext."""
    async with join() as store:
        events = [
            make_event(content=f"<secret {n}> zwieback", tags=[["p", BOB], ["t", "topic of talk"]])
            for n in range(50)
        ]
        await store.add(events, NOW)
        postgres.sql("CHECKPOINT")
        data = b"".join(p.read_bytes() for p in postgres.data.rglob("*") if p.is_file())
        for mark in (b"<secret", b"topic of talk", b"zwieback"):
            assert mark not in data
        for name in (BOB, ALICE, events[0].id, events[0].pubkey):
            assert bytes.fromhex(name) not in data
            assert name.encode() not in data
        assert len(await store.query([Filter()], 100, NOW)) == 50


async def test_what_left_cannot_be_opened_by_whoever_takes_everything(
    join: Join, tmp_path: Path
) -> None:
    """Disks of the server and of every relay together: the rows may be there, their keys are not.
    Whether by deletion, replacement, expiry or request to vanish, and on each relay."""
    async with join(poll_seconds=0.1) as one, join(poll_seconds=0.1) as other:
        brief = make_event(content="brief", tags=[["expiration", str(NOW + 5)]])
        old, asked = make_event(0, created_at=NOW - 1), make_event(content="asked")
        erased, left = make_event(content="erased"), make_event(author=BOB, content="left")
        kept = make_event(content="kept", created_at=NOW + 9)
        events = [brief, old, asked, erased, left, kept]
        await one.add(events, NOW)
        rows = {e.event.id: e.number for e in await one.log(0, 10, NOW)}
        sealed = {
            number: one._cipher.encrypt(one._keys.tree.key(number) or b"", b"0" * 12, b"x", b"")
            for number in rows.values()
        }
        await one.add([make_event(0), make_deletion(ALICE, ["e", asked.id])], NOW)
        assert await one.delete([erased.id]) == 1
        await one.add([make_event(62, BOB, tags=[["relay", "ALL_RELAYS"]])], NOW)
        assert await one.expire(NOW + 5) == 1
        await one.flush()
        async with asyncio.timeout(10):
            while other._keys.position != one._keys.position:
                await asyncio.sleep(0.02)
        gone = [rows[e.id] for e in events if e is not kept]
        for store in (one, other):
            assert all(store._keys.tree.key(number) is None for number in gone)
            number = rows[kept.id]
            key = store._keys.tree.key(number)
            assert key is not None
            assert CRYPTO.decrypt(key, b"0" * 12, sealed[number], b"") == b"x"
        here = {entry.event.id for entry in await other.query([Filter()], 20, NOW + 5)}
        assert kept.id in here
        assert not here & {e.id for e in events if e is not kept}


async def test_a_relay_that_was_off_erases_when_it_comes_back(
    postgres: Postgres, tmp_path: Path
) -> None:
    url = postgres.new_store()
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    store = await PostgresStore.open(url, one, CRYPTO)
    event = make_event(content="seen by both")
    await store.add([event], NOW)
    shutil.copytree(one, other)
    (number,) = [entry.number for entry in await store.log(0, 10, NOW)]
    await store.delete([event.id])
    await store.close()
    late = await PostgresStore.open(url, other, CRYPTO)
    assert late._keys.tree.key(number) is None
    await late.close()


async def test_weeks_that_are_over_are_dropped(join: Join, postgres: Postgres) -> None:
    async with join() as store:
        start = NOW // WEEK * WEEK
        events = [
            make_event(content=str(n), created_at=start, tags=[["expiration", str(start + n)]])
            for n in range(WEEK, 4 * WEEK, WEEK // 2)
        ]
        await store.add([*events, make_event(content="lasting")], start)

        async def weeks() -> int:
            async with store._readers.acquire() as connection:
                return await connection.fetchval(
                    "SELECT count(*) FROM pg_inherits WHERE inhparent = 'events'::regclass"
                )

        before = await weeks()
        assert await store.expire(start + 3 * WEEK) == 5
        assert await weeks() == before - 2
        assert await store.expire(start + 30 * WEEK) == 1
        assert await store.expire(start + 30 * WEEK) == 0
        assert await weeks() == 1
        end = ["expiration", str(start + 31 * WEEK)]
        again = make_event(created_at=start + 30 * WEEK, tags=[end])
        assert await store.add([again], start + 30 * WEEK) == [Outcome.ADDED]


async def test_a_database_that_was_restored_takes_events_in(
    postgres: Postgres, tmp_path: Path
) -> None:
    """It counts through numbers whose keys are gone once more."""
    url = postgres.new_store()
    store = await PostgresStore.open(url, tmp_path, CRYPTO)
    events = [make_event(content=str(n)) for n in range(5)]
    await store.add(events, NOW)
    await store.delete([event.id for event in events[1:4]])
    await store.close()
    name = url.rpartition("=")[2]
    postgres.sql(f"UPDATE {name}.store SET head = 0, last = 0, erased = 0")
    postgres.sql(f"TRUNCATE {name}.events, {name}.tags, {name}.erasures")
    store = await PostgresStore.open(url, tmp_path, CRYPTO)
    assert await store.add(events, NOW) == [Outcome.ADDED] * 5
    entries = await store.log(0, 10, NOW)
    assert [entry.event for entry in entries] == events
    assert [entry.number for entry in entries] == [1, 5, 6, 7, 8]
    await store.close()


async def test_another_key_opens_nothing(postgres: Postgres, tmp_path: Path) -> None:
    url = postgres.new_store()
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    await (await PostgresStore.open(url, tmp_path / "a", CRYPTO)).close()
    with pytest.raises(WrongKeyFile):
        await PostgresStore.open(url, tmp_path / "b", CRYPTO)
    await (await PostgresStore.open(url, tmp_path / "a", CRYPTO)).close()


@pytest.mark.parametrize("url", ["postgresql://127.0.0.1:1/x", "postgresql://127.0.0.1:no/x"])
async def test_no_database(url: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        await PostgresStore.open(url, tmp_path, CRYPTO)


async def test_a_newer_version_is_left_alone(postgres: Postgres, tmp_path: Path) -> None:
    url = postgres.new_store()
    await (await PostgresStore.open(url, tmp_path, CRYPTO)).close()
    postgres.sql(f"UPDATE {url.rpartition('=')[2]}.store SET version = 2")
    with pytest.raises(StoreError):
        await PostgresStore.open(url, tmp_path, CRYPTO)


async def test_numbers_have_no_hole_and_no_number_comes_late(join: Join) -> None:
    """A reader that has seen n never finds a number below n that it has not seen."""
    async with join() as one, join() as other:
        done = asyncio.Event()

        async def write(store: PostgresStore, name: str) -> None:
            for n in range(60):
                await store.add([make_event(content=f"{name} {n} {k}") for k in range(3)], NOW)

        async def watch() -> list[int]:
            seen: list[int] = []
            while not done.is_set() or len(seen) < 360:
                entries = await other.log(seen[-1] if seen else 0, 1000, NOW)
                seen += [entry.number for entry in entries]
                await asyncio.sleep(0)
            return seen

        watching = asyncio.create_task(watch())
        await asyncio.gather(write(one, "a"), write(other, "b"))
        done.set()
        seen = await watching
        assert seen == list(range(1, 361))
        assert all(a < b for a, b in pairwise(seen))
