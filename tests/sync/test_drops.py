"""What is left in a drop, taken away again and tried."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from volok.sync.bundle import SEALED_KEY_BYTES
from volok.sync.drops import (
    DropSettings,
    Item,
    Own,
    Plan,
    bare,
    dressed,
    due_in,
    dump_own,
    load_own,
    mark,
    next_look,
    plan,
    still_known,
    to_try,
)

SETTINGS = DropSettings(quota=200_000, file_bytes=20_000, files_for_one=3)
NOW = 1_800_000_000.0


def item(number: int, contact: str = "bo", **changes: object) -> Item:
    """Something that waits, for a contact without relays."""
    made = Item(contact, f"key-{number}", number, 500, NOW - 1, by_relay=False)
    return replace(made, **changes)  # type: ignore[arg-type]


class World:
    """A drop in which whatever is planned happens at once."""

    def __init__(self, settings: DropSettings = SETTINGS) -> None:
        self.settings = settings
        self.own: list[Own] = []
        self.listed: dict[str, int] = {}
        self.now = NOW
        self._count = 0

    def step(self, *items: Item) -> Plan:
        """Plan and do."""
        made = plan(self.own, self.listed, items, self.now, self.settings)
        self.own = list(made.own)
        for name in made.deletions:
            self._delete(name)
        for put in made.puts:
            self._count += 1
            name = f"file-{self._count}"
            keys = tuple(each.key for each in put.items)
            blobs = bool(put.blobs)
            self.own.append(Own(name, put.contact, keys, put.size, self.now, blobs))
            self.listed[name] = put.size
            for replaced in put.replaces:
                self._delete(replaced)
        return made

    def _delete(self, name: str) -> None:
        there = self.listed.pop(name, None) is not None
        self.own = [
            each
            for each in self.own
            if each.name != name
            or each.state == "evicted"
            or (each.state != "writing" and not there)
        ]

    def covered(self) -> set[str]:
        """What lies in the drop."""
        return {key for each in self.own if each.name in self.listed for key in each.keys}


def test_what_waits_is_left_once_and_goes_with_its_receipt() -> None:
    world = World()
    made = world.step(item(1), item(2), item(3, "cy"))
    assert sorted((put.contact, put.numbers) for put in made.puts) == [("bo", (1, 2)), ("cy", (3,))]
    assert world.step(item(1), item(2), item(3, "cy")) == plan(
        world.own, world.listed, [item(1), item(2), item(3, "cy")], NOW, SETTINGS
    )
    assert len(world.listed) == 2
    world.step(item(2), item(3, "cy"))
    assert len(world.listed) == 2
    world.step(item(3, "cy"))
    assert world.covered() == {"key-3"}
    world.step()
    assert (world.listed, world.own) == ({}, [])


def test_many_files_for_one_contact_become_one() -> None:
    world = World()
    items: list[Item] = []
    for number in range(20):
        items.append(item(number))
        world.step(*items)
        small = [size for size in world.listed.values() if size < SETTINGS.file_bytes // 2]
        assert len(small) <= SETTINGS.files_for_one
        assert world.covered() == {each.key for each in items}


def test_what_is_encrypted_anew_is_left_anew() -> None:
    world = World()
    world.step(item(1))
    world.step(item(1, key="another"))
    assert world.covered() == {"another"}
    assert len(world.listed) == 1


def test_old_files_are_renewed() -> None:
    world = World()
    world.step(item(1))
    (first,) = world.listed
    world.now += SETTINGS.renew_after
    world.step(item(1))
    assert len(world.listed) == 1
    assert first not in world.listed


def test_relays_go_first() -> None:
    world = World()
    by_relay = item(1, by_relay=True)
    assert world.step(by_relay).puts == ()
    assert due_in(world.own, [by_relay], world.now, SETTINGS) == SETTINGS.head_start - 1
    world.now += SETTINGS.head_start
    assert due_in(world.own, [by_relay], world.now, SETTINGS) == 0
    assert len(world.step(by_relay).puts) == 1
    assert due_in(world.own, [by_relay], world.now, SETTINGS) is None


def test_a_stick_that_was_away() -> None:
    world = World()
    world.step(item(1))
    first, world.listed = dict(world.listed), {}
    world.step(item(1))  # may be a listing that is not up to date
    assert world.listed == {}
    world.now += SETTINGS.settle
    world.step(item(1))  # another stick
    assert len(world.listed) == 1
    world.now += SETTINGS.settle
    second, world.listed = world.listed, first
    assert world.step(item(1)).puts == ()
    world.step()
    assert world.listed == {}
    world.listed = second
    world.step()
    assert (world.listed, world.own) == ({}, [])


def test_what_was_interrupted_is_taken_away() -> None:
    world = World()
    world.own = [Own("half", "bo", ("key-1",), 4096, NOW, state="writing")]
    made = world.step(item(1))
    assert made.deletions == ("half",)
    assert len(made.puts) == 1
    whole = World()
    whole.own = [Own("whole", "bo", ("key-1",), 4096, NOW, state="writing")]
    whole.listed = {"whole": 4096}
    assert whole.step(item(1)).puts == ()


def test_what_was_cut_is_left_anew() -> None:
    world = World()
    world.step(item(1))
    (name,) = world.listed
    world.listed[name] //= 2
    world.step(item(1))  # may still be on its way
    assert list(world.listed) == [name]
    world.now += SETTINGS.settle
    world.step(item(1))
    assert len(world.listed) == 1
    assert name not in world.listed
    assert world.covered() == {"key-1"}


def test_blobs_come_before_their_message_and_stay_after_its_receipt() -> None:
    world = World()
    blobs = tuple((f"blob-{number}", 8_000) for number in range(5))
    made = world.step(item(1, blobs=blobs))
    assert [put.numbers for put in made.puts] == [(), (), (), (1,)]
    assert [name for put in made.puts for name in put.blobs] == [name for name, _ in blobs]
    world.step()
    assert len(world.listed) == 3
    world.now += SETTINGS.linger
    world.step()
    assert world.listed == {}


events = st.lists(
    st.tuples(
        st.sampled_from(["write", "write big", "receipt", "steal", "later", "swap"]),
        st.integers(0, 30),
    ),
    max_size=60,
)


@given(events)
def test_bounds_hold_and_nothing_is_forgotten(history: list[tuple[str, int]]) -> None:
    world, waiting, away = World(), dict[int, Item](), dict[str, int]()
    for number, (what, which) in enumerate(history):
        match what:
            case "write":
                waiting[number] = item(number, f"contact-{which % 5}", since=world.now)
            case "write big":
                blobs = tuple((f"{number}-{place}", 9_000) for place in range(which % 4 + 1))
                waiting[number] = item(number, f"contact-{which % 5}", blobs=blobs)
            case "receipt" if waiting:
                del waiting[sorted(waiting)[which % len(waiting)]]
            case "steal" if world.listed:
                del world.listed[sorted(world.listed)[which % len(world.listed)]]
            case "later":
                world.now += which * 3600
            case "swap":
                world.listed, away = away, world.listed
        world.step(*waiting.values())
        here = sum(each.size for each in world.own if each.name in world.listed)
        assert here <= SETTINGS.quota
        known = {each.name for each in world.own}
        assert set(world.listed) <= known  # else it would never be taken away
    # When all is quiet, everything waits in the drop, or there is no room for it.
    for _ in range(4):
        world.now += SETTINGS.settle
        world.step(*waiting.values())
    missing = {each.key for each in waiting.values()} - world.covered()
    here = sum(each.size for each in world.own if each.state == "here")
    assert not missing or here > SETTINGS.quota // 4
    for _ in range(3):
        world.now += SETTINGS.renew_after
        world.step()
    assert world.listed == {}


def test_what_came_back_waits_and_is_sent_again() -> None:
    waiting = item(1)
    sent = Own("sent", "bo", (waiting.key,), 900, NOW)
    lies = plan([sent], {"sent": 900}, [waiting], NOW + 600, SETTINGS)
    assert (lies.own, lies.deletions, lies.puts) == ((sent,), (), ())
    back = replace(sent, state="returned", at=NOW + 600)
    soon = plan([back], {}, [waiting], NOW + 700, SETTINGS)
    assert (soon.own, soon.deletions, soon.puts) == ((back,), (), ())
    assert due_in([back], [waiting], NOW + 700, SETTINGS) is None
    late = plan([back], {}, [waiting], NOW + 600 + SETTINGS.again_after, SETTINGS)
    assert late.own == ()
    assert [put.items for put in late.puts] == [(waiting,)]
    received = plan([back], {}, [], NOW + 700, SETTINGS)
    assert (received.own, received.puts) == ((), ())


def test_what_is_tried() -> None:
    big = SEALED_KEY_BYTES + 1
    listed = {"a": big, "b": big, "mine": big, "small": SEALED_KEY_BYTES, "huge": 1 << 40}
    own = [Own("mine", "bo", (), big, NOW)]
    assert to_try(listed, own, [mark("a", big)], SETTINGS) == ["b"]
    assert to_try(listed, own, [mark("a", big - 1)], SETTINGS) == ["a", "b"]
    marks = [mark("a", big), mark("gone", 5)]
    assert still_known(marks, listed, SETTINGS) == [mark("a", big)]


def test_looks_come_soon_after_something_happened() -> None:
    assert next_look(20, 0, SETTINGS) == SETTINGS.fastest
    assert next_look(20, 8, SETTINGS) == 2
    assert next_look(20, 1000, SETTINGS) == 20
    assert next_look(20, float("inf"), SETTINGS) == 20


def test_the_memory_of_own_files() -> None:
    own = [Own(f"{n}", "bo", ("x", "y"), 5, NOW + n, n == 1, "missing") for n in range(5)]
    assert load_own(dump_own(own, SETTINGS)) == own
    assert load_own(dump_own(own, replace(SETTINGS, remembered=2))) == own[3:]
    for damaged in ("", "{}", "[1]", '[{"name": 5}]', "null"):
        assert load_own(damaged) == []


@given(st.binary(max_size=100))
def test_framing(data: bytes) -> None:
    assert bare(dressed(data)) == data
