"""The index finds exactly what the filters match."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volok.model.event import Event
from volok.model.filters import Filter
from volok.relay.index import SubscriptionIndex

_HEX = st.sampled_from(["aa" * 32, "bb" * 32, "cc" * 32])
_TEXT = st.sampled_from(["x", "y", ""])
_KINDS = st.integers(0, 2)


def _optional(values: st.SearchStrategy) -> st.SearchStrategy:
    return st.none() | st.frozensets(values, max_size=2)


_FILTERS = st.builds(
    Filter,
    ids=_optional(_HEX),
    authors=_optional(_HEX),
    kinds=_optional(_KINDS),
    since=st.none() | st.integers(0, 3),
    until=st.none() | st.integers(0, 3),
    tags=st.dictionaries(st.sampled_from(["p", "t"]), st.frozensets(_TEXT, max_size=2), max_size=2),
)
_TAGS = st.lists(
    st.tuples(st.sampled_from(["p", "t", "long"]), _TEXT) | st.just(("p",)), max_size=3
)
_EVENTS = st.builds(
    Event,
    id=_HEX,
    pubkey=_HEX,
    created_at=st.integers(0, 3),
    kind=_KINDS,
    tags=_TAGS.map(tuple),
    content=st.just(""),
    sig=st.just(""),
)
_NAMES = st.tuples(st.integers(0, 2), st.sampled_from(["a", "b"]))
_SUBSCRIPTIONS = st.dictionaries(_NAMES, st.lists(_FILTERS, max_size=3), max_size=5)


@given(_SUBSCRIPTIONS, st.sets(_NAMES), _EVENTS)
def test_it_finds_what_matches_and_nothing_else(subscriptions, removed, event):
    index: SubscriptionIndex[int] = SubscriptionIndex()
    for (listener, name), filters in subscriptions.items():
        index.add(listener, name, [Filter()])
        index.add(listener, name, filters)
    for listener, name in removed:
        index.remove(listener, name)
    expected: dict[int, list[str]] = {}
    for (listener, name), filters in subscriptions.items():
        if (listener, name) not in removed and any(wanted.matches(event) for wanted in filters):
            expected.setdefault(listener, []).append(name)
    found = index.matching(event)
    assert {listener: sorted(names) for listener, names in found.items()} == {
        listener: sorted(names) for listener, names in expected.items()
    }
    assert len(index) == len(subscriptions.keys() - removed)


@given(_SUBSCRIPTIONS)
def test_an_emptied_index_holds_nothing(subscriptions):
    index: SubscriptionIndex[int] = SubscriptionIndex()
    for (listener, name), filters in subscriptions.items():
        index.add(listener, name, filters)
    for listener, name in subscriptions:
        index.remove(listener, name)
    assert not index._lists
    assert not index._filters


@pytest.mark.parametrize("name", ["a", ""])
def test_removing_what_is_not_there_is_harmless(name):
    index: SubscriptionIndex[int] = SubscriptionIndex()
    index.remove(1, name)
    assert len(index) == 0
