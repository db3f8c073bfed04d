"""Checks of who is shown what, of requests to vanish (NIP-62), and of search (NIP-50)."""

from __future__ import annotations

import asyncio

from volok.model.filters import Filter
from volok.store.conformance_tools import (
    ALICE,
    BOB,
    CAROL,
    NOW,
    PLENTY,
    MakeStore,
    contents,
    expected,
    make_event,
    opened,
)
from volok.store.store import Outcome, Store, Visibility

_SEALED = frozenset({1059, 1060})


async def check_visibility(make_store: MakeStore) -> None:
    """What is not shown is left out before any limit counts, and is not counted."""
    async with opened(make_store) as store:
        events = [
            *(make_event(1059, CAROL, NOW + n, [["p", BOB]], str(n)) for n in range(30)),
            make_event(1059, CAROL, NOW - 1, [["p", ALICE], ["p", CAROL]]),
            make_event(1060, CAROL, NOW - 2),
            make_event(5, ALICE, NOW - 3, [["k", "1059"], ["e", BOB]]),
            make_event(5, ALICE, NOW - 4, [["k", "1"], ["e", CAROL]]),
            *(make_event(1, author, NOW - 5 - n) for n, author in enumerate((ALICE, BOB, CAROL))),
        ]
        await store.add(events, NOW)
        for keys in ([], [ALICE], [BOB], [ALICE, BOB, CAROL]):
            visible = Visibility(_SEALED, frozenset(keys))
            for wanted in (
                Filter(),
                Filter(authors=frozenset([ALICE, CAROL])),
                Filter(kinds=frozenset([1, 5, 1059, 1060])),
                Filter(tags={"p": frozenset([ALICE, BOB])}),
                Filter(ids=frozenset(event.id for event in events[20:])),
                Filter(since=NOW - 4, until=NOW),
            ):
                shown = expected(filter(visible.shows, events), [wanted], PLENTY, NOW)
                for limit in (1, 3, PLENTY):
                    given = await store.query([wanted], limit, NOW, visible)
                    assert [entry.event for entry in given] == shown[:limit], (keys, wanted)
                assert await store.count([wanted], NOW, visible) == len(shown), (keys, wanted)
        assert len(await store.query([Filter()], PLENTY, NOW)) == len(events)


async def check_vanish(make_store: MakeStore) -> None:
    """A request to vanish takes all of its author and all wraps for it, up to its own second."""
    async with opened(make_store) as store:
        of_alice = [
            make_event(kind, ALICE, NOW - age, [["d", "x"]], str(age))
            for age, kind in enumerate((1, 0, 30_023, 5, 7, 1059))
        ]
        wraps = [make_event(1059, CAROL, NOW - n, [["p", BOB], ["p", ALICE]]) for n in range(3)]
        newer = make_event(1, ALICE, NOW + 1)
        kept = [
            newer,
            make_event(1059, CAROL, NOW + 1, [["p", ALICE]]),
            make_event(1, BOB, NOW - 9, [["p", ALICE]]),
            make_event(1059, CAROL, NOW - 9, [["p", BOB], ["p", "no key"], ["p"]]),
        ]
        await store.add([*of_alice[:3], *wraps[:2], *kept], NOW)
        request = make_event(62, ALICE, NOW, [["relay", "ALL_RELAYS"]])
        assert await store.add([request], NOW) == [Outcome.ADDED]
        assert await contents(store) == {request.id, *(event.id for event in kept)}
        assert await store.count([Filter(authors=frozenset([ALICE]))], NOW) == 2
        refused = [*of_alice, *wraps]
        assert await store.add(refused, NOW) == [Outcome.DELETED] * len(refused)
        assert await store.add([request, newer], NOW) == [Outcome.DUPLICATE] * 2
        # An older request changes nothing, and neither does erasing the request.
        older = make_event(62, ALICE, NOW - 3, [["relay", "ALL_RELAYS"]])
        assert await store.add([older], NOW) == [Outcome.ADDED]
        await store.delete([request.id])
        assert await store.add(refused, NOW) == [Outcome.DELETED] * len(refused)
        # In one batch, what came before the request goes as well.
        note, last = make_event(1, BOB, NOW), make_event(62, BOB, NOW + 5)
        many = [make_event(1, BOB, NOW - 1, content=str(n)) for n in range(2500)]
        assert await store.add([*many, note, last, note], NOW) == [
            *[Outcome.ADDED] * 2502,
            Outcome.DELETED,
        ]
        assert await store.count([Filter(authors=frozenset([BOB]))], NOW) == 1


async def check_search(make_store: MakeStore) -> None:
    """A search finds what has all words and meets the rest; nothing that has left."""
    async with opened(make_store) as store:
        river, road = (
            make_event(1, ALICE, content=text)
            for text in ("Реки и волоки: the Portage over the river", "A road over the river")
        )
        article = make_event(30_023, BOB, NOW - 1, [["d", "x"], ["title", "Portage"]], "boats")
        wrap = make_event(1059, CAROL, tags=[["p", BOB]], content="portage river")
        await store.add([river, road, article, wrap], NOW)
        for search, found in (
            ("portage", {river.id, article.id}),
            ("river", {river.id, road.id}),
            ("over road", {road.id}),
            ("волок", {river.id}),
            ("nothing", set()),
        ):
            wanted = Filter(search=search)
            await _until_found(store, wanted, found)
            assert await store.count([wanted], NOW) == len(found)
        of_bob = Filter(search="portage", authors=frozenset([BOB]))
        assert await _found(store, of_bob) == {article.id}
        assert len(await store.query([Filter(search="portage", limit=1)], 9, NOW)) == 1
        await store.delete([river.id])
        assert await _found(store, Filter(search="portage")) == {article.id}
        replaced = make_event(30_023, BOB, NOW, [["d", "x"], ["title", "Lake"]], "boats")
        await store.add([replaced], NOW)
        await _until_found(store, Filter(search="lake"), {replaced.id})
        assert await _found(store, Filter(search="portage")) == set()


async def check_search_order(make_store: MakeStore) -> None:
    """What a search finds comes the best first, before what other filters find (NIP-50)."""
    async with opened(make_store) as store:
        texts = ("boat and a long way to go", "boat boat boat on the way", "boat and boat again")
        events = [
            make_event(content=text, created_at=NOW + n) for n, text in enumerate((*texts, "other"))
        ]
        await store.add(events, NOW)
        names = {event.id for event in events[:3]}
        await _until_found(store, Filter(search="boat"), names)
        filters = [Filter(kinds=frozenset([1])), Filter(search="boat")]
        given = [entry.event for entry in await store.query(filters, 9, NOW)]
        assert given == [events[1], events[2], events[0], events[3]]
        assert [e.event for e in await store.query(filters[1:], 1, NOW)] == events[1:2]


CHECKS = (check_visibility, check_vanish, check_search)
"""All checks that every backend must pass; `check_search_order` is for those that rank."""


async def _until_found(store: Store, wanted: Filter, names: set[str]) -> None:
    """An index of words may lag behind."""
    async with asyncio.timeout(30):
        while await _found(store, wanted) != names:  # noqa: ASYNC110 (nothing tells of it)
            await asyncio.sleep(0.02)


async def _found(store: Store, wanted: Filter) -> set[str]:
    return {entry.event.id for entry in await store.query([wanted], PLENTY, NOW)}
