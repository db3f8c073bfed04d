"""Supersession: whatever the order, the same events stay (NIP-01, NIP-09, NIP-40, NIP-59)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volok.model.event import Event
from volok.model.supersession import (
    DELETION,
    GIFT_WRAP,
    Lifetime,
    Targets,
    Version,
    address,
    deletion_floor,
    deletion_targets,
    expiration,
    is_expired,
    lifetime,
    may_delete,
    supersedes,
    version,
)

ALICE, BOB = "a" * 64, "b" * 64
NOW = 1000


def name(number: int) -> str:
    return f"{number:064x}"


def make(number: int, kind: int, *tags: tuple[str, ...], by: str = ALICE, at: int = 10) -> Event:
    return Event(name(number), by, at, kind, tags, "", "0" * 128)


class ModelStore:
    """The smallest store that follows the docstring of `supersession`."""

    def __init__(self) -> None:
        self.events: dict[str, Event] = {}
        self.floors: dict[str, Version] = {}

    def add(self, event: Event) -> None:
        if is_expired(event, NOW) or event.id in self.events:
            return
        place = address(event)
        if any(may_delete(deletion, event) for deletion in self.events.values()):
            self.raise_floor(place, version(event))
            return
        if place is not None:
            floor = self.floors.get(place)
            rivals = [other for other in self.events.values() if address(other) == place]
            if floor is not None and not version(event).newer_than(floor):
                return
            if any(supersedes(other, event) for other in rivals):
                return
        self.events[event.id] = event
        self.erase([old for old in self.events.values() if supersedes(event, old)])
        if event.kind == DELETION:
            gone = [target for target in self.events.values() if may_delete(event, target)]
            self.erase(gone)
            for target in gone:
                self.raise_floor(address(target), version(target))
            for place in deletion_targets(event).addresses:
                self.raise_floor(place, deletion_floor(event))

    def raise_floor(self, place: str | None, floor: Version) -> None:
        if place is None:
            return
        if place not in self.floors or floor.newer_than(self.floors[place]):
            self.floors[place] = floor
        self.erase(
            [
                old
                for old in self.events.values()
                if address(old) == place and not version(old).newer_than(floor)
            ]
        )

    def erase(self, events: list[Event]) -> None:
        for event in events:
            del self.events[event.id]


authors = st.sampled_from([ALICE, BOB])
seconds = st.integers(10, 13)
references = st.one_of(
    st.builds(lambda number: ("e", name(number)), st.integers(0, 7)),
    st.builds(
        lambda kind, by, d, end: ("a", f"{kind}:{by}:{d}{end}"),
        st.sampled_from([0, 30_000]),
        authors,
        st.sampled_from(["", "x"]),
        st.sampled_from(["", "", "y"]),
    ),
)
kinds = st.sampled_from([0, 1, GIFT_WRAP, DELETION, DELETION, DELETION, 30_000, 30_000, 30_000])
extra = st.sampled_from(
    [("d", "x"), ("d", ""), ("p", ALICE), ("p", BOB), ("expiration", "500"), ("expiration", "5000")]
)
contents = st.lists(
    st.tuples(kinds, authors, seconds, st.lists(references | extra, max_size=3)), max_size=8
)


@settings(max_examples=400)
@given(contents, st.data())
def test_the_order_makes_no_difference(
    described: list[tuple[int, str, int, list[tuple[str, ...]]]], data: st.DataObject
) -> None:
    events = [
        make(number, kind, *tags, by=by, at=at)
        for number, (kind, by, at, tags) in enumerate(described)
    ]
    first, second = ModelStore(), ModelStore()
    for event in events:
        first.add(event)
    for event in data.draw(st.permutations(events)):
        second.add(event)
    for event in reversed(events):  # what comes again changes nothing
        second.add(event)
    assert set(first.events) == set(second.events)


@given(contents)
def test_of_one_address_one_event_stays_and_deletions_always_do(
    described: list[tuple[int, str, int, list[tuple[str, ...]]]],
) -> None:
    store = ModelStore()
    events = [
        make(number, kind, *tags, by=by, at=at)
        for number, (kind, by, at, tags) in enumerate(described)
    ]
    for event in events:
        store.add(event)
    places = [address(event) for event in store.events.values()]
    taken = [place for place in places if place is not None]
    assert len(taken) == len(set(taken))
    for event in events:
        if event.kind == DELETION and not is_expired(event, NOW):
            assert event.id in store.events


def test_a_deleted_version_does_not_bring_the_older_one_back() -> None:
    old = make(1, 30_000, ("d", "x"), at=10)
    new = make(2, 30_000, ("d", "x"), at=11)
    deletion = make(3, DELETION, ("e", new.id), at=12)
    for order in ([old, new, deletion], [deletion, new, old], [new, deletion, old]):
        store = ModelStore()
        for event in order:
            store.add(event)
        assert set(store.events) == {deletion.id}


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (0, Lifetime.REPLACEABLE),
        (1, Lifetime.REGULAR),
        (3, Lifetime.REPLACEABLE),
        (5, Lifetime.REGULAR),
        (1059, Lifetime.REGULAR),
        (9_999, Lifetime.REGULAR),
        (10_000, Lifetime.REPLACEABLE),
        (19_999, Lifetime.REPLACEABLE),
        (20_000, Lifetime.EPHEMERAL),
        (29_999, Lifetime.EPHEMERAL),
        (30_000, Lifetime.ADDRESSABLE),
        (39_999, Lifetime.ADDRESSABLE),
        (40_000, Lifetime.REGULAR),
    ],
)
def test_lifetimes(kind: int, expected: Lifetime) -> None:
    assert lifetime(kind) is expected


def test_addresses() -> None:
    assert address(make(1, 1, ("d", "x"))) is None
    assert address(make(1, 20_001, ("d", "x"))) is None
    assert address(make(1, 10_002, ("d", "x"))) == f"10002:{ALICE}:"
    assert address(make(1, 30_023, ("d", "x:y", "z"))) == f"30023:{ALICE}:x:y"
    assert address(make(1, 30_023)) == address(make(1, 30_023, ("d",))) == f"30023:{ALICE}:"


def test_the_later_one_stays_then_the_lower_id() -> None:
    old, low, high = make(9, 0, at=1), make(1, 0, at=2), make(2, 0, at=2)
    assert supersedes(low, old)
    assert supersedes(low, high)
    assert not supersedes(old, low)
    assert not supersedes(high, low)
    assert not supersedes(low, low)
    assert not supersedes(low, make(9, 0, by=BOB, at=1))
    assert not supersedes(low, make(9, 10_000, at=1))
    assert not supersedes(make(1, 1, at=2), make(2, 1, at=1))


def test_deletion_targets_leave_out_what_cannot_be() -> None:
    deletion = make(
        1,
        DELETION,
        ("e", name(7), "wss://relay.example"),
        ("e", "short"),
        ("e",),
        ("a", f"30023:{ALICE}:x:y"),
        ("a", f"10002:{ALICE}:"),
        ("a", f"10002:{ALICE}:x"),
        ("a", f"10002:{ALICE}"),
        ("a", f"30023:{BOB}:x"),
        ("a", f"030023:{ALICE}:x"),
        ("a", f"1:{ALICE}:"),
        ("a", f"70000:{ALICE}:"),
        ("a", f"³:{ALICE}:"),
        ("a", "junk"),
    )
    assert deletion_targets(deletion) == Targets(
        ids=frozenset({name(7)}),
        addresses=frozenset({f"30023:{ALICE}:x:y", f"10002:{ALICE}:"}),
    )
    assert deletion_targets(make(1, 1, ("e", name(7)))) == Targets()


def test_only_the_author_deletes() -> None:
    note = make(7, 1)
    assert may_delete(make(1, DELETION, ("e", note.id)), note)
    assert not may_delete(make(1, DELETION, ("e", note.id), by=BOB), note)
    assert not may_delete(make(1, DELETION, ("e", name(8))), note)
    assert not may_delete(make(1, 1, ("e", note.id)), note)


def test_the_addressee_deletes_a_gift_wrap_and_nothing_else() -> None:
    deletion = make(1, DELETION, ("e", name(7)), ("k", "1059"), by=BOB)
    assert may_delete(deletion, make(7, GIFT_WRAP, ("p", BOB)))
    assert may_delete(deletion, make(7, GIFT_WRAP, ("p", ALICE), ("p", BOB)))
    assert not may_delete(deletion, make(7, GIFT_WRAP, ("p", ALICE)))
    assert not may_delete(deletion, make(7, 1, ("p", BOB)))


def test_nothing_deletes_a_deletion() -> None:
    assert not may_delete(make(1, DELETION, ("e", name(7))), make(7, DELETION))


def test_an_address_is_deleted_up_to_the_second_of_the_deletion() -> None:
    deletion = make(1, DELETION, ("a", f"30000:{ALICE}:x"), at=10)
    for number, at, deleted in ((2, 9, True), (3, 10, True), (4, 11, False)):
        event = make(number, 30_000, ("d", "x"), at=at)
        assert may_delete(deletion, event) is deleted
        assert version(event).newer_than(deletion_floor(deletion)) is not deleted
    assert not may_delete(deletion, make(5, 30_000, ("d", "y"), at=9))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0", 0),
        ("1000", 1000),
        ("", None),
        ("-1", None),
        ("1e3", None),
        ("٣", None),
        ("9" * 17, None),
    ],
)
def test_expiration(value: str, expected: int | None) -> None:
    assert expiration(make(1, 1, ("expiration", value))) == expected


def test_expired() -> None:
    event = make(1, 1, ("expiration", "1000"))
    assert not is_expired(event, 999.9)
    assert is_expired(event, 1000)
    assert not is_expired(make(1, 1), 10**12)
