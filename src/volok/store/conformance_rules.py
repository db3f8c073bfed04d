"""Checks of what leaves a store: replaced, deleted, expired (`volok.model.supersession`)."""

from __future__ import annotations

from itertools import permutations

from volok.model.event import Event
from volok.model.filters import Filter
from volok.store.conformance_tools import (
    ALICE,
    BOB,
    CAROL,
    NOW,
    PLENTY,
    MakeStore,
    contents,
    make_deletion,
    make_event,
    opened,
)
from volok.store.store import Outcome


async def check_replaceable(make_store: MakeStore) -> None:
    """Of one address the newest stays, of the same second the lower id, whatever comes first."""
    async with opened(make_store) as store:
        old, low, high = sorted(
            (make_event(0, created_at=NOW - 9, content="old"), *_same_second(0)),
            key=lambda event: (event.created_at, event.id),
        )
        newer = make_event(0, created_at=NOW + 1)
        assert await store.add([high], NOW) == [Outcome.ADDED]
        assert await store.add([old, low, high], NOW) == [
            Outcome.SUPERSEDED,
            Outcome.ADDED,
            Outcome.SUPERSEDED,
        ]
        assert await contents(store) == {low.id}
        others = [make_event(0, BOB), make_event(3), make_event(10_000)]
        assert await store.add([*others, newer], NOW) == [Outcome.ADDED] * 4
        assert await contents(store) == {newer.id, *(event.id for event in others)}
        assert len(await store.log(0, PLENTY, NOW)) == 4


async def check_addressable(make_store: MakeStore) -> None:
    """From kind 30000 to 39999, the first d tag is part of the address."""
    async with opened(make_store) as store:
        a, b = (make_event(30_000, tags=[["d", name]]) for name in "ab")
        none, empty = make_event(30_000), make_event(30_000, created_at=NOW + 1, tags=[["d", ""]])
        newer = make_event(30_000, created_at=NOW + 1, tags=[["d", "a"], ["d", "b"]])
        assert await store.add([a, b, none, empty, newer], NOW) == [Outcome.ADDED] * 5
        assert await contents(store) == {b.id, empty.id, newer.id}


async def check_deletion(make_store: MakeStore) -> None:
    """A deletion by id takes the author's events away for good, before or after they come."""
    async with opened(make_store) as store:
        here, later, of_bob = (
            make_event(content="here"),
            make_event(content="later"),
            make_event(author=BOB),
        )
        names = [here.id, later.id, of_bob.id, "no id"]
        deletion = make_deletion(ALICE, *(["e", name] for name in names))
        await store.add([here, of_bob], NOW)
        assert await store.add([deletion], NOW) == [Outcome.ADDED]
        assert await contents(store) == {of_bob.id, deletion.id}
        assert await store.add([here, later], NOW) == [Outcome.DELETED] * 2
        assert await store.add([make_deletion(BOB, ["e", deletion.id])], NOW) == [Outcome.ADDED]
        own = make_deletion(ALICE, ["e", deletion.id])
        assert await store.add([own], NOW) == [Outcome.ADDED]
        assert deletion.id in await contents(store)
        assert await store.delete([deletion.id]) == 1
        assert await store.add([here, later], NOW) == [Outcome.DELETED] * 2
        # Somebody else's deletion that came first does not keep an event out.
        foreign = make_event(author=CAROL)
        await store.add([make_deletion(ALICE, ["e", foreign.id])], NOW)
        assert await store.add([foreign], NOW) == [Outcome.ADDED]


async def check_wrap_deletion(make_store: MakeStore) -> None:
    """Kind 1059 is deleted by its addressee (NIP-59), and by nobody else but its author."""
    async with opened(make_store) as store:
        wraps = [make_event(1059, CAROL, tags=[["p", BOB]], content=str(n)) for n in range(3)]
        names = [["e", wrap.id] for wrap in wraps]
        await store.add(wraps[:2], NOW)
        await store.add([make_deletion(ALICE, *names)], NOW)
        assert {wrap.id for wrap in wraps[:2]} <= await contents(store)
        await store.add([make_deletion(BOB, *names)], NOW)
        assert await store.add(wraps, NOW) == [Outcome.DELETED] * 3
        assert not {wrap.id for wrap in wraps} & await contents(store)


async def check_address_deletion(make_store: MakeStore) -> None:
    """A deletion of an address takes all versions until its own second, no later one."""
    async with opened(make_store) as store:
        old, same, newer = (
            make_event(30_000, created_at=NOW + n, tags=[["d", "x:y"]]) for n in (-1, 0, 1)
        )
        place = ["a", f"30000:{ALICE}:x:y"]
        await store.add([old, make_deletion(BOB, place)], NOW)
        assert old.id in await contents(store)
        await store.add([make_deletion(ALICE, place)], NOW)
        assert old.id not in await contents(store)
        assert await store.add([old, same, newer], NOW) == [
            Outcome.DELETED,
            Outcome.DELETED,
            Outcome.ADDED,
        ]
        # A version deleted by id still replaces the older ones.
        profiles = [make_event(0, created_at=NOW + n) for n in range(3)]
        await store.add([profiles[0], make_deletion(ALICE, ["e", profiles[1].id])], NOW)
        assert await store.add(profiles[1:2], NOW) == [Outcome.DELETED]
        assert profiles[0].id not in await contents(store)
        assert await store.add([profiles[0], profiles[2]], NOW) == [Outcome.DELETED, Outcome.ADDED]


async def check_any_order(make_store: MakeStore) -> None:
    """The same events, one by one or all at once, end as the same set in whatever order."""
    versions = [make_event(0, created_at=NOW + n) for n in range(3)]
    note = make_event(content="note")
    events = [*versions, note, make_deletion(ALICE, ["e", versions[1].id], ["e", note.id])]
    ends = set()
    for turn, order in enumerate(permutations(events)):
        if turn % 3 == 0:
            async with opened(make_store) as store:
                for part in [order] if turn % 2 else [[event] for event in order]:
                    await store.add(part, NOW)
                ends.add(frozenset(await contents(store)))
    assert ends == {frozenset({versions[2].id, events[-1].id})}


async def check_expiry(make_store: MakeStore) -> None:
    """What has expired does not come in, is not shown, and `expire` erases it (NIP-40)."""
    async with opened(make_store) as store:
        soon, later, never = (
            make_event(tags=tags)
            for tags in (
                [["expiration", str(NOW + 10)]],
                [["expiration", str(NOW + 20)]],
                [["expiration", "soon"]],
            )
        )
        assert await store.add([soon, later, never], NOW) == [Outcome.ADDED] * 3
        assert await store.add([soon], NOW + 10) == [Outcome.EXPIRED]
        assert soon.id in await contents(store, NOW + 9)
        assert await contents(store, NOW + 10) == {later.id, never.id}
        assert await store.count([Filter()], NOW + 10) == 2
        assert len(await store.log(0, PLENTY, NOW + 10)) == 2
        assert await store.expire(NOW + 10) == 1
        assert await store.expire(NOW + 10) == 0
        assert await contents(store) == {later.id, never.id}
        many = [
            make_event(tags=[["expiration", str(NOW + 30)]], content=str(n)) for n in range(1500)
        ]
        await store.add(many, NOW)
        assert await store.expire(NOW + 30) == 1501
        assert await contents(store) == {never.id}
        # An expired version does not stand in the way of others.
        brief = make_event(0, created_at=NOW + 1, tags=[["expiration", str(NOW + 40)]])
        lasting = make_event(0)
        assert await store.add([brief, lasting], NOW) == [Outcome.ADDED, Outcome.SUPERSEDED]
        assert await store.add([lasting], NOW + 40) == [Outcome.ADDED]


async def check_delete(make_store: MakeStore) -> None:
    """`delete` erases by id, counts what was here, and lets the event come in again."""
    async with opened(make_store) as store:
        events = [make_event(kind, tags=[["t", "x"]]) for kind in (0, 1, 2)]
        await store.add(events, NOW)
        assert await store.delete([events[0].id, events[1].id, events[0].id, BOB, "no id"]) == 2
        tagged = Filter(tags={"t": frozenset("x")})
        assert await store.count([tagged], NOW) == 1
        assert await store.add(events, NOW) == [Outcome.ADDED, Outcome.ADDED, Outcome.DUPLICATE]
        assert await store.count([tagged], NOW) == 3


def _same_second(kind: int) -> tuple[Event, Event]:
    return make_event(kind, content="one"), make_event(kind, content="two")
