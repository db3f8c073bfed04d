"""Every backend against the exported suite, and against a model under random histories."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from volok.model.event import Event
from volok.model.filters import Filter
from volok.store.conformance import CHECKS
from volok.store.conformance_reading import check_search_order
from volok.store.conformance_tools import ALICE, BOB, NOW, Check, expected, make_event
from volok.store.memory_store import MemoryStore
from volok.store.sqlite_file import SqliteOptions
from volok.store.sqlite_store import SqliteStore
from volok.store.store import Store

Backend = Callable[[Path], Awaitable[Store]]


async def memory(_: Path) -> Store:
    return MemoryStore()


async def sqlite(folder: Path) -> Store:
    return await SqliteStore.open(folder / "store.db")


async def encrypted(folder: Path) -> Store:
    return await SqliteStore.open(folder / "store.db", key=b"k" * 32)


async def sqlite_cut_always(folder: Path) -> Store:
    return await SqliteStore.open(folder / "store.db", options=SqliteOptions(log_bytes=1))


async def sqlite_own_process(folder: Path) -> Store:
    options = SqliteOptions(own_process=True)
    return await SqliteStore.open(folder / "store.db", b"k" * 32, options)


@pytest.mark.parametrize(
    "backend", [memory, sqlite, encrypted, sqlite_cut_always, sqlite_own_process]
)
@pytest.mark.parametrize("check", [*CHECKS, check_search_order], ids=lambda check: check.__name__)
async def test_backend(check: Check, backend: Backend, tmp_path: Path) -> None:
    names = itertools.count()

    async def make_store() -> Store:
        folder = tmp_path / str(next(names))
        folder.mkdir()
        return await backend(folder)

    await check(make_store)


authors = st.sampled_from([ALICE, BOB])
kinds = st.sampled_from([0, 1, 5, 1059, 10_000, 30_000])
times = st.integers(NOW - 2, NOW + 2)
tag = st.one_of(
    st.tuples(st.sampled_from("dtT"), st.sampled_from("ab")),
    st.tuples(st.just("p"), authors),
    st.tuples(st.just("expiration"), times.map(str)),
)


@st.composite
def histories(draw: st.DrawFn) -> list[Event]:
    """Events, some of which delete others of the same history by id or address."""
    events: list[Event] = []
    for kind, author, time, tags in draw(
        st.lists(st.tuples(kinds, authors, times, st.lists(tag, max_size=2)), max_size=12)
    ):
        names: list[tuple[str, str]] = list(tags)
        if kind == 5 and events:
            target = draw(st.sampled_from(events))
            names += [("e", target.id), ("a", f"{target.kind}:{target.pubkey}:{draw(_names)}")]
        events.append(make_event(kind, author, time, names))
    return draw(st.permutations(events))


_names = st.sampled_from(["", "a", "b"])


def some(values: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.none() | st.frozensets(values, max_size=2)


filters = st.builds(
    Filter,
    authors=some(authors),
    kinds=some(kinds),
    since=st.none() | times,
    until=st.none() | times,
    limit=st.none() | st.integers(0, 4),
    tags=st.dictionaries(
        st.sampled_from("dtT"), st.frozensets(st.sampled_from("abc"), max_size=3), max_size=2
    ),
)


@pytest.fixture(scope="module")
def loop_runner():
    with asyncio.Runner() as runner:
        yield runner


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(histories(), st.lists(st.lists(filters, max_size=3), max_size=4), st.integers(0, 6))
def test_same_as_the_model(
    loop_runner: asyncio.Runner,
    history: list[Event],
    queries: list[list[Filter]],
    limit: int,
) -> None:
    """Both backends end with the same events and answer every query as `Filter.matches` says."""

    async def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            stores = [MemoryStore(), await SqliteStore.open(Path(folder) / "store.db")]
            outcomes = [await store.add(history, NOW) for store in stores]
            assert outcomes[0] == outcomes[1]
            logs = [await store.log(0, 100, NOW) for store in stores]
            assert logs[0] == logs[1]
            here = [entry.event for entry in logs[0]]
            for wanted in queries:
                for store in stores:
                    given = await store.query(wanted, limit, NOW)
                    assert [e.event for e in given] == expected(here, wanted, limit, NOW)
                    matching = sum(any(f.matches(event) for f in wanted) for event in here)
                    assert await store.count(wanted, NOW) == matching
            for store in stores:
                await store.close()

    loop_runner.run(run())
