"""How much of a body a request carries: what is learned from bodies that pass and that freeze."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volok.paths.allowances import Allowances
from volok.paths.budget import Allowance, BudgetSettings
from volok.paths.choice import Place
from volok.paths.sizes import Sizes, SizeSettings

PLACE = Place("here", "relay:443")
BUDGET = BudgetSettings()
SETTINGS = SizeSettings()
OTHER = Place("elsewhere", "relay:443")


def sizes() -> Sizes:
    return Sizes(BUDGET)


def test_without_a_freeze_there_is_no_limit() -> None:
    one = sizes()
    assert one.room(PLACE, "direct", None, 0.0) is None
    one.passed(PLACE, "direct", 1000, None, 0.0)
    assert one.room(PLACE, "direct", None, 0.0) is None
    assert one.changes == 0


def test_what_websockets_learned_counts() -> None:
    room = sizes().room(PLACE, "direct", Allowance(12_000, 20.0, 900.0, 900.0), 0.0)
    assert room == int((20.0 - 13.0) / 1.5 * 1300)
    room = sizes().room(PLACE, "direct", Allowance(6000, 100.0, 900.0, 900.0), 0.0)
    assert room == 2000


@given(st.integers(4000, 60_000), st.one_of(st.none(), st.floats(14.0, 40.0)))
def test_it_finds_a_limit_and_keeps_below_it(limit: int, packets: float | None) -> None:
    """Whatever the limit, few requests freeze, and then nearly as much as passes is used."""
    one = sizes()
    known = None if packets is None else Allowance(9000, packets, 900.0, 900.0)
    if known is None:
        assert one.froze(PLACE, "direct", 1_000_000, 0, known, 0.0)
    freezes = 0
    for _ in range(60):
        room = one.room(PLACE, "direct", known, 1.0)
        assert room is not None
        if room <= limit:
            one.passed(PLACE, "direct", room, known, 1.0)
        else:
            freezes += 1
            assert one.froze(PLACE, "direct", room, 0, known, 1.0)
    settled = one.room(PLACE, "direct", known, 1.0)
    assert settled is not None
    assert limit / 1.6 < settled <= limit
    assert freezes <= 6


def test_what_came_before_the_freeze_counts() -> None:
    one = sizes()
    assert one.froze(PLACE, "direct", 50_000, 16_000, None, 0.0)
    room = one.room(PLACE, "direct", None, 1.0)
    assert room is not None
    assert 12_800 <= room <= 19_200


def test_where_nearly_nothing_passes_the_path_has_failed() -> None:
    one = sizes()
    passed = True
    for _ in range(20):
        room = one.room(PLACE, "direct", None, 0.0) or 100_000
        passed = one.froze(PLACE, "direct", room, 0, None, 0.0)
        if not passed:
            break
    assert not passed
    assert one.room(PLACE, "direct", None, 0.0) is None


def test_an_outage_after_much_is_no_limit() -> None:
    assert not sizes().froze(PLACE, "direct", 10**6, BUDGET.most_bytes + 1, None, 0.0)


def test_after_a_while_more_is_tried_and_a_limit_that_is_gone_is_forgotten() -> None:
    one = sizes()
    one.froze(PLACE, "direct", 5000, 4900, None, 0.0)
    assert one.room(PLACE, "direct", None, 1.0) == 3920
    now = SETTINGS.trial + 1.0
    while (room := one.room(PLACE, "direct", None, now)) is not None:
        assert room > 3920
        one.passed(PLACE, "direct", room, None, now)
    assert one.dump() == []


def test_it_is_kept_with_the_allowances_and_nonsense_is_left_out() -> None:
    known = Allowances()
    known.sizes.froze(PLACE, "direct", 20_000, 15_000, None, 100.0)
    rows = json.loads(json.dumps(known.dump()))
    again = Allowances()
    nonsense = [["a"], ["a", "b", "c", -1, 2, 3], ["a", "b", "c", "d", 2, 3], 7, [1] * 6]
    again.load([*rows, *nonsense], 100.0)
    assert again.dump() == known.dump()
    assert again.sizes.room(PLACE, "direct", None, 100.0) == 16_000
    assert again.sizes.room(OTHER, "direct", None, 100.0) is None
    assert known.changes == 1


@pytest.mark.parametrize("rows", [None, "x", {}, [[]], [[None] * 6]])
def test_what_is_no_dump(rows: object) -> None:
    one = sizes()
    one.load(rows, 0.0)
    assert one.dump() == []
