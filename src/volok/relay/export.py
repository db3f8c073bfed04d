"""Everything a relay holds as JSON lines, sealed events included, in the order of its log."""

from __future__ import annotations

from collections.abc import AsyncIterator

from volok.store.store import Store

_PAGE = 500


async def export_events(store: Store, now: int) -> AsyncIterator[bytes]:
    """Yield one event per line, each line ended by a newline. `now` is in Unix seconds.

    Raises StoreError.
    """
    position = 0
    while entries := await store.log(position, _PAGE, now):
        for entry in entries:
            yield entry.raw + b"\n"
        position = entries[-1].number
