"""What every backend of `Store` must do, as checks that any test runner can run.

`CHECKS` holds all of them. Each takes a function that opens a new, empty store, and raises
AssertionError when the store does not do what the contract says; so Python must run with asserts.
The events used here are well formed, but their signatures are not: a store does not look at them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from itertools import pairwise, product

from volok.model.event import Event
from volok.model.filters import Filter
from volok.store import conformance_reading as reading
from volok.store import conformance_rules as rules
from volok.store import conformance_stamps as stamps
from volok.store.conformance_tools import (
    ALICE,
    BOB,
    CAROL,
    NOW,
    PLENTY,
    Check,
    MakeStore,
    contents,
    expected,
    make_deletion,
    make_event,
    opened,
)
from volok.store.store import Entry, Outcome, Store, StoreError


async def check_read_back(make_store: MakeStore) -> None:
    """What was added is there as it was, byte for byte; what is there already is a duplicate."""
    async with opened(make_store) as store:
        odd = make_event(tags=[["t", "ü\x00\n"], ["p"], ["long-name", "x"]], content='"\\ 🛶')
        events = [odd, *(make_event(content=str(n)) for n in range(3))]
        assert store.head == 0
        assert await store.add(events, NOW) == [Outcome.ADDED] * 4
        assert await store.add([odd, odd], NOW) == [Outcome.DUPLICATE] * 2
        entries = await store.log(0, PLENTY, NOW)
        assert [entry.event for entry in entries] == events
        assert [entry.raw for entry in entries] == [event.to_json() for event in events]
        assert entries[-1].number == store.head
        assert await store.add([], NOW) == []


async def check_numbers(make_store: MakeStore) -> None:
    """Numbers grow in the order of arrival and are not used again."""
    async with opened(make_store) as store:
        seen: list[int] = []
        for n in range(5):
            event = make_event(content=str(n))
            assert await store.add([event, event], NOW) == [Outcome.ADDED, Outcome.DUPLICATE]
            seen.append(store.head)
            assert await store.delete([event.id]) == 1
            assert store.head == seen[-1]
        assert seen[0] > 0
        assert all(one < other for one, other in pairwise(seen))
        assert await store.log(0, PLENTY, NOW) == []


async def check_log(make_store: MakeStore) -> None:
    """The log goes on after any number, in order, and skips what has left."""
    async with opened(make_store) as store:
        events = [make_event(created_at=NOW - n, content=str(n)) for n in range(6)]
        await store.add(events, NOW)
        entries = await store.log(0, PLENTY, NOW)
        assert [entry.event for entry in entries] == events
        assert await store.log(entries[1].number, 2, NOW) == entries[2:4]
        assert await store.log(store.head, 2, NOW) == []
        assert await store.log(0, 0, NOW) == []
        await store.delete([events[2].id])
        assert await store.log(entries[1].number, 2, NOW) == entries[3:5]


async def check_order_and_limits(make_store: MakeStore) -> None:
    """Newest first, then by id; a filter's limit counts for it alone, the other for all."""
    async with opened(make_store) as store:
        events = [
            make_event(1 + n % 2, (ALICE, BOB, CAROL)[n % 3], NOW - n // 8, [["t", "x"]], str(n))
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
                [Filter(tags={"t": frozenset(["x", "y"])}, limit=13)],
            ):
                await _compare(store, events, filters, max(limit, 0))
        assert await store.query([], 10, NOW) == []


async def check_filters(make_store: MakeStore) -> None:
    """Every combination of conditions gives what `Filter.matches` says; so does `count`."""
    async with opened(make_store) as store:
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
            matching = await _compare(store, here, [wanted], PLENTY)
            assert await store.count([wanted], NOW) == matching
            await _compare(store, here, [Filter(ids, authors, kinds, since, until, 2, tags)], 5)
        both = [Filter(kinds=frozenset([1])), Filter(authors=frozenset([ALICE]), limit=1)]
        all_of_both = sum(any(wanted.matches(event) for wanted in both) for event in here)
        assert await store.count(both, NOW) == all_of_both
        assert await store.count([], NOW) == 0


async def check_follow(make_store: MakeStore) -> None:
    """Followers get what was stored, then what comes, once each and in order; ephemerals too."""
    async with opened(make_store) as store:
        events = [make_event(content=str(n)) for n in range(6)]
        await store.add(events[:3], NOW)
        numbers = [entry.number for entry in await store.log(0, PLENTY, NOW)]
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


async def check_follower_between_log_and_commits(make_store: MakeStore) -> None:
    """What is committed while a follower reads the log is shown once; what left, not at all."""
    async with opened(make_store) as store:
        events = [make_event(content=str(n)) for n in range(1300)]
        gone, last = make_event(content="gone"), make_event(content="last")
        await store.add(events[:1200], NOW)
        shown: list[Entry] = []
        async with aclosing(store.follow(0)) as batches:  # type: ignore[type-var]
            shown += await anext(batches)
            await store.add(events[1200:], NOW)
            while len(shown) < len(events):
                shown += await anext(batches)
            await store.add([gone, make_deletion(ALICE, ["e", gone.id]), last], NOW)
            while shown[-1].event != last:
                shown += await anext(batches)
        assert [entry.event for entry in shown[:1300]] == events
        assert [entry.event.kind for entry in shown[1300:]] == [5, 1]


async def check_slow_follower(make_store: MakeStore) -> None:
    """A follower that does not keep up misses nothing that is stored."""
    async with opened(make_store) as store:
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
    async with opened(make_store) as store:
        events = [make_event(content=str(n)) for n in range(50)]
        outcomes = await asyncio.gather(*(store.add([e, events[0]], NOW) for e in events * 2))
        assert sum(one.count(Outcome.ADDED) for one in outcomes) == len(events)
        entries = await store.log(0, PLENTY, NOW)
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
    rules.check_replaceable,
    rules.check_addressable,
    rules.check_deletion,
    rules.check_wrap_deletion,
    rules.check_address_deletion,
    rules.check_any_order,
    rules.check_expiry,
    rules.check_delete,
    check_follow,
    check_follower_between_log_and_commits,
    check_slow_follower,
    check_concurrent_adds,
    check_closed,
    *stamps.CHECKS,
    *reading.CHECKS,
)
"""All checks."""


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
