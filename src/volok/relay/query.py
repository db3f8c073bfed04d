"""Stored events for a reader who may not see all of them, in pages."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from itertools import takewhile

from volok.model.filters import Filter
from volok.relay.access import Reader
from volok.store.store import Entry, Store

PAGE = 500
"""Entries that are read at once; other questions come between two pages."""


async def visible_pages(
    store: Store, filters: Sequence[Filter], limit: int, reader: Reader, now: int
) -> AsyncIterator[tuple[list[Entry], bool]]:
    """What `visible_entries` gives, page by page, each with whether it is the last. There is
    always one. Raises StoreError.

    Only a single filter is read in pages; several, each with a limit of its own, are read at once,
    and so is a search, which does not come in the order of time.
    What comes in between two pages, older than the first, is read as well.
    """
    count = limit if len(filters) != 1 or filters[0].limit is None else min(limit, filters[0].limit)
    # One more than a page is no page of its own: so much is asked for where a page is wanted.
    if len(filters) != 1 or count <= PAGE + 1 or filters[0].search is not None:
        yield await visible_entries(store, filters, limit, reader, now), True
        return
    (wanted,) = filters
    edge: set[int] = set()
    """Entries of the second at which the last page ended: the next one begins with these."""
    while True:
        most = min(PAGE, count) + len(edge)
        asked = replace(wanted, limit=most)
        page = await visible_entries(store, [asked], most, reader, now)
        fresh = [entry for entry in page if entry.number not in edge]
        count -= len(fresh)
        is_last = len(page) < most or not fresh or count <= 0
        yield fresh, is_last
        if is_last:
            return
        edge = _edge(page)
        wanted = replace(wanted, until=page[-1].event.created_at)


def _edge(page: Sequence[Entry]) -> set[int]:
    """The numbers of the entries that are as old as the last."""
    until = page[-1].event.created_at
    same = takewhile(lambda entry: entry.event.created_at == until, reversed(page))
    return {entry.number for entry in same}


async def visible_entries(
    store: Store, filters: Sequence[Filter], limit: int, reader: Reader, now: int
) -> list[Entry]:
    """Entries that match any filter and that the reader may see: newest first, at most `limit`,
    each filter's own limit honoured. Raises StoreError.
    """
    return await store.query(filters, limit, now, reader.visibility)
