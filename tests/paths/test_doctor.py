"""The decision table of the doctor: each rule, and what must hold whatever was seen."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volok.paths.doctor import diagnose
from volok.paths.doctor_report import CUT_OFF, Diagnosis, How, Kind, Way
from volok.paths.doctor_seen import (
    Attempt,
    Carried,
    Hello,
    Lookup,
    NameSeen,
    Observations,
    Outcome,
    PlaceSeen,
    Stage,
    is_private,
    is_public,
)

WHOLE = Carried(150_000, 160, 400_000.0)
SHORT = Carried(15_000, 24)


def address(number: int) -> str:
    return f"203.0.113.{number}"


def attempt(
    number: int,
    hello: Hello,
    stage: Stage = Stage.CARRY,
    outcome: Outcome = Outcome.WORKS,
    carried: Carried | None = None,
    at: str = "",
) -> Attempt:
    if stage is Stage.CARRY and carried is None:
        carried = WHOLE if outcome is Outcome.WORKS else SHORT
    return Attempt(at or address(number), hello, stage, outcome, carried)


def relay(number: int, *attempts: Attempt, name: NameSeen | None = None) -> PlaceSeen:
    return PlaceSeen(
        f"relay{number}",
        True,
        name=name or NameSeen(Lookup.ANSWERED, (address(number),)),
        attempts=attempts,
    )


def fine(number: int) -> PlaceSeen:
    return relay(number, *(attempt(number, hello) for hello in (Hello.NAMELESS, Hello.NAMED)))


def ended(number: int, stage: Stage, outcome: Outcome, name: NameSeen | None = None) -> PlaceSeen:
    """A relay to which every greeting ends in the same way."""
    hellos = (Hello.NAMELESS, Hello.CUT, Hello.NAMED)
    return relay(number, *(attempt(number, one, stage, outcome) for one in hellos), name=name)


def silent(number: int) -> PlaceSeen:
    return ended(number, Stage.CONNECT, Outcome.SILENT)


UNANSWERED = NameSeen(Lookup.NO_ANSWER)
DROP = PlaceSeen("drop", False, works=True, name=NameSeen(Lookup.ANSWERED, ("192.0.2.1",)))
FOLDER = PlaceSeen("folder", False, is_network=False, works=True)


def see(*places: PlaceSeen, **more: object) -> Diagnosis:
    return diagnose(Observations(places, **({"name_server": True} | more)))  # type: ignore[arg-type]


def kinds(found: Diagnosis) -> list[Kind]:
    return [one.kind for one in found.findings]


def test_nothing_is_said_where_there_is_nothing_to_ask() -> None:
    assert kinds(see()) == [Kind.NOTHING_TO_ASK]
    assert not see().open
    assert kinds(see(FOLDER)) == [Kind.NOTHING_TO_ASK]
    assert see(FOLDER).open


def test_not_blocked() -> None:
    found = see(fine(1), fine(2), DROP, FOLDER)
    assert kinds(found) == [Kind.NOT_BLOCKED]
    assert found.places[0].ways == (Way.PLAIN, Way.NAMELESS)
    assert found.open


def test_no_network() -> None:
    lost = ended(1, Stage.CONNECT, Outcome.NO_ROUTE, UNANSWERED)
    assert kinds(see(lost, has_route=False, name_server=None)) == [Kind.OFFLINE]
    dead = ended(1, Stage.CONNECT, Outcome.SILENT, UNANSWERED)
    assert kinds(see(dead, name_server=False)) == [Kind.ISLAND]
    with_folder = see(dead, FOLDER, name_server=False)
    assert kinds(with_folder) == [Kind.ISLAND]
    assert with_folder.open


def test_a_single_relay_by_address_is_no_island() -> None:
    alone = ended(1, Stage.CONNECT, Outcome.SILENT, NameSeen(Lookup.NOT_NEEDED, (address(1),)))
    assert kinds(see(alone, name_server=None)) == [Kind.GONE]


@pytest.mark.parametrize("tried", [True, False])
def test_shutdown_is_sure_where_an_address_was_tried(tried: bool) -> None:
    place = (
        ended(1, Stage.CONNECT, Outcome.SILENT, UNANSWERED) if tried else relay(1, name=UNANSWERED)
    )
    (finding,) = see(place, DROP).findings
    assert (finding.kind, finding.sure) == (Kind.SHUTDOWN, tried)


@pytest.mark.parametrize("name", [UNANSWERED, None])
def test_whitelist(name: NameSeen | None) -> None:
    places = [ended(number, Stage.GREETING, Outcome.SILENT, name) for number in (1, 2)]
    assert kinds(see(*places, DROP)) == [Kind.WHITELIST]
    other = attempt(1, Hello.OTHER, Stage.GREETING)
    passing = relay(1, *places[0].attempts, other, name=name)
    (finding,) = see(passing, places[1], DROP).findings
    assert (finding.kind, finding.how) == (Kind.WHITELIST, How.NAMES)


def test_a_single_relay_that_says_nothing_is_no_whitelist() -> None:
    found = see(ended(1, Stage.GREETING, Outcome.SILENT), fine(2))
    assert kinds(found) == [Kind.GONE]
    assert found.findings[0].how is How.MUTE


FORGED = {
    "not public": NameSeen(Lookup.ANSWERED, ("10.10.34.34",)),
    "this computer": NameSeen(Lookup.ANSWERED, ("127.0.0.1",)),
    "Teredo": NameSeen(Lookup.ANSWERED, ("2001::1",)),
    "two answers": NameSeen(
        Lookup.ANSWERED, ("198.51.100.9",), (("198.51.100.9",), ("203.0.113.1",))
    ),
    "an answer from nowhere": NameSeen(Lookup.ANSWERED, ("198.51.100.9",), injected=True),
}


@pytest.mark.parametrize("name", FORGED)
def test_forged_names(name: str) -> None:
    finding = see(relay(1, name=FORGED[name]), fine(2)).found(Kind.DNS_POISON)
    assert finding is not None
    assert (finding.how, finding.places) == (How.FORGED, ("relay1",))


def test_a_name_is_forged_where_its_place_is_known_to_be_elsewhere() -> None:
    name = NameSeen(Lookup.ANSWERED, ("198.51.100.9",))
    hellos = (Hello.NAMELESS, Hello.NAMED)
    found = see(relay(1, *(attempt(1, hello) for hello in hellos), name=name))
    assert kinds(found) == [Kind.DNS_POISON]
    assert found.places[0].ways[0] is Way.KNOWN_ADDRESS


def test_a_relay_at_home_is_not_forged() -> None:
    home = "192.168.1.5"
    place = relay(
        1,
        *(attempt(1, hello, at=home) for hello in (Hello.NAMELESS, Hello.NAMED)),
        name=NameSeen(Lookup.ANSWERED, (home,)),
    )
    assert kinds(see(place)) == [Kind.NOT_BLOCKED]


def test_a_relay_at_home_that_is_gone_is_gone() -> None:
    home = "192.168.1.5"
    place = PlaceSeen(
        "home",
        True,
        name=NameSeen(Lookup.ANSWERED, (home,)),
        attempts=(attempt(1, Hello.NAMELESS, Stage.CONNECT, Outcome.SILENT, at=home),),
        known=(home,),
    )
    assert kinds(see(place, fine(2))) == [Kind.GONE]


@pytest.mark.parametrize("lookup", [Lookup.NO_SUCH_NAME, Lookup.NO_ANSWER])
def test_denied_names(lookup: Lookup) -> None:
    hidden = relay(1, *fine(1).attempts, name=NameSeen(lookup))
    finding = see(hidden, fine(2)).findings[0]
    assert (finding.kind, finding.how, finding.sure) == (Kind.DNS_POISON, How.DENIED, True)
    slow = see(relay(1, *fine(1).attempts, name=UNANSWERED)).findings[0]
    assert not slow.sure


@pytest.mark.parametrize(
    ("stage", "outcome", "how"),
    [
        (Stage.GREETING, Outcome.RESET, How.RESET),
        (Stage.GREETING, Outcome.SILENT, How.SILENT),
        (Stage.SPEECH, Outcome.SILENT, How.LATE),
        (Stage.CARRY, Outcome.SILENT, How.LATE),
    ],
)
def test_a_name_is_blocked(stage: Stage, outcome: Outcome, how: How) -> None:
    carried = Carried(4000, 9) if stage is Stage.CARRY else None
    named = attempt(1, Hello.NAMED, stage, outcome, carried)
    found = see(relay(1, attempt(1, Hello.NAMELESS), named), fine(2))
    (finding,) = found.findings
    assert (finding.kind, finding.how, finding.sure) == (Kind.SNI_RST, how, True)
    assert finding.places == ("relay1",)
    assert Way.NAMELESS in found.places[0].ways


def test_a_greeting_that_is_declined_has_arrived() -> None:
    declined = attempt(1, Hello.NAMELESS, Stage.GREETING, Outcome.ANSWERS)
    named = attempt(1, Hello.NAMED, Stage.GREETING, Outcome.RESET)
    assert kinds(see(relay(1, declined, named), fine(2))) == [Kind.SNI_RST]


def test_resets_of_everything_are_not_sure() -> None:
    (finding,) = see(ended(1, Stage.GREETING, Outcome.RESET)).findings
    assert (finding.kind, finding.how, finding.sure) == (Kind.SNI_RST, How.RESET, False)


def test_freezes() -> None:
    hellos = (Hello.NAMELESS, Hello.NAMED)
    frozen = [attempt(1, hello, outcome=Outcome.SILENT) for hello in hellos]
    (finding,) = see(relay(1, *frozen)).findings
    assert (finding.kind, finding.packets, finding.bytes) == (Kind.CURTAIN, 24, 15_000)
    assert see(relay(1, *frozen)).places[0].short


def test_freezes_and_a_blocked_name_are_told_apart() -> None:
    frozen = attempt(1, Hello.NAMELESS, outcome=Outcome.SILENT)
    named = attempt(1, Hello.NAMED, outcome=Outcome.SILENT, carried=Carried(3000, 10))
    assert kinds(see(relay(1, frozen, named))) == [Kind.SNI_RST, Kind.CURTAIN]


def test_throttling() -> None:
    slow = attempt(1, Hello.NAMED, carried=Carried(150_000, 160, 16_000.0))
    (finding,) = see(relay(1, attempt(1, Hello.NAMELESS), slow)).findings
    assert (finding.kind, finding.rate) == (Kind.THROTTLE, 16_000.0)
    slower = attempt(1, Hello.NAMELESS, carried=Carried(150_000, 160, 20_000.0))
    assert kinds(see(relay(1, slower, slow))) == [Kind.NOT_BLOCKED]


def test_relays_that_are_gone_or_blocked() -> None:
    (one,) = see(silent(1), fine(2), DROP).findings
    assert (one.kind, one.sure, one.places) == (Kind.GONE, False, ("relay1",))
    (all_,) = see(silent(1), silent(2), DROP).findings
    assert (all_.kind, all_.sure) == (Kind.IP_BLOCK, False)
    refused = ended(1, Stage.CONNECT, Outcome.REFUSED)
    assert see(refused, fine(2)).findings[0].how is How.REFUSED


def test_another_path_shows_that_an_address_is_blocked() -> None:
    by_proxy = PlaceSeen("relay1", True, attempts=silent(1).attempts, ways=(("proxy", True),))
    found = see(by_proxy, fine(2))
    (finding,) = found.findings
    assert (finding.kind, finding.sure) == (Kind.IP_BLOCK, True)
    assert found.places[0].paths == ("proxy",)


def test_strangers_and_clocks() -> None:
    strangers = [ended(number, Stage.GREETING, Outcome.STRANGER) for number in (1, 2)]
    assert kinds(see(*strangers)) == [Kind.PORTAL]
    assert kinds(see(strangers[0], fine(2))) == [Kind.STRANGER]
    assert kinds(see(ended(1, Stage.GREETING, Outcome.EXPIRED))) == [Kind.CLOCK]


@pytest.mark.parametrize(
    ("check", "kind"),
    [
        ("passes_quic", Kind.QUIC_BLOCK),
        ("passes_any_protocol", Kind.PROTOCOL_FILTER),
        ("passes_random", Kind.RANDOM_BLOCK),
        ("passes_parallel", Kind.PARALLEL_BAN),
    ],
)
def test_side_checks(check: str, kind: Kind) -> None:
    assert kinds(see(fine(1), **{check: False})) == [kind]
    assert kinds(see(fine(1), **{check: True})) == [Kind.NOT_BLOCKED]
    assert kind in see(fine(1)).not_tried


def test_a_drop_that_fails_is_no_block() -> None:
    full = PlaceSeen("drop", False, works=False, problem="It is full.")
    found = see(fine(1), full)
    assert kinds(found) == [Kind.DROP_FAILS]
    assert found.places[1].problem == "It is full."


def test_what_was_cut_short_is_unclear() -> None:
    assert kinds(see(fine(1), relay(2), complete=False)) == [Kind.UNCLEAR]


def test_addresses() -> None:
    assert is_public("203.0.113.1")
    assert is_public("2a00::1")
    for text in ("127.0.0.1", "0.0.0.0", "10.1.1.1", "169.254.1.1", "::1", "::", "fe80::1%eth0"):
        assert not is_public(text)
    assert is_private("192.168.0.1")
    assert not is_private("127.0.0.1")
    assert not is_public("nonsense")
    assert not is_private("")


texts = st.sampled_from(["203.0.113.1", "203.0.113.2", "10.0.0.1", "127.0.0.1", "2001::1", "x"])
names = st.builds(
    NameSeen,
    st.sampled_from(Lookup),
    st.lists(texts, max_size=2).map(tuple),
    st.lists(st.lists(texts, min_size=1, max_size=2).map(tuple), max_size=2).map(tuple),
    st.booleans(),
)
carried = st.none() | st.builds(
    Carried,
    st.integers(0, 200_000),
    st.none() | st.integers(0, 200),
    st.none() | st.floats(1.0, 1e6),
)
attempts = st.builds(
    Attempt,
    texts,
    st.sampled_from(Hello),
    st.sampled_from(Stage),
    st.sampled_from(Outcome),
    carried,
)


@st.composite
def seen(draw: st.DrawFn) -> Observations:
    number = itertools.count()
    one = st.builds(
        PlaceSeen,
        st.builds(lambda: f"place{next(number)}"),
        st.booleans(),
        st.booleans(),
        st.booleans(),
        st.none() | names,
        st.lists(attempts, max_size=5).map(tuple),
        st.lists(st.tuples(st.just("proxy"), st.booleans()), max_size=1).map(tuple),
        st.none() | st.booleans(),
    )
    maybe = st.none() | st.booleans()
    places = draw(st.lists(one, max_size=4).map(tuple))
    rest = [draw(maybe) for _ in range(5)]
    return Observations(places, draw(st.booleans()), rest[0], draw(st.booleans()), *rest[1:])


@given(seen())
def test_whatever_was_seen_something_is_said_that_fits_it(what: Observations) -> None:
    found = diagnose(what)
    named = kinds(found)
    assert named
    assert len(found.places) == len(what.places)
    ids = {place.id for place in what.places}
    assert all(set(one.places) <= ids for one in found.findings)
    for kind in (Kind.NOT_BLOCKED, Kind.UNCLEAR, Kind.NOTHING_TO_ASK, *CUT_OFF):
        if kind in named:
            assert named == [kind]
    if Kind.NOT_BLOCKED in named:
        assert all(state.open for state in found.places)
    if named == [Kind.OFFLINE] or named == [Kind.ISLAND]:
        assert not any(place.answers for place in what.places if place.is_network)
    for finding in found.findings:
        if finding.kind in (Kind.GONE, Kind.PORTAL, Kind.STRANGER):
            lost = [place for place in what.places if place.id in finding.places]
            assert not any(place.proved_at for place in lost)
        if finding.kind in (Kind.GONE, Kind.CLOCK) and len(finding.places) == 1:
            assert not finding.sure
    for place, state in zip(what.places, found.places, strict=True):
        if state.open:
            assert place.answers


@given(seen())
def test_what_works_is_never_called_blocked(what: Observations) -> None:
    """A relay to which the name, in one piece, carried everything quickly has nothing wrong."""
    good = fine(1)
    found = diagnose(Observations((*what.places, good), True, True))
    for finding in found.findings:
        assert good.id not in finding.places
        assert finding.kind not in CUT_OFF
