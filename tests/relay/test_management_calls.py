"""Calls of the management API as functions of a state."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volok.relay.management_calls import (
    METHODS,
    Call,
    Effects,
    InvalidCall,
    answer,
    apply,
    changes,
    parse_call,
)
from volok.relay.management_state import State

KEY, OTHER = "aa" * 32, "bb" * 32


def after(*calls: tuple[str, list[object]], state: State | None = None) -> State:
    state = state or State()
    for method, params in calls:
        state, _ = apply(Call(method, tuple(params)), state)
    return state


def listed(state: State, method: str) -> object:
    return answer(Call(method, ()), state)


@pytest.mark.parametrize(
    ("ban", "unban", "lists", "key", "effects"),
    [
        ("banpubkey", "unbanpubkey", "listbannedpubkeys", "pubkey", Effects(author=KEY)),
        ("allowpubkey", "unallowpubkey", "listallowedpubkeys", "pubkey", Effects()),
        ("banevent", "allowevent", "listbannedevents", "id", Effects(event=KEY)),
        ("banblob", "unbanblob", "listbannedblobs", "sha256", Effects(blob=KEY)),
    ],
)
def test_on_a_list_and_off_again(ban, unban, lists, key, effects):
    state, done = apply(Call(ban, (KEY, "because")), State())
    assert done == effects
    state = after((ban, [OTHER]), state=state)
    assert listed(state, lists) == [
        {key: KEY, "reason": "because"},
        {key: OTHER, "reason": ""},
    ]
    state, done = apply(Call(unban, (KEY,)), state)
    assert done == Effects()
    assert listed(state, lists) == [{key: OTHER, "reason": ""}]


def test_a_key_is_on_one_list():
    state = after(("banpubkey", [KEY]), ("allowpubkey", [KEY]))
    assert not state.lists.banned_pubkeys
    state = after(("banpubkey", [KEY]), state=state)
    assert not state.lists.allowed_pubkeys


def test_what_was_disallowed_and_is_allowed_again_is_not_the_only_kind():
    state = after(("disallowkind", [7]))
    assert listed(state, "listdisallowedkinds") == [7]
    assert after(("allowkind", [7]), state=state) == State()
    state = after(("allowkind", [1]), ("allowkind", [4]), ("disallowkind", [4]))
    assert listed(state, "listallowedkinds") == [1]
    state = after(("allowkind", [4]), state=state)
    assert listed(state, "listallowedkinds") == [1, 4]
    only = after(("allowkind", [1]))
    with pytest.raises(InvalidCall, match="only kind"):
        after(("disallowkind", [1]), state=only)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), max_size=12), st.integers(0, 5))
def test_the_last_word_on_a_kind_holds(steps, kind):
    state = State()
    for allow, which in steps:
        method = "allowkind" if allow else "disallowkind"
        try:
            state = after((method, [which]), state=state)
        except InvalidCall:
            assert state.lists.allowed_kinds == {which}
            continue
        lists = state.lists
        taken = (not lists.allowed_kinds or which in lists.allowed_kinds) and (
            which not in lists.disallowed_kinds
        )
        assert taken is allow
    assert not state.lists.allowed_kinds & state.lists.disallowed_kinds


def test_what_is_shown_of_the_relay():
    state = after(
        ("changerelayname", ["Ёлка"]),
        ("changerelaydescription", ["a relay"]),
        ("changerelayicon", ["https://relay.example/icon.png"]),
    )
    assert (state.name, state.description, state.icon) == (
        "Ёлка",
        "a relay",
        "https://relay.example/icon.png",
    )


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("banpubkey", []),
        ("banpubkey", ["npub1"]),
        ("banpubkey", [KEY.upper()]),
        ("banpubkey", [KEY, "a", "b"]),
        ("banpubkey", [KEY, 5]),
        ("banpubkey", [KEY, "two\nlines"]),
        ("banpubkey", [KEY, "x" * 2001]),
        ("banevent", [None]),
        ("allowkind", ["1"]),
        ("allowkind", [True]),
        ("allowkind", [-1]),
        ("allowkind", [65536]),
        ("allowkind", [1, 2]),
        ("changerelayname", []),
        ("changerelayname", [None]),
        ("changerelayname", ["\x00"]),
    ],
)
def test_wrong_parameters_change_nothing(method, params):
    with pytest.raises(InvalidCall):
        apply(Call(method, tuple(params)), State())


def test_lists_have_an_end(monkeypatch):
    monkeypatch.setattr("volok.relay.management_calls.MAX_ENTRIES", 1)
    with pytest.raises(InvalidCall, match="full"):
        after(("banpubkey", [KEY]), ("banpubkey", [OTHER]))


def test_addresses_are_not_managed():
    assert not {"blockip", "unblockip", "listblockedips"} & set(METHODS)


@given(st.binary(max_size=80) | st.text(max_size=80).map(str.encode))
def test_any_body_is_a_call_or_invalid(body):
    try:
        call = parse_call(body)
    except InvalidCall:
        return
    assert isinstance(call.method, str)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.just(KEY),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)


@given(st.sampled_from(METHODS), st.lists(JSON, max_size=3))
def test_any_parameters_are_carried_out_or_invalid(method, params):
    call = parse_call(json.dumps({"method": method, "params": params}).encode())
    if not changes(call):
        assert answer(call, State()) == []
        return
    try:
        state, _ = apply(call, State())
    except InvalidCall:
        return
    assert isinstance(state, State)
