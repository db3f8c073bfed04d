"""What the checks of `conformance` are written with."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from hashlib import sha256

from volok.model.event import Event, event_id
from volok.model.filters import Filter
from volok.model.supersession import is_expired
from volok.store.store import Store

MakeStore = Callable[[], Awaitable[Store]]
Check = Callable[[MakeStore], Awaitable[None]]

NOW = 1_700_000_000
ALICE, BOB, CAROL = (sha256(name).hexdigest() for name in (b"alice", b"bob", b"carol"))
PLENTY = 10_000
"""More events than any check stores."""


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
    return {entry.event.id for entry in await store.query([Filter()], PLENTY, now)}


@asynccontextmanager
async def opened(make_store: MakeStore) -> AsyncIterator[Store]:
    """A new store, closed in the end."""
    store = await make_store()
    try:
        yield store
    finally:
        await store.close()


def make_deletion(author: str, *targets: list[str]) -> Event:
    """A deletion (NIP-09) with these e and a tags."""
    return make_event(5, author, tags=targets)


def _place(event: Event) -> tuple[int, str]:
    return -event.created_at, event.id
