"""What every backend of `Store` must do, as checks that any test runner can run.

`CHECKS` holds all of them. Each takes a function that opens a new, empty store, and raises
AssertionError when the store does not do what the contract says; so Python must run with asserts.
The events used here are well formed, but their signatures are not: a store does not look at them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager
from hashlib import sha256
from itertools import pairwise, permutations, product

from volok.model.event import Event, event_id
from volok.model.filters import Filter
from volok.model.supersession import is_expired
from volok.store.store import Entry, Outcome, Store, StoreError

MakeStore = Callable[[], Awaitable[Store]]
Check = Callable[[MakeStore], Awaitable[None]]

NOW = 1_700_000_000
ALICE, BOB, CAROL = (sha256(name).hexdigest() for name in (b"alice", b"bob", b"carol"))

_PLENTY = 10_000


def make_event(
    kind: int = 1,
    author: str = ALICE,
    created_at: int = NOW,
    tags: Iterable[Sequence[str]] = (),
    content: str = "",
) -> Event:
    """An event with a true id and a signature of zeros."""
    fields = tuple(map(tuple, tags))
    name = event_id(author, created_at, kind, fields, content)
    return Event(name, author, created_at, kind, fields, content, "00" * 64)


def expected(
    events: Iterable[Event], filters: Sequence[Filter], limit: int, now: int
) -> list[Event]:
    """What `query` must answer when exactly these events are stored."""
    found: dict[str, Event] = {}
    for wanted in filters:
        matching = [e for e in events if wanted.matches(e) and not is_expired(e, now)]
        matching.sort(key=_place)
        found.update((event.id, event) for event in matching[: wanted.limit])
    return sorted(found.values(), key=_place)[:limit]


async def contents(store: Store, now: int = NOW) -> set[str]:
    """The ids of all events that the store shows."""
    return {entry.event.id for entry in await store.query([Filter()], _PLENTY, now)}


async def check_read_back(make_store: MakeStore) -> None:
    """What was added is there as it was, byte for byte; what is there already is a duplicate."""
    async with _opened(make_store) as store:
        odd = make_event(tags=[["t", "ü\x00\n"], ["p"], ["long-name", "x"]], content='"\\ 🛶')
        events = [odd, *(make_event(content=str(n)) for n in range(3))]
        assert store.head == 0
        assert await store.add(events, NOW) == [Outcome.ADDED] * 4
        assert await store.add([odd, odd], NOW) == [Outcome.DUPLICATE] * 2
        entries = await store.log(0, _PLENTY, NOW)
        assert [entry.event for entry in entries] == events
        assert [entry.raw for entry in entries] == [event.to_json() for event in events]
        assert entries[-1].number == store.head
        assert await store.add([], NOW) == []


async def check_numbers(make_store: MakeStore) -> None:
    """Numbers grow in the order of arrival and are not used again."""
    async with _opened(make_store) as store:
        seen: list[int] = []
        for n in range(5):
            event = make_event(content=str(n))
            assert await store.add([event, event], NOW) == [Outcome.ADDED, Outcome.DUPLICATE]
            seen.append(store.head)
            assert await store.delete([event.id]) == 1
            assert store.head == seen[-1]
        assert seen[0] > 0
        assert all(one < other for one, other in pairwise(seen))
        assert await store.log(0, _PLENTY, NOW) == []


async def check_log(make_store: MakeStore) -> None:
    """The log goes on after any number, in order, and skips what has left."""
    async with _opened(make_store) as store:
        events = [make_event(created_at=NOW - n, content=str(n)) for n in range(6)]
        await store.add(events, NOW)
        entries = await store.log(0, _PLENTY, NOW)
        assert [entry.event for entry in entries] == events
        assert await store.log(entries[1].number, 2, NOW) == entries[2:4]
        assert await store.log(store.head, 2, NOW) == []
        assert await store.log(0, 0, NOW) == []
        await store.delete([events[2].id])
        assert await store.log(entries[1].number, 2, NOW) == entries[3:5]


async def check_order_and_limits(make_store: MakeStore) -> None:
    """Newest first, then by id; a filter's limit counts for it alone, the other for all."""
    async with _opened(make_store) as store:
        events = [
            make_event(1 + n % 2, (ALICE, BOB, CAROL)[n % 3], NOW - n // 8, content=str(n))
            for n in range(40)
        ]
        await store.add(events, NOW)
        ones, of_all = Filter(kinds=frozenset([1])), frozenset([ALICE, BOB, CAROL])
        for limit in (-1, 0, 1, 2, 7, 8, 9, 39, 40, 41):
            for filters in (
                [Filter()],
                [ones],
                [Filter(limit=3), Filter(kinds=frozenset([2]), limit=5)],
                [Filter(limit=0), ones],
                [Filter(authors=of_all, limit=10)],
                [Filter(kinds=frozenset([1, 2]), limit=11)],
                [ones, ones],
            ):
                await _compare(store, events, filters, max(limit, 0))
        assert await store.query([], 10, NOW) == []


async def check_filters(make_store: MakeStore) -> None:
    """Every combination of conditions gives what `Filter.matches` says; so does `count`."""
    async with _opened(make_store) as store:
        events = [
            make_event(kind, author, NOW - age, tags, str(age))
            for age, (kind, author, tags) in enumerate(
                product(
                    (0, 1, 10_002, 1059, 30_023),
                    (ALICE, BOB),
                    ([], [["e", CAROL]], [["e", BOB], ["t", "a"], ["t", "b"]], [["d", "a"]]),
                )
            )
        ]
        outcomes = await store.add(events, NOW)
        here = [e for e, what in zip(events, outcomes, strict=True) if what is Outcome.ADDED]
        assert len(here) > len(events) // 2
        some = frozenset([events[0].id, events[9].id, BOB])
        for ids, authors, kinds, tags, since, until in product(
            (None, frozenset[str](), some),
            (None, frozenset[str](), frozenset([ALICE]), frozenset([ALICE, BOB, CAROL])),
            (None, frozenset[int](), frozenset([0, 10_002]), frozenset([1, 30_023, 7])),
            (
                {},
                {"e": frozenset[str]()},
                {"e": frozenset([CAROL, BOB])},
                {"t": frozenset(["a", "b", "c"]), "e": frozenset([BOB])},
                {"d": frozenset(["a"])},
                {"T": frozenset(["a"])},
            ),
            (None, NOW - 20),
            (None, NOW - 10),
        ):
            wanted = Filter(ids, authors, kinds, since, until, None, tags)
            matching = await _compare(store, here, [wanted], _PLENTY)
            assert await store.count([wanted], NOW) == matching
            await _compare(store, here, [Filter(ids, authors, kinds, since, until, 2, tags)], 5)
        both = [Filter(kinds=frozenset([1])), Filter(authors=frozenset([ALICE]), limit=1)]
        all_of_both = sum(any(wanted.matches(event) for wanted in both) for event in here)
        assert await store.count(both, NOW) == all_of_both
        assert await store.count([], NOW) == 0


async def check_replaceable(make_store: MakeStore) -> None:
    """Of one address the newest stays, of the same second the lower id, whatever comes first."""
    async with _opened(make_store) as store:
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
        assert len(await store.log(0, _PLENTY, NOW)) == 4


async def check_addressable(make_store: MakeStore) -> None:
    """From kind 30000 to 39999, the first d tag is part of the address."""
    async with _opened(make_store) as store:
        a, b = (make_event(30_000, tags=[["d", name]]) for name in "ab")
        none, empty = make_event(30_000), make_event(30_000, created_at=NOW + 1, tags=[["d", ""]])
        newer = make_event(30_000, created_at=NOW + 1, tags=[["d", "a"], ["d", "b"]])
        assert await store.add([a, b, none, empty, newer], NOW) == [Outcome.ADDED] * 5
        assert await contents(store) == {b.id, empty.id, newer.id}


async def check_deletion(make_store: MakeStore) -> None:
    """A deletion by id takes the author's events away for good, before or after they come."""
    async with _opened(make_store) as store:
        here, later, of_bob = (
            make_event(content="here"),
            make_event(content="later"),
            make_event(author=BOB),
        )
        deletion = _deletion(ALICE, ["e", here.id], ["e", later.id], ["e", of_bob.id], ["e", "?"])
        await store.add([here, of_bob], NOW)
        assert await store.add([deletion], NOW) == [Outcome.ADDED]
        assert await contents(store) == {of_bob.id, deletion.id}
        assert await store.add([here, later], NOW) == [Outcome.DELETED] * 2
        assert await store.add([_deletion(BOB, ["e", deletion.id])], NOW) == [Outcome.ADDED]
        own = _deletion(ALICE, ["e", deletion.id])
        assert await store.add([own], NOW) == [Outcome.ADDED]
        assert deletion.id in await contents(store)
        assert await store.delete([deletion.id]) == 1
        assert await store.add([here, later], NOW) == [Outcome.DELETED] * 2
        # Somebody else's deletion that came first does not keep an event out.
        foreign = make_event(author=CAROL)
        await store.add([_deletion(ALICE, ["e", foreign.id])], NOW)
        assert await store.add([foreign], NOW) == [Outcome.ADDED]


async def check_wrap_deletion(make_store: MakeStore) -> None:
    """Kind 1059 is deleted by its addressee (NIP-59), and by nobody else but its author."""
    async with _opened(make_store) as store:
        wraps = [make_event(1059, CAROL, tags=[["p", BOB]], content=str(n)) for n in range(3)]
        names = [["e", wrap.id] for wrap in wraps]
        await store.add(wraps[:2], NOW)
        await store.add([_deletion(ALICE, *names)], NOW)
        assert {wrap.id for wrap in wraps[:2]} <= await contents(store)
        await store.add([_deletion(BOB, *names)], NOW)
        assert await store.add(wraps, NOW) == [Outcome.DELETED] * 3
        assert not {wrap.id for wrap in wraps} & await contents(store)


async def check_address_deletion(make_store: MakeStore) -> None:
    """A deletion of an address takes all versions until its own second, no later one."""
    async with _opened(make_store) as store:
        old, same, newer = (
            make_event(30_000, created_at=NOW + n, tags=[["d", "x:y"]]) for n in (-1, 0, 1)
        )
        place = ["a", f"30000:{ALICE}:x:y"]
        await store.add([old, _deletion(BOB, place)], NOW)
        assert old.id in await contents(store)
        await store.add([_deletion(ALICE, place)], NOW)
        assert old.id not in await contents(store)
        assert await store.add([old, same, newer], NOW) == [
            Outcome.DELETED,
            Outcome.DELETED,
            Outcome.ADDED,
        ]
        # A version deleted by id still replaces the older ones.
        profiles = [make_event(0, created_at=NOW + n) for n in range(3)]
        await store.add([profiles[0], _deletion(ALICE, ["e", profiles[1].id])], NOW)
        assert await store.add(profiles[1:2], NOW) == [Outcome.DELETED]
        assert profiles[0].id not in await contents(store)
        assert await store.add([profiles[0], profiles[2]], NOW) == [Outcome.DELETED, Outcome.ADDED]


async def check_any_order(make_store: MakeStore) -> None:
    """The same events, one by one or all at once, end as the same set in whatever order."""
    versions = [make_event(0, created_at=NOW + n) for n in range(3)]
    note = make_event(content="note")
    events = [*versions, note, _deletion(ALICE, ["e", versions[1].id], ["e", note.id])]
    ends = set()
    for turn, order in enumerate(permutations(events)):
        if turn % 3 == 0:
            async with _opened(make_store) as store:
                for part in [order] if turn % 2 else [[event] for event in order]:
                    await store.add(part, NOW)
                ends.add(frozenset(await contents(store)))
    assert ends == {frozenset({versions[2].id, events[-1].id})}


async def check_expiry(make_store: MakeStore) -> None:
    """What has expired does not come in, is not shown, and `expire` erases it (NIP-40)."""
    async with _opened(make_store) as store:
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
        assert len(await store.log(0, _PLENTY, NOW + 10)) == 2
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
    async with _opened(make_store) as store:
        events = [make_event(kind, tags=[["t", "x"]]) for kind in (0, 1, 2)]
        await store.add(events, NOW)
        assert await store.delete([events[0].id, events[1].id, events[0].id, BOB, "no id"]) == 2
        tagged = Filter(tags={"t": frozenset("x")})
        assert await store.count([tagged], NOW) == 1
        assert await store.add(events, NOW) == [Outcome.ADDED, Outcome.ADDED, Outcome.DUPLICATE]
        assert await store.count([tagged], NOW) == 3


async def check_follow(make_store: MakeStore) -> None:
    """Followers get what was stored, then what comes, once each and in order; ephemerals too."""
    async with _opened(make_store) as store:
        events = [make_event(content=str(n)) for n in range(6)]
        await store.add(events[:3], NOW)
        numbers = [entry.number for entry in await store.log(0, _PLENTY, NOW)]
        early = asyncio.create_task(_follow(store, 0, 7))
        late = asyncio.create_task(_follow(store, numbers[1], 5))
        assert [e.event for e in await _follow(store, numbers[0], 2)] == events[1:3]
        await asyncio.sleep(0)
        await store.add(events[3:4], NOW)
        fleeting = make_event(20_000)
        assert await store.add([fleeting], NOW) == [Outcome.ADDED]
        head = store.head
        await store.add(events[4:], NOW)
        shown = await early
        assert [entry.event for entry in shown] == [*events[:4], fleeting, *events[4:]]
        assert all(one.number < other.number for one, other in pairwise(shown))
        assert shown[3].number == head
        assert await late == shown[2:]
        assert fleeting.id not in await contents(store)
        assert await _follow(store, shown[4].number, 2) == shown[5:]


async def check_slow_follower(make_store: MakeStore) -> None:
    """A follower that does not keep up misses nothing that is stored."""
    async with _opened(make_store) as store:
        total, seen = 30_000, 0
        first = make_event(content="first")
        await store.add([first], NOW)
        async with aclosing(store.follow(0)) as batches:  # type: ignore[type-var]
            assert [entry.event for entry in await anext(batches)] == [first]
            await store.add([make_event(content=str(n)) for n in range(5)], NOW)
            await anext(batches)
            for start in range(0, total, 3000):
                await store.add(
                    [make_event(20_001, content=str(n)) for n in range(start, start + 3000)], NOW
                )
            last = make_event(content="last")
            await store.add([last], NOW)
            async for batch in batches:
                seen += len(batch)
                if batch[-1].event == last:
                    break
        assert 1 <= seen <= total + 1


async def check_concurrent_adds(make_store: MakeStore) -> None:
    """Concurrent calls each get their own outcomes, and each event is taken in once."""
    async with _opened(make_store) as store:
        events = [make_event(content=str(n)) for n in range(50)]
        outcomes = await asyncio.gather(*(store.add([e, events[0]], NOW) for e in events * 2))
        assert sum(one.count(Outcome.ADDED) for one in outcomes) == len(events)
        entries = await store.log(0, _PLENTY, NOW)
        assert {entry.event.id for entry in entries} == {event.id for event in events}
        assert len(entries) == len(events)
        assert entries[-1].number == store.head


async def check_closed(make_store: MakeStore) -> None:
    """A closed store answers everything with StoreError, also to those who follow it."""
    store = await make_store()
    following = asyncio.create_task(_follow(store, 0, 1))
    await store.flush()
    await store.close()
    await store.close()
    for call in (
        store.add([make_event()], NOW),
        store.query([Filter()], 1, NOW),
        store.count([Filter()], NOW),
        store.log(0, 1, NOW),
        store.delete([ALICE]),
        store.expire(NOW),
        store.flush(),
        following,
        _follow(store, 0, 1),
    ):
        try:
            await call
        except StoreError:
            continue
        raise AssertionError("A closed store answered.")


CHECKS: tuple[Check, ...] = (
    check_read_back,
    check_numbers,
    check_log,
    check_order_and_limits,
    check_filters,
    check_replaceable,
    check_addressable,
    check_deletion,
    check_wrap_deletion,
    check_address_deletion,
    check_any_order,
    check_expiry,
    check_delete,
    check_follow,
    check_slow_follower,
    check_concurrent_adds,
    check_closed,
)
"""All checks."""


@asynccontextmanager
async def _opened(make_store: MakeStore) -> AsyncIterator[Store]:
    store = await make_store()
    try:
        yield store
    finally:
        await store.close()


async def _compare(
    store: Store, here: Sequence[Event], filters: Sequence[Filter], limit: int
) -> int:
    """Check one query; returns how many events it must give."""
    wanted = expected(here, filters, limit, NOW)
    given = [entry.event for entry in await store.query(filters, limit, NOW)]
    assert given == wanted, f"{filters} with limit {limit}: {len(given)}, not {len(wanted)}"
    return len(wanted)


async def _follow(store: Store, after: int, count: int) -> list[Entry]:
    """The first `count` entries that a follower is given."""
    entries: list[Entry] = []
    async with aclosing(store.follow(after)) as batches:  # type: ignore[type-var]
        async for batch in batches:
            entries += batch
            if len(entries) >= count:
                break
    return entries


def _deletion(author: str, *targets: list[str]) -> Event:
    return make_event(5, author, tags=targets)


def _same_second(kind: int) -> tuple[Event, Event]:
    return make_event(kind, content="one"), make_event(kind, content="two")


def _place(event: Event) -> tuple[int, str]:
    return -event.created_at, event.id
