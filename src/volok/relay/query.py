"""Stored events for a reader who may not see all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from volok.model.filters import Filter
from volok.relay.access import Reader
from volok.store.store import Entry, Store

_FURTHER = 8
"""How many times further a filter is read when the newest entries are sealed for others."""


async def visible_entries(
    store: Store, filters: Sequence[Filter], limit: int, reader: Reader, now: int
) -> list[Entry]:
    """Entries that match any filter and that the reader may see: newest first, at most `limit`,
    each filter's own limit honoured. Raises StoreError.

    A filter without kinds may end early when very many sealed events for others lie between.
    """
    exact = [wanted for wanted in filters if wanted.kinds is not None]
    found = await store.query(exact, limit, now) if exact else []
    if len(exact) == len(filters):
        return found
    merged = {entry.number: entry for entry in found}
    for wanted in filters:
        if wanted.kinds is None:
            for entry in await _visible_page(store, wanted, limit, reader, now):
                merged[entry.number] = entry
    order = sorted(merged.values(), key=lambda e: (-e.event.created_at, e.event.id))
    return order[:limit]


async def _visible_page(
    store: Store, wanted: Filter, limit: int, reader: Reader, now: int
) -> list[Entry]:
    count = limit if wanted.limit is None else min(limit, wanted.limit)
    visible: list[Entry] = []
    for depth in (limit, limit * _FURTHER):
        page = await store.query([replace(wanted, limit=depth)], depth, now)
        visible = [entry for entry in page if reader.may_see(entry.event)]
        if len(visible) >= count or len(page) < depth:
            break
    return visible[:count]
