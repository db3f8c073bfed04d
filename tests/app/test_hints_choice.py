"""When relays that contacts told us of are used: a dialogue of looks and choices."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from volok.app.hints_choice import Choice, HintChoice, HintUseSettings, Reach

SETTINGS = HintUseSettings(
    patience=10.0, silence=45.0, trial=20.0, at_once=2, back_for=100.0, look_every=1.0
)
OWN = ("own-1", "own-2")
HEARD = ("a", "b", "c", "d", "e")


class Look:
    """Somebody who looks, second by second. `up` holds the relays that answer, `hung` those that
    neither answer nor fail."""

    def __init__(self) -> None:
        self.choice = HintChoice(SETTINGS)
        self.now = 1000.0
        self.used: tuple[str, ...] = ()
        self.up: set[str] = set(OWN)
        self.hung: set[str] = set()
        self.online = True
        self.heard = HEARD
        self.contacted: set[str] = set()

    def look(self) -> Choice:
        reach = {
            url: Reach(url in self.up, url not in self.up | self.hung) for url in (*OWN, *self.used)
        }
        if not self.online:
            reach = {url: Reach(False, True) for url in reach}
        choice = self.choice.decide(self.now, self.online, OWN, self.heard, self.used, reach)
        self.used = choice.use
        self.contacted |= set(choice.use)
        return choice

    def wait(self, seconds: int) -> Choice:
        for _ in range(seconds):
            self.now += 1
            choice = self.look()
        return choice


def test_nothing_while_one_of_our_own_is_there() -> None:
    person = Look()
    person.up = {"own-2"}
    assert person.wait(1000) == Choice(())


def test_after_some_patience_the_first_few() -> None:
    person = Look()
    person.wait(5)
    person.up.clear()
    assert person.wait(10) == Choice(())
    assert person.wait(1) == Choice(("a", "b"))


def test_a_short_interruption_contacts_nobody() -> None:
    person = Look()
    for _ in range(50):
        person.up.clear()
        person.wait(9)
        person.up.add("own-1")
        person.wait(1)
    assert person.contacted == set()


def test_no_time_counts_without_a_network() -> None:
    person = Look()
    person.online = False
    assert person.wait(10_000) == Choice(())
    person.online = True
    person.up.clear()
    assert person.wait(10) == Choice(())
    assert person.wait(1).use == ("a", "b")
    person.online = False
    assert person.wait(1000).use == ("a", "b")


def test_a_relay_that_only_hangs_counts_later() -> None:
    person = Look()
    person.up.clear()
    person.hung = {"own-1"}
    assert person.wait(45 + 10) == Choice(())
    assert person.wait(1).use == ("a", "b")


def test_who_does_not_answer_makes_room_and_comes_again() -> None:
    person = Look()
    person.up.clear()
    person.wait(11)
    seen = []
    for _ in range(200):
        person.wait(1)
        if not seen or seen[-1] != person.used:
            seen.append(person.used)
    assert seen[:4] == [("a", "b"), ("c", "d"), ("e",), ("a", "b")]


def test_while_one_works_no_other_is_begun() -> None:
    person = Look()
    person.up = {"b"}
    person.wait(12)
    assert person.wait(1000).use == ("b",)
    assert person.contacted == {"a", "b"}
    person.up = {"d"}
    person.wait(21)
    assert "d" in person.used
    assert person.wait(1000).use == ("d",)


def test_it_ends_when_our_own_have_been_back_for_long() -> None:
    person = Look()
    person.up = {"a"}
    assert person.wait(40).use == ("a",)
    person.up.add("own-1")
    assert person.wait(90) == Choice(("a",))
    person.up.discard("own-1")  # that was too short
    assert person.wait(5) == Choice(("a",))
    person.up.add("own-1")
    assert person.wait(100) == Choice(("a",))
    assert person.wait(1) == Choice((), over=True)
    assert person.wait(50) == Choice(())


def test_what_is_taken_back_is_left() -> None:
    person = Look()
    person.up = {"a"}
    person.wait(12)
    person.heard = ("b", "c")
    assert person.wait(1).use == ("b", "c")


def test_what_was_used_before_a_restart_is_kept_until_something_is_known() -> None:
    person = Look()
    person.used, person.up, person.hung = ("c",), {"c"}, set(OWN)
    assert person.wait(30).use == ("c",)


def test_without_relays_of_our_own_nobody_is_contacted() -> None:
    choice = HintChoice(SETTINGS)
    for second in range(100):
        assert choice.decide(second, True, (), HEARD, (), {}) == Choice(())


@given(
    st.lists(
        st.tuples(
            st.booleans(), st.sets(st.sampled_from(OWN + HEARD)), st.integers(1, 30), st.booleans()
        ),
        max_size=40,
    )
)
def test_never_many_and_never_early(steps: list[tuple[bool, set[str], int, bool]]) -> None:
    person = Look()
    away = 0
    for online, up, seconds, fewer in steps:
        person.online, person.up = online, up
        person.heard = HEARD[:2] if fewer else HEARD
        for _ in range(seconds):
            before = set(person.used)
            person.wait(1)
            away = away + 1 if online and not up & set(OWN) else 0
            assert len(person.used) <= SETTINGS.at_once
            assert set(person.used) <= set(person.heard)
            if set(person.used) - before:
                assert away > SETTINGS.patience
