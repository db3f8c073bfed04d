"""The index of ids in runs: what is in it is found and leaves it, however far it is merged."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import apsw
import pytest

from volok.model.event import Event
from volok.model.filters import Filter
from volok.store.conformance_tools import ALICE, NOW, make_deletion, make_event
from volok.store.inspection import verify
from volok.store.sqlite_file import IDS, SCHEMA, id_key
from volok.store.sqlite_ids import ALL_RUNS, LEVELS, merge, number_of, run_of
from volok.store.sqlite_rows import Batch
from volok.store.sqlite_store import SqliteStore
from volok.store.store import Outcome

_INSERT = f"INSERT INTO ids SELECT {run_of('?2', '0')}, ?1, ?2"
_FIND = f"{ALL_RUNS} SELECT {number_of('?')}"
_FULL = 2**14 * 8
"""Entries of a run of the second level."""


@pytest.fixture
def connection() -> apsw.Connection:
    made = apsw.Connection(":memory:")
    made.execute(IDS)
    return made


def _ids(count: int, seed: int, zeros: int = 0) -> list[bytes]:
    chance = random.Random(seed)
    return [bytes(zeros) + chance.randbytes(16 - zeros) for _ in range(count)]


def _runs(connection: apsw.Connection) -> list[int]:
    return [run for (run,) in connection.execute(f"{ALL_RUNS} SELECT run FROM runs") if run]


def test_no_level_has_more_runs_than_two_groups_while_events_come_in(
    connection: apsw.Connection,
) -> None:
    names = _ids(3 * _FULL + 5_000, 1)
    most = 0
    for start in range(0, len(names), 500):
        part = list(enumerate(names[start : start + 500], start + 1))
        connection.executemany(_INSERT, [(name, number) for number, name in part])
        most = max(most, merge(connection, part[-1][0], 8 * len(part)))
        levels = Counter(run >> 28 for run in _runs(connection))
        assert levels[0] <= 8 + 2
        assert len(levels) <= LEVELS
    # One piece may be eight times as long as what is asked for last.
    assert 0 < most <= 8 * 500 + 8 * 128
    for number in (1, 2, _FULL, _FULL + 1, len(names)):
        assert connection.execute(_FIND, (names[number - 1],)).get == number
    assert connection.execute("SELECT count(*) FROM ids").get == len(names)
    assert connection.execute(_FIND, (bytes(16),)).get is None


def test_ids_with_proof_of_work_move_in_pieces_as_well(connection: apsw.Connection) -> None:
    """They all begin with the same bits."""
    names = _ids(_FULL + 1, 2, zeros=5)
    connection.executemany(_INSERT, [(name, number) for number, name in enumerate(names)])
    pieces = []
    while moved := merge(connection, len(names), 1):
        pieces.append(moved)
    assert sum(pieces) == _FULL
    assert max(pieces) <= 8 * 128
    assert connection.execute(_FIND, (names[77],)).get == 77


def test_runs_of_one_author_who_chose_all_ids_of_a_run_lower_than_those_of_others(
    connection: apsw.Connection,
) -> None:
    low, high = _ids(2**14, 3, zeros=4), _ids(_FULL, 4)
    names = [*low, *high[: _FULL - len(low)], b"z" * 16]
    connection.executemany(_INSERT, [(name, number) for number, name in enumerate(names)])
    pieces = []
    while moved := merge(connection, len(names), 1):
        pieces.append(moved)
    assert sum(pieces) == _FULL
    assert min(pieces[:-1]) >= 128
    assert max(pieces) <= 8 * 128


def test_a_group_that_lost_most_of_its_entries_is_merged(connection: apsw.Connection) -> None:
    names = _ids(_FULL + 1, 5)
    connection.executemany(
        _INSERT, [(name, number) for number, name in enumerate(names) if number % 999 == 0]
    )
    assert merge(connection, len(names), 10**6) == len(range(0, _FULL, 999))
    assert merge(connection, len(names), 10**6) == 0
    assert connection.execute(_FIND, (names[999],)).get == 999


def test_what_is_erased_leaves_the_index_wherever_it_was_moved(connection: apsw.Connection) -> None:
    connection.execute("DROP TABLE ids")
    connection.execute(SCHEMA)
    events = [make_event(content=f"{number}") for number in range(30)]
    for level in range(LEVELS):
        _index(connection, events[level::LEVELS], level)
    batch = Batch()
    for event in events[:20]:
        batch.add(_FULL + int(event.content), event, None)
    batch.erase(connection)
    left = connection.execute("SELECT id FROM ids").fetchall()
    assert {name for (name,) in left} == {id_key(event.id) for event in events[20:]}


def _index(connection: apsw.Connection, events: list[Event], level: int) -> None:
    run = f"INSERT INTO ids SELECT {run_of('?2', str(level))}, ?1, ?2"
    connection.executemany(
        run, [(id_key(event.id), _FULL + int(event.content)) for event in events]
    )


async def test_a_store_finds_and_loses_what_was_moved(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    await (await SqliteStore.open(path)).close()
    with apsw.Connection(str(path)) as made:
        made.execute("UPDATE numbers SET reserved = ?", (_FULL - 20,))
    made.close()
    store = await SqliteStore.open(path)
    events = [make_event(kind=1, content=f"{number}") for number in range(30)]
    for event in events:
        assert await store.add([event], NOW) == [Outcome.ADDED]
    assert await store.add(events, NOW) == [Outcome.DUPLICATE] * 30
    deletion = make_deletion(ALICE, ["e", events[1].id], ["e", events[-1].id])
    assert await store.add([deletion], NOW) == [Outcome.ADDED]
    assert await store.delete([events[0].id, events[-2].id]) == 2
    left = events[2:-2]
    wanted = Filter(ids=frozenset(event.id for event in events))
    found = await store.query([wanted], 100, NOW)
    assert {entry.event.id for entry in found} == {event.id for event in left}
    await store.close()
    assert not verify(path, NOW).problems
    assert id_key(events[2].id) in path.read_bytes()
    assert id_key(events[0].id) not in path.read_bytes()
    assert id_key(events[-2].id) not in path.read_bytes()
    with apsw.Connection(str(path)) as made:
        levels = Counter(run >> 28 for (run,) in made.execute("SELECT run FROM ids"))
    made.close()
    assert levels == {1: 17, 0: 10}


@pytest.mark.parametrize("first", [5, _FULL - 2**14 - 2])
async def test_ids_that_begin_alike_stop_nothing(tmp_path: Path, first: int) -> None:
    """They come into one run at once, or when two are merged."""
    path = tmp_path / "store.db"
    one = make_event(content="one")
    other = replace(make_event(content="other"), id=one.id[:32] + "00" * 16)
    await (await SqliteStore.open(path)).close()
    for start, events in ((first, [one, other]), (_FULL, [make_event(content="more")])):
        with apsw.Connection(str(path)) as made:
            made.execute("UPDATE numbers SET reserved = ?", (start,))
        made.close()
        store = await SqliteStore.open(path)
        for event in events:
            assert await store.add([event], NOW) == [Outcome.ADDED]
        found = await store.query([Filter(ids=frozenset([one.id, other.id]))], 9, NOW)
        assert {entry.event.id for entry in found} & {one.id, other.id}
        assert len(await store.query([Filter(kinds=frozenset([1]))], 9, NOW)) >= 2
        await store.close()
