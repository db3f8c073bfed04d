"""The tree of keys: what was taken is gone for ever, all else stays as it was."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volok.store.key_tree import LEAVES, ROOT, Change, KeyTree, Node

SECRET = bytes(range(32))
near = st.integers(0, 600)
numbers = near | st.integers(0, LEAVES - 1)


def fresh() -> KeyTree:
    return KeyTree({ROOT: SECRET})


def test_keys_stay_what_they_are() -> None:
    """Other versions must derive the same: what was sealed is opened by these."""
    tree = fresh()
    first, last = tree.key(0) or b"", tree.key(LEAVES - 1) or b""
    assert first.hex() == "e3d78350af8875320e00201d0a21cb51bb5b0a4f3685a5483c81f4fbb10707bf"
    assert last.hex() == "6895a3509b50692034a065c2e862171cf33cf85a1b239b5840f96b48a4731b09"
    assert len({tree.key(n) for n in range(1000)}) == 1000


@given(st.lists(st.sets(numbers, max_size=8), max_size=5), st.sets(numbers, max_size=20))
def test_what_is_taken_is_gone_and_all_else_stays(turns: list[set[int]], asked: set[int]) -> None:
    tree, kept = fresh(), fresh()
    taken: set[int] = set()
    for turn in turns:
        tree.puncture(turn)
        taken |= turn
        for number in asked | taken:
            assert tree.key(number) == (None if number in taken else kept.key(number))
    # No node that is left stands above what was taken.
    for level, index in tree.nodes:
        assert not any(number >> 4 * (12 - level) == index for number in taken)


@given(st.lists(st.sets(near, max_size=30), max_size=5))
def test_changes_say_all(turns: list[set[int]]) -> None:
    tree = fresh()
    nodes: dict[Node, bytes] = dict(tree.nodes)
    for turn in turns:
        change = tree.puncture(turn)
        assert not change.added.keys() & change.removed
        for node in change.removed:
            del nodes[node]
        nodes |= change.added
        assert nodes == tree.nodes
    assert tree.puncture(set().union(*turns)) == Change()


def test_neighbours_that_are_all_gone_take_no_room() -> None:
    tree = fresh()
    tree.puncture(range(100_000))
    assert len(tree.nodes) < 15 * 12


@pytest.mark.parametrize("number", [-1, LEAVES])
def test_no_such_leaf(number: int) -> None:
    with pytest.raises(ValueError, match="no such leaf"):
        fresh().key(number)
    with pytest.raises(ValueError, match="no such leaf"):
        fresh().puncture([number])
