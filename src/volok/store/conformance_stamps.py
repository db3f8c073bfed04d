"""Checks of `Store.stamps`, by which stores are reconciled (NIP-77)."""

from __future__ import annotations

from itertools import pairwise, product

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
    make_event,
    opened,
)
from volok.store.store import STAMP_BYTES, Store, Visibility, stamp

_SEALED = frozenset((1059,))


async def check_stamps(make_store: MakeStore) -> None:
    """Runs in order that hold what matches and is shown, as `Visibility.shows` says it."""
    async with opened(make_store) as store:
        events = [
            make_event(kind, author, NOW - age // 3, tags, str(age))
            for age, (kind, author, tags) in enumerate(
                product(
                    (1, 5, 1059, 30_023),
                    (ALICE, BOB),
                    ([], [["p", CAROL], ["p", BOB]], [["k", "1059"], ["t", "a"], ["t", "b"]]),
                )
            )
        ]
        await store.add(events, NOW)
        names = await contents(store)
        here = [event for event in events if event.id in names]
        expired = make_event(tags=[["expiration", str(NOW + 5)]])
        await store.add([expired], NOW)
        questions = [
            [Filter()],
            [],
            [Filter(kinds=frozenset[int]())],
            [Filter(limit=1)],
            [Filter(since=NOW - 4, until=NOW - 2)],
            [Filter(ids=frozenset([events[3].id, events[9].id, CAROL]))],
            [Filter(authors=frozenset([ALICE]))],
            [Filter(kinds=frozenset([1, 1059, 5]))],
            [Filter(tags={"t": frozenset(["a", "b"])}), Filter(authors=frozenset([BOB]))],
            [Filter(tags={"p": frozenset([BOB])}, kinds=frozenset([1059]))],
            [Filter(kinds=frozenset([30_023]), authors=frozenset([ALICE, BOB]))],
        ]
        nobody, carol, alice = (
            Visibility(_SEALED, frozenset(keys)) for keys in ((), (CAROL,), (ALICE,))
        )
        for filters, visible in product(questions, (None, nobody, carol, alice)):
            shown = [event for event in here if visible is None or visible.shows(event)]
            await _compare(store, shown, filters, visible)


async def check_stamps_stop_at_a_limit(make_store: MakeStore) -> None:
    """When there are more than the limit, more than the limit come."""
    async with opened(make_store) as store:
        events = [make_event(created_at=NOW - n, content=str(n)) for n in range(50)]
        await store.add(events, NOW)
        for limit, filters in product((0, 1, 49), ([Filter()], [Filter(kinds=frozenset([1, 2]))])):
            assert sum(map(len, await store.stamps(filters, limit, NOW))) > limit * STAMP_BYTES
        assert sum(map(len, await store.stamps([Filter()], 50, NOW))) == 50 * STAMP_BYTES


async def check_many_stamps(make_store: MakeStore) -> None:
    """Many events, many of them of one second, come once each."""
    async with opened(make_store) as store:
        events = [
            make_event(created_at=NOW - (0 if n < 6_000 else n), content=str(n), tags=[["t", "x"]])
            for n in range(8_000)
        ]
        await store.add(events, NOW)
        await _compare(store, events, [Filter()], None)
        await _compare(store, events, [Filter(tags={"t": frozenset(["x"])})], None)


async def _compare(
    store: Store, here: list[Event], filters: list[Filter], visible: Visibility | None
) -> None:
    wanted = {
        stamp(event.created_at, event.id)
        for event in here
        if any(one.matches(event) for one in filters)
    }
    given: list[bytes] = []
    for run in await store.stamps(filters, PLENTY, NOW + 9, visible):
        stamps = [run[at : at + STAMP_BYTES] for at in range(0, len(run), STAMP_BYTES)]
        assert all(one < other for one, other in pairwise(stamps))
        given += stamps
    assert set(given) == wanted, f"{filters} for {visible}: {len(given)}, not {len(wanted)}"


CHECKS = (check_stamps, check_stamps_stop_at_a_limit, check_many_stamps)
