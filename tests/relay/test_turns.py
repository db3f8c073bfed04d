"""Sources take turns."""

from __future__ import annotations

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from volok.relay.turns import SUSPECTS, Turns


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9)), max_size=60))
def test_everything_comes_out_once_in_the_order_of_its_source(script):
    turns: Turns[int] = Turns()
    brought, got = defaultdict(list), defaultdict(list)
    for number, (source, most) in enumerate(script):
        turns.put(source, number)
        turns.judge(source, number % 3 == 0)
        brought[source].append(number)
        for one, item in turns.take(most // 3):
            got[one].append(item)
    while taken := turns.take(7):
        for one, item in taken:
            got[one].append(item)
    assert got == brought
    assert len(turns) == 0


def test_one_does_not_wait_behind_thousands():
    turns: Turns[int] = Turns()
    for number in range(1000):
        turns.put("many", number)
    turns.put("one", 0)
    assert ("one", 0) in turns.take(2)


def test_who_brings_bad_things_comes_last_and_comes():
    turns: Turns[int] = Turns()
    for number in range(1000):
        for source in ("good", "bad", "worse"):
            turns.put(source, number)
    turns.judge("bad", True)
    turns.judge("worse", True)
    turns.take(3)  # the turns that they had already
    taken = [source for source, _ in turns.take(10 * SUSPECTS)]
    assert len(taken) - taken.count("good") == 10
    turns.judge("bad", False)
    turns.take(2 * SUSPECTS)
    taken = [source for source, _ in turns.take(10 * SUSPECTS)]
    assert taken.count("good") >= 4 * SUSPECTS
    assert taken.count("bad") >= 4 * SUSPECTS


def test_the_bad_get_everything_when_nobody_else_is_there():
    turns: Turns[int] = Turns()
    for number in range(10):
        turns.put("bad", number)
    turns.judge("bad", True)
    assert len(turns.take(10)) == 10
