"""What calls have changed, in a file: versioned, shared by processes, never half written."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volok.native import NativeCrypto
from volok.relay.errors import RelayError
from volok.relay.lists import Lists
from volok.relay.management_state import (
    FILE,
    InvalidState,
    State,
    StateFile,
    decode_state,
    encode_state,
)
from volok.relay.settings import RelaySettings
from volok.store.file_seal import FileSeal

OLD_STATES = Path(__file__).parents[1] / "old_states"
NAMES = st.integers(0, 2**256 - 1).map(lambda number: f"{number:064x}")
REASONS = st.dictionaries(NAMES, st.text(max_size=5), max_size=3)
KINDS = st.frozensets(st.integers(0, 65535), max_size=3)
TEXTS = st.none() | st.text(max_size=5)
LISTS = st.builds(Lists, REASONS, REASONS, REASONS, REASONS, REASONS, KINDS, KINDS)
STATES = st.builds(State, LISTS, TEXTS, TEXTS, TEXTS, st.dictionaries(NAMES, st.integers(0, 9)))


@given(STATES)
def test_what_is_written_is_read(state):
    assert decode_state(encode_state(state)) == state


def test_the_first_version_loads():
    state = StateFile(OLD_STATES / "relay_v3" / FILE).state
    assert state.lists == Lists(
        banned_pubkeys={"aa" * 32: "spam"},
        allowed_pubkeys={"bb" * 32: ""},
        banned_events={"cc" * 32: "illegal"},
        reviewed_events={"dd" * 32: ""},
        banned_blobs={"ee" * 32: "malware"},
        allowed_kinds=frozenset({1, 1059}),
        disallowed_kinds=frozenset({7}),
    )
    assert (state.name, state.description, state.icon) == ("Лодка", "for us", None)
    assert state.used == {"ff" * 32: 1_800_000_000}
    changed = state.over(RelaySettings(icon="https://relay.example/a.png"))
    assert (changed.name, changed.icon) == ("Лодка", "https://relay.example/a.png")


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_what_is_no_state_is_said_to_be_none(data):
    with pytest.raises(InvalidState):
        decode_state(data)


@pytest.mark.parametrize(
    "wrong",
    [
        {"version": 2},
        {"version": None},
        {"banned_pubkeys": ["aa" * 32]},
        {"banned_pubkeys": {"aa": ""}},
        {"banned_pubkeys": {"aa" * 32: None}},
        {"allowed_kinds": {"1": ""}},
        {"allowed_kinds": ["1"]},
        {"name": 5},
        {"used": []},
        {"used": {"aa": 1}},
        {"used": {"aa" * 32: "1"}},
    ],
)
def test_a_field_of_another_shape(wrong):
    document = json.loads(encode_state(State())) | wrong
    with pytest.raises(InvalidState):
        decode_state(json.dumps(document).encode())


def named(name: str):
    return lambda state: (replace(state, name=name), name)


def test_changes_are_on_disk_and_private(tmp_path):
    path = tmp_path / FILE
    first, second = StateFile(path), StateFile(path)
    assert first.change(named("one")) == "one"
    assert path.stat().st_mode & 0o777 == 0o600
    assert second.state.name is None
    assert second.refresh().name == "one"
    second.change(named("two"))
    assert first.refresh().name == "two"
    assert StateFile(path).state.name == "two"
    path.unlink()
    assert first.refresh() == State()


def test_a_change_that_fails_changes_nothing(tmp_path):
    file = StateFile(tmp_path / FILE)
    file.change(named("one"))

    def broken(state):
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        file.change(broken)
    assert file.state.name == StateFile(tmp_path / FILE).state.name == "one"


def test_two_writers_lose_no_change(tmp_path):
    def ban(file, number):
        def change(state):
            banned = {**state.lists.banned_pubkeys, f"{number:064x}": ""}
            return replace(state, lists=replace(state.lists, banned_pubkeys=banned)), None

        file.change(change)

    def work(first):
        file = StateFile(tmp_path / FILE)
        for number in range(first, 20, 2):
            ban(file, number)

    threads = [threading.Thread(target=work, args=(first,)) for first in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(StateFile(tmp_path / FILE).state.lists.banned_pubkeys) == 20


def test_a_damaged_file_is_said_to_be_one(tmp_path):
    path = tmp_path / FILE
    path.write_text("{")
    with pytest.raises(RelayError, match="damaged"):
        StateFile(path)


def test_without_a_path_all_stays_in_memory():
    file = StateFile(None)
    file.change(named("one"))
    assert file.refresh().name == "one"


def test_under_a_seal_it_says_nothing(tmp_path):
    seal = FileSeal(NativeCrypto(), bytes(32))
    path = tmp_path / FILE
    StateFile(path, seal).change(named("a name"))
    assert b"name" not in path.read_bytes()
    assert StateFile(path, seal).state.name == "a name"
    for other in (None, FileSeal(NativeCrypto(), bytes([1]) * 32)):
        with pytest.raises(RelayError, match="damaged"):
            StateFile(path, other)
