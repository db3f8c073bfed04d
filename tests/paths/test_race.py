"""One attempt over several paths: few at once, the first that opens is taken, nothing is left."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from volok.paths.choice import ChoiceSettings, Step
from volok.paths.race import (
    Abandon,
    Began,
    Failed,
    GiveUp,
    Opened,
    Race,
    Start,
    Take,
    TimeCame,
    Wanted,
)

SETTINGS = ChoiceSettings()


def steps(*all_names: str) -> list[Step]:
    return [Step(name, 0.5, 4.0) for name in all_names]


def test_a_race_as_a_dialogue() -> None:
    race = Race(steps("a", "b", "c"), SETTINGS)
    assert race.handle(Wanted(), 0.0) == [Start("a")]
    assert race.wakes_at is None  # it waits for its turn
    assert race.handle(Began("a"), 1.0) == []
    assert race.wakes_at == 1.5
    assert race.handle(TimeCame(), 1.5) == [Start("b")]
    assert race.handle(Began("b"), 1.5) == []
    # Two are under way; the third waits for the patience with the first.
    assert race.wakes_at == 5.0
    assert race.handle(TimeCame(), 5.0) == [Abandon("a", True), Start("c")]
    assert race.handle(Began("c"), 5.0) == []
    assert race.handle(Opened("c"), 5.2) == [Take("c"), Abandon("b", False)]
    assert race.wakes_at is None
    assert race.handle(Opened("b"), 5.3) == []


def test_a_failure_starts_the_next_at_once_and_the_last_ends_it() -> None:
    race = Race(steps("a", "b"), SETTINGS)
    race.handle(Wanted(), 0.0)
    race.handle(Began("a"), 0.0)
    assert race.handle(Failed("a"), 0.1) == [Start("b")]
    race.handle(Began("b"), 0.1)
    assert race.handle(Failed("b"), 0.2) == [GiveUp()]
    assert Race([], SETTINGS).handle(Wanted(), 0.0) == [GiveUp()]


def test_each_path_has_its_own_patience() -> None:
    race = Race([Step("a", 0.5, 1.5), Step("b", 0.5, 4.0), Step("c", 0.5, 4.0)], SETTINGS)
    race.handle(Wanted(), 0.0)
    race.handle(Began("a"), 0.0)
    assert race.handle(TimeCame(), 0.5) == [Start("b")]
    race.handle(Began("b"), 0.5)
    assert race.wakes_at == 1.5
    assert race.handle(TimeCame(), 1.5) == [Abandon("a", True), Start("c")]


@settings(max_examples=200)
@given(
    st.integers(1, 6),
    st.integers(1, 3),
    st.lists(st.tuples(st.sampled_from("bofts"), st.integers(0, 5), st.floats(0, 5)), max_size=60),
)
def test_invariants_of_a_race(
    count: int, at_once: int, events: list[tuple[str, int, float]]
) -> None:
    race = Race([Step(str(n), 0.5, 4.0) for n in range(count)], ChoiceSettings(race=at_once))
    now, started, ends = 0.0, [], []
    running: set[str] = set()

    def handle(given: object) -> None:
        for output in race.handle(given, now):  # type: ignore[arg-type]
            match output:
                case Start(name):
                    assert not ends
                    started.append(name)
                    running.add(name)
                case Abandon(name, silent):
                    assert name in running
                    running.discard(name)
                    assert silent is not bool(ends)
                case Take(name):
                    ends.append(output)
                    running.discard(name)
                case GiveUp():
                    ends.append(output)
                    assert not running
                    assert len(started) == count
        assert race.running <= running
        assert len(running) <= at_once

    handle(Wanted())
    for kind, which, later in events:
        now += later
        chosen = sorted(running)[which % len(running)] if running else "none"
        if kind == "t" and race.wakes_at is not None:
            now = max(now, race.wakes_at)
        if kind == "o" and running:
            handle(Opened(chosen))
        elif kind == "f" and running:
            running.discard(chosen)
            handle(Failed(chosen))
        else:
            handle(Began(chosen) if kind == "b" else TimeCame())
        if ends:
            break
    # Whatever happened, it comes to an end when all that is left fails.
    for _ in range(2 * count):
        if ends:
            break
        chosen = sorted(running)[0]
        running.discard(chosen)
        handle(Failed(chosen))
    assert len(ends) == 1
    assert len(started) == len(set(started))
