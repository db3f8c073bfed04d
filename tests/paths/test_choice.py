"""The scheduler: what works is kept, what failed rests, the cheapest wins in the end."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from volok.paths.choice import ChoiceSettings, Memory, Option, Place
from volok.paths.live import Capabilities

HOME, CAFE = Place("home", "relay:443"), Place("cafe", "relay:443")
SETTINGS = ChoiceSettings()


def option(name: str, cost: float, exposure: int = 0, latency: float = 0.1) -> Option:
    return Option(name, Capabilities(latency, 100, None, False, "", cost, exposure))


PLAIN, CUT, PROXY = option("plain", 1.0), option("cut", 1.1), option("proxy", 2.0, 1)
ALL = (PROXY, CUT, PLAIN)


def names(memory: Memory, place: Place = HOME, now: float = 1000.0) -> list[str]:
    return [step.name for step in memory.steps(place, ALL, now)]


def test_without_any_memory_the_cheapest_comes_first() -> None:
    assert names(Memory()) == ["plain", "cut", "proxy"]
    shows_less = [option("b", 1.0, exposure=0), option("a", 1.0, exposure=2)]
    assert [step.name for step in Memory().steps(HOME, shows_less, 0)] == ["b", "a"]


def test_what_failed_rests_and_what_works_is_kept() -> None:
    memory = Memory()
    memory.failed(HOME, "plain", 1000.0, 0.0)
    memory.worked(HOME, "cut", 1001.0)
    assert names(memory, now=1002.0) == ["cut", "proxy", "plain"]
    # Its rest is over: it has another try, and the one that works comes next.
    assert names(memory, now=1031.0) == ["plain", "cut", "proxy"]
    memory.failed(HOME, "plain", 1031.0, 0.0)
    assert names(memory, now=1090.0)[0] == "cut"
    assert memory.return_at(HOME, ALL, "cut") == 1091.0
    assert memory.return_at(HOME, ALL, "plain") is None
    memory.stable(HOME, "plain")
    assert memory.record(HOME, "plain").failures == 0


def test_a_path_that_works_comes_before_dearer_ones_that_were_never_tried() -> None:
    memory = Memory()
    memory.worked(HOME, "cut", 1000.0)
    assert names(memory) == ["plain", "cut", "proxy"]
    memory.worked(HOME, "proxy", 1000.0)
    memory.failed(HOME, "plain", 1000.0, 0.0)
    memory.failed(HOME, "cut", 999.0, 0.0)
    assert names(memory, now=1001.0) == ["proxy", "cut", "plain"]


def test_networks_are_told_apart_and_relays_share_what_a_network_does() -> None:
    memory = Memory()
    memory.failed(HOME, "plain", 1000.0, 0.0)
    assert names(memory, CAFE, 1001.0)[0] == "plain"
    other = Place("home", "other:443")
    assert names(memory, other, 1001.0)[0] == "cut"
    # With one relay it works: then the trouble with the other is not the network's.
    memory.worked(other, "plain", 1002.0)
    memory.failed(HOME, "plain", 1003.0, 0.0)
    assert names(memory, Place("home", "third:443"), 1004.0)[0] == "plain"


def test_what_was_learned_survives_and_nonsense_does_not() -> None:
    memory = Memory()
    memory.failed(HOME, "plain", 1000.0, 0.5)
    memory.worked(CAFE, "proxy", 1001.0)
    rows = json.loads(json.dumps(memory.dump()))
    again = Memory()
    again.load(rows, 1002.0)
    assert again.dump() == memory.dump()
    again = Memory()
    again.load([*rows, None, [], ["a"] * 7, ["a", "b", "c", -1, 0, 0, 0], 7], 1002.0)
    assert again.dump() == memory.dump()
    late = Memory()
    late.load(rows, 1002.0 + SETTINGS.remember)
    assert late.dump() == []
    Memory().load({"a": 1}, 0.0)


def test_memory_is_bounded() -> None:
    memory = Memory(ChoiceSettings(places=10))
    for number in range(100):
        memory.worked(Place(f"n{number}", "r"), "plain", float(number))
    assert len({row[0] for row in memory.dump()}) <= 10
    assert memory.record(Place("n99", "r"), "plain").works


rows = st.lists(
    st.lists(
        st.one_of(st.text(max_size=5), st.integers(), st.floats(), st.none(), st.booleans()),
        max_size=9,
    )
)


@given(rows)
def test_damaged_memory_never_raises(damaged: list[object]) -> None:
    memory = Memory()
    memory.load(damaged, 1000.0)
    for row in damaged:
        memory.steps(Place(str(row), ""), ALL, 1000.0)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(("plain", "cut", "proxy")),
            st.booleans(),
            st.floats(0.0, 5000.0),
            st.floats(0.0, 1.0, exclude_max=True),
        ),
        max_size=40,
    )
)
def test_invariants_of_the_order(happened: list[tuple[str, bool, float, float]]) -> None:
    memory, now = Memory(), 1000.0
    for name, worked, later, chance in happened:
        now += later
        if worked:
            memory.worked(HOME, name, now)
        else:
            memory.failed(HOME, name, now, chance)
            # A path that failed is due again within its back-off, which is limited.
            rest = memory.record(HOME, name).retry_at - now
            assert SETTINGS.retry_first / 2 <= rest <= SETTINGS.retry_most
    order = names(memory, now=now)
    assert sorted(order) == ["cut", "plain", "proxy"]
    working = [one.name for one in (PLAIN, CUT, PROXY) if memory.record(HOME, one.name).works]
    if working:
        # What works is kept: only what is cheaper and not resting comes before.
        before = order[: order.index(working[0])]
        ranks = ["plain", "cut", "proxy"]
        for name in before:
            assert ranks.index(name) < ranks.index(working[0])
            assert not memory.record(HOME, name).rests(now)
    # Once every rest is over the cheapest has its turn first, and it works: it is first from then.
    after = now + SETTINGS.retry_most + 1
    assert names(memory, now=after)[0] == "plain"
    memory.worked(HOME, "plain", after)
    assert names(memory, now=after + 1)[0] == "plain"


def test_a_path_that_opens_quickly_is_given_up_sooner() -> None:
    memory = Memory()

    def patience() -> float:
        return memory.steps(HOME, [PLAIN], 0)[0].patience

    assert patience() == SETTINGS.patience
    memory.opened(HOME, "plain", 0.05)
    assert patience() == SETTINGS.patience_least
    memory.opened(HOME, "plain", 0.3)
    assert SETTINGS.patience_least < patience() < SETTINGS.patience
    for _ in range(9):
        memory.opened(HOME, "plain", 3.0)
    assert patience() == SETTINGS.patience


def test_a_path_that_never_opened_has_the_patience_of_its_kind() -> None:
    memory = Memory()
    slow = option("slow", 3.0, latency=2.0)
    memory.opened(HOME, "plain", 0.05)
    patience = {step.name: step.patience for step in memory.steps(HOME, [*ALL, slow], 0)}
    least, most = SETTINGS.patience_least, SETTINGS.patience
    assert patience == {"plain": least, "cut": least, "proxy": least, "slow": most}
