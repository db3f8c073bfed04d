"""Filters (NIP-01, NIP-50)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volok.model.event import Event
from volok.model.filters import Filter, InvalidFilter, UnknownCondition, parse_filter

A, B, C = "a" * 64, "b" * 64, "c" * 64
EVENT = Event(A, B, 100, 1, (("e", C), ("t", "x", "y"), ("t", "z"), ("t",)), "", "0" * 128)

hexes = st.text("0123456789abcdef", min_size=64, max_size=64)
times = st.integers(0, 2**53)
filters = st.fixed_dictionaries(
    {},
    optional={
        "ids": st.lists(hexes, max_size=3),
        "authors": st.lists(hexes, max_size=3),
        "kinds": st.lists(st.integers(0, 65535), max_size=3),
        "since": times,
        "until": times,
        "limit": times,
        "#e": st.lists(hexes, max_size=3),
        "#t": st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), max_size=3),
    },
)
junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
names = st.sampled_from(
    ["ids", "authors", "kinds", "since", "until", "limit", "search", "#e", "#p", "#t"]
)


@given(filters)
def test_filters_come_back_from_their_object(obj: dict[str, Any]) -> None:
    parsed = parse_filter(obj)
    assert parse_filter(parsed.to_object()) == parsed
    assert hash(parse_filter(parsed.to_object())) == hash(parsed)
    assert set(parsed.to_object()) == set(obj)
    for name, value in parsed.to_object().items():
        assert value == (sorted(set(obj[name])) if isinstance(value, list) else obj[name])


@given(junk | st.dictionaries(names | st.text(max_size=3), junk, max_size=4))
def test_what_is_no_filter_raises_invalid_filter(obj: object) -> None:
    try:
        parsed = parse_filter(obj)
    except InvalidFilter:
        return
    assert isinstance(obj, dict)
    without_words = {"search"} - set(parsed.to_object())
    assert set(parsed.to_object()) == set(obj) - without_words


@pytest.mark.parametrize(
    "obj",
    [
        {"ids": [A.upper()]},
        {"ids": [A[:-1]]},
        {"ids": A},
        {"authors": [None]},
        {"kinds": [True]},
        {"kinds": [65536]},
        {"kinds": ["1"]},
        {"since": -1},
        {"until": 1.5},
        {"limit": True},
        {"#e": ["short"]},
        {"#p": [["nested"]]},
        {"#t": [{}]},
        {"#t": ["\ud800"]},
        {"#tt": ["x"]},
        {"#1": ["x"]},
        {"#é": ["x"]},
        {"search": 5},
        {"search": "\ud800"},
        {"search": "x" * 1025},
        {1: 2},
        [],
        None,
    ],
)
def test_refused(obj: object) -> None:
    with pytest.raises(InvalidFilter):
        parse_filter(obj)


@pytest.mark.parametrize("obj", [{"colour": []}, {"#tt": ["x"]}, {"&t": ["x"]}, {"ids": [], "": 1}])
def test_what_a_later_nip_may_know_is_told_apart(obj: object) -> None:
    with pytest.raises(UnknownCondition):
        parse_filter(obj)


def test_a_search_is_kept_as_its_words() -> None:
    parsed = parse_filter({"search": " Two  WORDS, two language:en"})
    assert parsed == Filter(search="two words")
    assert parsed.to_object() == {"search": "two words"}
    assert parse_filter({"search": "language:en !"}) == Filter()
    text = Event(A, B, 100, 1, (), "Some words for two.", "0" * 128)
    assert parsed.matches(text)
    assert not parsed.matches(EVENT)


@pytest.mark.parametrize(
    "obj",
    [
        {},
        {"ids": [C, A]},
        {"authors": [B]},
        {"kinds": [0, 1]},
        {"since": 100, "until": 100},
        {"#e": [C], "#t": ["z", "nothing"]},
        {"limit": 0},
    ],
)
def test_matches(obj: dict[str, Any]) -> None:
    assert parse_filter(obj).matches(EVENT)


@pytest.mark.parametrize(
    "obj",
    [
        {"ids": [B]},
        {"authors": [A]},
        {"kinds": [2]},
        {"kinds": []},
        {"since": 101},
        {"until": 99},
        {"#t": ["y"]},
        {"#t": []},
        {"#e": [A], "#t": ["x"]},
        {"#p": [C]},
        {"ids": [A], "kinds": [2]},
    ],
)
def test_does_not_match(obj: dict[str, Any]) -> None:
    assert not parse_filter(obj).matches(EVENT)


def test_every_condition_of_a_filter_narrows_it() -> None:
    wanted = Filter(ids=frozenset({A}), kinds=frozenset({1}), tags={"t": frozenset({"x"})})
    assert wanted.matches(EVENT)
    assert wanted.to_object() == {"ids": [A], "kinds": [1], "#t": ["x"]}
