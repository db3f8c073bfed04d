"""A query that has much to look at gives way to others, and can be stopped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from volok.model.filters import Filter
from volok.store.conformance_tools import ALICE, BOB, NOW, make_event
from volok.store.sqlite_file import SqliteOptions
from volok.store.sqlite_reading import Reading
from volok.store.sqlite_store import SqliteStore

GREEDY = Filter(authors=frozenset([ALICE]), tags={"t": frozenset(["x"])})
"""Many events have the author, many have the tag, and the oldest alone has both."""


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("turns") / "store.db"

    async def fill() -> None:
        store = await SqliteStore.open(path)
        events = [make_event(1, ALICE, NOW - n) for n in range(6000)]
        events += [make_event(1, BOB, NOW - n, [["t", "x"]]) for n in range(6000)]
        await store.add([*events, make_event(1, ALICE, NOW - 9000, [["t", "x"]])], NOW)
        await store.close()

    asyncio.run(fill())
    return path


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    store = await SqliteStore.open(path, options=SqliteOptions(readers=1, turn_seconds=0))
    yield store
    await store.close()


async def test_a_greedy_query_gives_way(store: SqliteStore) -> None:
    done: list[str] = []

    async def ask(name: str, wanted: Filter) -> int:
        found = await store.query([wanted], 500, NOW)
        done.append(name)
        return len(found)

    greedy = asyncio.create_task(ask("greedy", GREEDY))
    await asyncio.sleep(0)
    assert await ask("other", Filter(ids=frozenset([ALICE]))) == 0
    assert await greedy == 1
    assert done == ["other", "greedy"]


async def test_counting_and_stamps_give_the_same_in_turns(store: SqliteStore) -> None:
    one_by_one = [Filter(authors=frozenset([ALICE])), Filter(tags={"t": frozenset(["x"])})]
    assert [await store.count([wanted], NOW) for wanted in one_by_one] == [6001, 6001]
    assert await store.count(one_by_one, NOW) == 12_001
    assert await store.count([GREEDY], NOW) == 1
    assert len(await store.query([Filter()], 20_000, NOW)) == 12_001
    assert sum(map(len, await store.stamps([Filter()], 20_000, NOW))) == 12_001 * 40


async def test_whoever_is_cancelled_asks_no_further(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = 0
    go_on = Reading.go_on

    def counted(self: Reading[object], connection: object) -> bool:
        nonlocal turns
        turns += 1
        return go_on(self, connection)  # type: ignore[arg-type]

    monkeypatch.setattr(Reading, "go_on", counted)
    greedy = asyncio.create_task(store.query([GREEDY], 500, NOW))
    await asyncio.sleep(0)
    greedy.cancel()
    with pytest.raises(asyncio.CancelledError):
        await greedy
    await store.query([Filter(ids=frozenset([ALICE]))], 1, NOW)
    assert turns <= 3
