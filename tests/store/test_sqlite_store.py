"""What only a store on a disk can get wrong: erasing, crashes, a full disk, keys, versions."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncIterator, Callable, Generator
from pathlib import Path
from typing import TypeVar

import apsw
import pytest

from volok.model.event import Event
from volok.model.filters import Filter
from volok.store import sqlite_drive, sqlite_gaps, sqlite_query
from volok.store.conformance_tools import ALICE, BOB, CAROL, NOW, contents, make_event
from volok.store.sqlite_file import PAGE_BYTES, SqliteOptions, author_key, index_key
from volok.store.sqlite_store import SqliteStore
from volok.store.store import Outcome, StoreError, StoreFull, Visibility

T = TypeVar("T")

MARKER = re.compile(rb"<\d{12}>")
HEX_MARKER = re.compile(rb"3c(?:3\d){12}3e")


def all_bytes(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.iterdir()))


def markers_in(folder: Path) -> set[bytes]:
    """All markers, as they are or in hexadecimal, as in a public key."""
    data = all_bytes(folder)
    plain = set(MARKER.findall(data))
    return plain | {bytes.fromhex(found.decode()) for found in HEX_MARKER.findall(data)}


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = await SqliteStore.open(tmp_path / "store.db")
    yield store
    await store.close()


class Traffic:
    """Random events, which leave in every way there is; content and author carry markers."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.here: dict[str, tuple[Event, set[bytes]]] = {}
        self.deleters: set[bytes] = set()

    def new(self) -> Event:
        dice = self.random
        author, marker = (f"<{dice.randrange(10**12):012}>" for _ in range(2))
        tags = [["t", "x" + marker], ["expiration", str(NOW + dice.randrange(1, 60))]]
        event = make_event(
            dice.choice([0, 1, 1, 1059, 30_000]),
            (author.encode() + dice.randbytes(18)).hex(),
            NOW - dice.randrange(10**6),
            [*tags[: dice.randrange(3)], ["d", marker]],
            marker * dice.choice([1, 5, 20, 60, 120, 600]),
        )
        self.here[event.id] = event, {author.encode(), marker.encode()}
        return event

    async def turn(self, store: SqliteStore, now: int) -> None:
        await store.add([self.new() for _ in range(150)], NOW)
        await store.expire(now)
        for name in self.here.keys() - await contents(store, now):
            del self.here[name]
        leaving = self.random.sample(sorted(self.here), self.random.choice([20, 60, 120]))
        half = len(leaving) // 2
        assert await store.delete(leaving[:half]) == half
        deletions = []
        for name in leaving[half:]:
            event = self.here[name][0]
            deletions.append(make_event(5, event.pubkey, tags=[["e", name]]))
            self.deleters.add(bytes.fromhex(event.pubkey)[:14])
        assert set(await store.add(deletions, NOW)) == {Outcome.ADDED}
        for name in leaving:
            del self.here[name]
        await store.flush()


async def leftovers(folder: Path, turns: int, log_bytes: int = 64 << 20) -> int:
    """How many markers of events that have left are in any file."""
    traffic, options = Traffic(seed=7), SqliteOptions(log_bytes=log_bytes)
    store = await SqliteStore.open(folder / "store.db", options=options)
    for turn in range(turns):
        await traffic.turn(store, NOW + turn)
    expected = traffic.deleters.union(*(markers for _, markers in traffic.here.values()))
    found = markers_in(folder)
    await store.close()
    assert expected <= found
    assert markers_in(folder) == found
    return len(found - expected)


async def test_what_has_left_is_in_no_file(tmp_path: Path) -> None:
    assert await leftovers(tmp_path, turns=30) == 0


async def test_what_has_left_is_in_no_file_when_the_log_is_copied_ahead(tmp_path: Path) -> None:
    assert await leftovers(tmp_path, turns=30, log_bytes=50_000) == 0


async def test_sqlite_alone_would_leave_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Why the log zeroes gaps; and that the test above can fail."""
    monkeypatch.setattr(sqlite_gaps, "_gap", lambda image, header: (0, 0))
    assert await leftovers(tmp_path, turns=30) > 0


async def test_the_replaced_is_gone_after_a_quiet_moment(tmp_path: Path) -> None:
    options = SqliteOptions(quiet_seconds=0.05)
    store = await SqliteStore.open(tmp_path / "store.db", options=options)
    await store.add([make_event(0, content="<000000000001>")], NOW)
    await store.add([make_event(0, created_at=NOW + 1, content="<000000000002>")], NOW)
    async with asyncio.timeout(10):
        while b"<000000000001>" in all_bytes(tmp_path):
            await asyncio.sleep(0.01)
    assert b"<000000000002>" in all_bytes(tmp_path)
    await store.close()


async def test_the_log_stays_small_under_load(tmp_path: Path) -> None:
    options = SqliteOptions(log_bytes=200_000)
    store = await SqliteStore.open(tmp_path / "store.db", options=options)
    for n in range(40):
        await store.add([make_event(content=str(n) + "x" * 20_000)], NOW)
        assert (tmp_path / "store.db-wal").stat().st_size < 450_000
    await store.close()
    assert not (tmp_path / "store.db-wal").exists()


async def test_a_log_that_was_begun_anew_keeps_nothing_that_leaves(tmp_path: Path) -> None:
    log, size = tmp_path / "store.db-wal", 200_000
    options = SqliteOptions(log_bytes=size, quiet_seconds=0.01)
    store = await SqliteStore.open(tmp_path / "store.db", options=options)
    async with asyncio.timeout(30):
        while not log.exists() or log.stat().st_size:  # what an earlier run may have left is cut
            await asyncio.sleep(0.01)
    events = [make_event(content=f"<{n:012}>" + "x" * 20_000) for n in range(60)]
    for event in events:
        await store.add([event], NOW)
    # Much more went through it, and it was never emptied.
    assert size < log.stat().st_size < 450_000
    assert len(markers_in(tmp_path)) == 60
    assert await store.delete([event.id for event in events[:50]]) == 50
    assert markers_in(tmp_path) == {f"<{n:012}>".encode() for n in range(50, 60)}
    await store.close()


async def test_tombstones_tell_nothing_but_who_deleted_which_id(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "store.db")
    secret = make_event(30_000, tags=[["d", "<000000000001>"]], content="<000000000002>")
    deletion = make_event(5, tags=[["e", secret.id], ["a", f"30000:{ALICE}:<000000000001>"]])
    await store.add([secret, deletion], NOW)
    assert await store.delete([deletion.id]) == 1
    data = all_bytes(tmp_path)
    assert MARKER.search(data) is None
    assert bytes.fromhex(secret.id) in data
    assert await store.add([secret], NOW) == [Outcome.DELETED]
    await store.close()


async def test_reopened_it_is_as_it_was(tmp_path: Path) -> None:
    events = [make_event(kind, content="x") for kind in (0, 1, 2)]
    store = await SqliteStore.open(tmp_path / "store.db")
    await store.add([*events, make_event(5, tags=[["e", events[1].id]])], NOW)
    before, head = await store.log(0, 10, NOW), store.head
    await store.close()
    store = await SqliteStore.open(tmp_path / "store.db")
    assert store.head == head
    assert await store.log(0, 10, NOW) == before
    assert await store.add(events, NOW) == [
        Outcome.DUPLICATE,
        Outcome.DELETED,
        Outcome.DUPLICATE,
    ]
    await store.close()


async def test_numbers_of_ephemeral_events_are_not_used_again(tmp_path: Path) -> None:
    shown: list[int] = []
    for turn in range(3):
        store = await SqliteStore.open(tmp_path / "store.db")
        batches = store.follow(store.head)
        first = asyncio.ensure_future(anext(batches))
        await asyncio.sleep(0)
        fleeting = [make_event(20_000, content=f"{turn} {n}") for n in range(3)]
        await store.add(fleeting, NOW)
        shown += [entry.number for entry in await first]
        assert store.head < shown[-1]
        await store.close()
    assert shown == sorted(set(shown))
    assert len(shown) == 9


async def test_encrypted_it_shows_nothing(tmp_path: Path) -> None:
    path, event = tmp_path / "store.db", make_event(content="<000000000001>")
    store = await SqliteStore.open(path, key=b"k" * 32)
    await store.add([event], NOW)
    data = all_bytes(tmp_path)
    assert len(data) > PAGE_BYTES
    for clear in (b"<000000000001>", bytes.fromhex(event.id), b"CREATE TABLE", b"SQLite format"):
        assert clear not in data
    await store.close()
    for key in (None, b"K" * 32):
        with pytest.raises(StoreError):
            await SqliteStore.open(path, key)
    store = await SqliteStore.open(path, key=b"k" * 32)
    assert await contents(store) == {event.id}
    await store.close()


async def test_a_full_store_refuses_and_keeps_what_it_has(tmp_path: Path) -> None:
    options = SqliteOptions(max_bytes=100 * PAGE_BYTES)
    store = await SqliteStore.open(tmp_path / "store.db", options=options)
    taken: list[Event] = []

    async def fill() -> None:
        while True:
            await store.add([big := make_event(content=f"{len(taken):20000}")], NOW)
            taken.append(big)

    with pytest.raises(StoreFull):
        await fill()
    assert len(taken) > 5
    assert await contents(store) == {event.id for event in taken}
    assert store.head == (await store.log(0, 100, NOW))[-1].number
    await store.delete([taken[0].id, taken[1].id])
    assert await store.add([make_event(content="y" * 20_000)], NOW) == [Outcome.ADDED]
    await store.close()


@pytest.mark.parametrize("data", [b"", b"not a database, but long enough to be looked at" * 100])
async def test_a_strange_file(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "store.db").write_bytes(data)
    if data:
        with pytest.raises(StoreError):
            await SqliteStore.open(tmp_path / "store.db")
        assert (tmp_path / "store.db").read_bytes() == data
    else:
        await (await SqliteStore.open(tmp_path / "store.db")).close()


async def test_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    await (await SqliteStore.open(path)).close()
    with apsw.Connection(str(path)) as connection:
        connection.pragma("user_version", 99)
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StoreError):
        await SqliteStore.open(path)
    assert path.read_bytes() == before


async def test_concurrent_adds_share_commits(store: SqliteStore) -> None:
    commits = 0
    batches = store.follow(0)
    await store.add([make_event(content="first")], NOW)
    await anext(batches)
    adds = [store.add([make_event(content=str(n))], NOW) for n in range(400)]
    await asyncio.gather(*adds)
    seen = 0
    while seen < 400:
        seen += len(await anext(batches))
        commits += 1
    assert commits < 100


async def test_a_cancelled_add_harms_nobody(store: SqliteStore) -> None:
    first = asyncio.ensure_future(store.add([make_event(content="1")], NOW))
    other = asyncio.ensure_future(store.add([make_event(content="2")], NOW))
    await asyncio.sleep(0)
    first.cancel()
    assert await other == [Outcome.ADDED]
    await store.flush()


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        (
            Filter(authors=frozenset([ALICE, BOB])),
            ("postings", {author_key(ALICE), author_key(BOB)}),
        ),
        (Filter(kinds=frozenset([1, 2])), ("timeline", {1, 2})),
        (Filter(tags={"e": frozenset([ALICE])}), ("postings", {index_key("e", ALICE)})),
        (Filter(), ("timeline", {1})),
        (
            # Many have the kind and the tag, few this author.
            Filter(
                kinds=frozenset([1]),
                authors=frozenset([BOB]),
                tags={"t": frozenset(["a"]), "u": frozenset(["b"])},
            ),
            ("postings", {author_key(BOB)}),
        ),
        (
            Filter(kinds=frozenset([1]), authors=frozenset([ALICE]), tags={"u": frozenset("b")}),
            ("postings", {index_key("u", "b")}),
        ),
    ],
)
async def test_the_index_with_the_fewest_rows_drives(
    tmp_path: Path, wanted: Filter, index: tuple[str, set[object]]
) -> None:
    path = tmp_path / "store.db"
    await fill(path)
    with apsw.Connection(str(path)) as connection:
        drive = run(connection, sqlite_drive.choose(wanted, None))
    connection.close()
    assert (drive.table, set(drive.keys)) == index


@pytest.mark.parametrize(
    "wanted",
    [
        Filter(ids=frozenset([ALICE])),
        Filter(kinds=frozenset([0, 3]), authors=frozenset([ALICE]), limit=1),
        Filter(authors=frozenset([ALICE, BOB]), kinds=frozenset([1]), since=NOW - 9, until=NOW),
        Filter(kinds=frozenset([1, 2])),
        Filter(tags={"e": frozenset([ALICE]), "t": frozenset(["a", "b"])}),
        Filter(),
    ],
)
async def test_no_statement_of_a_query_reads_a_whole_table_or_sorts(
    tmp_path: Path, wanted: Filter
) -> None:
    path = tmp_path / "store.db"
    await fill(path)
    plans: list[str] = []

    def explain(ask: sqlite_drive.Ask) -> None:
        rows = connection.execute("EXPLAIN QUERY PLAN " + ask.sql, ask.bindings)
        plans.extend(str(row[3]) for row in rows)

    visible = Visibility(frozenset([1059]), frozenset([ALICE]))
    with apsw.Connection(str(path)) as connection:
        run(connection, sqlite_query.entries([wanted], 10, NOW, visible), explain)
        run(connection, sqlite_query.count([wanted], NOW, visible), explain)
    connection.close()
    assert len(plans) > 2
    for step in plans:
        assert not re.match("SCAN (events|postings|timeline|ids|e|i|t)\\b", step), plans


async def fill(path: Path) -> None:
    store = await SqliteStore.open(path)
    many = [make_event(tags=[["t", "a"]], content=str(n)) for n in range(30)]
    few = [make_event(1, BOB, tags=[["t", "a"], ["u", "b"]]), make_event(1, tags=[["u", "b"]])]
    await store.add([*many, *few, make_event(1, CAROL, tags=[["u", "b"]] * 2)], NOW)
    await store.close()


def run(
    connection: apsw.Connection,
    asking: Generator[sqlite_drive.Ask, sqlite_drive.Rows, T],
    heard: Callable[[sqlite_drive.Ask], None] = lambda _: None,
) -> T:
    """What a read gives, all at once."""
    try:
        ask = next(asking)
        while True:
            heard(ask)
            ask = asking.send(connection.execute(ask.sql, ask.bindings).fetchall())
    except StopIteration as done:
        result: T = done.value
        return result
