"""Queries of readers who may not see everything, against a plain selection."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volok.model.event import parse_event
from volok.model.filters import Filter
from volok.relay import query
from volok.relay.access import Reader, Refusal
from volok.relay.query import visible_entries, visible_pages
from volok.store.memory_store import MemoryStore

NOW = 100
MINE, THEIRS = "aa" * 32, "bb" * 32

_SHAPES = st.tuples(st.sampled_from([1, 1059]), st.integers(0, 5), st.sampled_from([MINE, THEIRS]))
_FILTERS = st.builds(
    Filter,
    kinds=st.sampled_from([None, frozenset({1}), frozenset({1, 1059})]),
    limit=st.none() | st.integers(0, 5),
    until=st.none() | st.integers(0, 5),
)


def event(number, shape):
    kind, created_at, addressee = shape
    return parse_event(
        {
            "id": f"{number:064x}",
            "pubkey": THEIRS,
            "created_at": created_at,
            "kind": kind,
            "tags": [["p", addressee]],
            "content": "",
            "sig": "00" * 64,
        }
    )


def newest(events, limit):
    return sorted(events, key=lambda e: (-e.created_at, e.id))[:limit]


@settings(max_examples=60)
@given(st.lists(_SHAPES, max_size=15), _FILTERS, st.integers(7, 20))
async def test_one_filter_gives_the_newest_that_may_be_seen(shapes, wanted, limit):
    store = MemoryStore()
    events = [event(number, shape) for number, shape in enumerate(shapes)]
    await store.add(events, NOW)
    reader = Reader({MINE}, sealed=True)
    filters = reader.permitted([wanted])
    assert not isinstance(filters, Refusal)
    got = [e.event for e in await visible_entries(store, filters, limit, reader, NOW)]
    visible = [e for e in events if reader.may_see(e)]
    if wanted.kinds is None or len(filters) == 1:
        expected = [e for e in visible if wanted.matches(e)]
        count = limit if wanted.limit is None else min(limit, wanted.limit)
        assert got == newest(expected, count)
    else:
        # Narrowed into two filters, each with its limit.
        assert {e.id for e in got} <= {e.id for e in visible if wanted.matches(e)}
        assert got == newest(got, limit)


async def test_pages_go_on_behind_sealed_events_of_others():
    store = MemoryStore()
    sealed = [event(number, (1059, 50 + number, THEIRS)) for number in range(20)]
    await store.add([*sealed, event(99, (1, 10, MINE))], NOW)
    reader = Reader(set(), sealed=True)
    (found,) = await visible_entries(store, [Filter()], 5, reader, NOW)
    assert found.event.kind == 1


@settings(max_examples=60)
@given(st.lists(_SHAPES, max_size=25), _FILTERS, st.integers(1, 30), st.integers(1, 6))
async def test_pages_together_are_one_answer(shapes, wanted, limit, page):
    store = MemoryStore()
    await store.add([event(number, shape) for number, shape in enumerate(shapes)], NOW)
    reader = Reader({MINE}, sealed=True)
    filters = reader.permitted([wanted])
    assert not isinstance(filters, Refusal)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(query, "PAGE", page)
        pages = [found async for found in visible_pages(store, filters, limit, reader, NOW)]
    assert [is_last for _, is_last in pages] == [False] * (len(pages) - 1) + [True]
    together = [entry.number for entries, _ in pages for entry in entries]
    whole = await visible_entries(store, filters, limit, reader, NOW)
    assert together == [entry.number for entry in whole]
