"""What a store is: a numbered log of signed events, and the rules by which events leave it.

1. `add` answers only after the events are durable.
2. What is taken in gets the next number; numbers only grow and are never reused. A subscriber that
   has seen number n continues with `log(after=n)`; within one process, across worker processes and
   across a cluster alike.
3. Replaceable, deleted (NIP-09), expired (NIP-40) and vanished events are settled by
   `volok.model.supersession`, the same way by every backend. What has left the store is gone from
   its files as well.
4. A request to vanish (NIP-62) that is added takes effect: whoever feeds a store refuses those that
   mean other relays.
5. A store does not check signatures: whoever feeds it does.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Protocol

from volok.model.event import Event, parse_event
from volok.model.filters import Filter
from volok.model.supersession import DELETION


class StoreError(Exception):
    """The store could not be read or written."""


class StoreFull(StoreError):
    """The disk is full. Free some space; nothing that was accepted is lost."""


class Outcome(Enum):
    """What became of an event that was offered to a store."""

    ADDED = "added"
    DUPLICATE = "duplicate"
    SUPERSEDED = "superseded"
    """A newer replaceable event is here already."""
    DELETED = "deleted"
    """Its author, or its addressee for kind 1059, has deleted it (NIP-09) or has asked to vanish
    (NIP-62)."""
    EXPIRED = "expired"


class Entry:
    """One event as the store holds it. A value: number and raw say all, `event` is read from raw
    when it is first asked for, so that rows that are only passed on are never parsed."""

    __slots__ = ("_event", "number", "raw")

    def __init__(self, number: int, raw: bytes, event: Event | None = None) -> None:
        """`raw`: the event as canonical JSON, ready to be sent without re-encoding.

        `event`: the same event, where it is at hand already.
        """
        self.number = number
        self.raw = raw
        self._event = event

    @property
    def event(self) -> Event:
        """The event. Raises StoreError when raw holds none: then the store is damaged."""
        if self._event is None:
            self._event = read_event(self.raw)
        return self._event

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Entry):
            return NotImplemented
        return self.number == other.number and self.raw == other.raw

    def __hash__(self) -> int:
        return hash((self.number, self.raw))

    def __repr__(self) -> str:
        return f"Entry({self.number}, {self.raw!r})"


@dataclass(frozen=True, slots=True)
class Visibility:
    """Who asks, where not everything is for everybody: what this does not show is left out as if
    it were not there, before any limit counts."""

    sealed: frozenset[int]
    """Kinds that are shown to whoever an event names in its `p` tags, and to nobody else. A
    deletion (NIP-09) with one of them in its `k` tags is shown to its author alone."""
    keys: frozenset[str]
    """The public keys that whoever asks has proved to be theirs, hexadecimal."""

    def shows(self, event: Event) -> bool:
        """Whether this event may be shown."""
        if event.kind in self.sealed:
            return not self.keys.isdisjoint(event.values("p"))
        if event.kind == DELETION and not self.sealed_names.isdisjoint(event.values("k")):
            return event.pubkey in self.keys
        return True

    @property
    def sealed_names(self) -> frozenset[str]:
        """The sealed kinds as `k` tags name them."""
        return frozenset(map(str, self.sealed))


STAMP_BYTES = 40
"""What names an event in `Store.stamps`."""


def stamp(created_at: int, event_id: str) -> bytes:
    """An event as `Store.stamps` names it; `event_id` is hexadecimal."""
    return created_at.to_bytes(8, "big") + bytes.fromhex(event_id)


def read_event(raw: bytes) -> Event:
    """Read stored canonical JSON back. Raises StoreError when it holds no event."""
    try:
        return parse_event(json.loads(raw), raw)
    except (ValueError, RecursionError) as error:
        raise StoreError from error


class Store(Protocol):
    """A set of events with a log. Every method may be awaited from one event loop."""

    @property
    def head(self) -> int:
        """The number of the newest durable entry; 0 when there was never one."""

    async def add(self, events: Sequence[Event], now: int) -> list[Outcome]:
        """Take events in; one outcome each, in order, durable on return.

        Concurrent calls share one commit. `now` is in Unix seconds. Kind-5 events take effect
        here. Ephemeral events (kinds 20000 to 29999) are numbered and shown to subscribers but
        never written. Raises StoreFull, StoreError: then none of these events was taken in.
        """

    async def query(
        self,
        filters: Sequence[Filter],
        limit: int,
        now: int,
        visible: Visibility | None = None,
    ) -> list[Entry]:
        """Return the events that match any of the filters: newest first (NIP-01 order: created_at
        descending, then id ascending), each filter's own `limit` honoured, at most `limit` in all.

        What filters with a search find comes first, the best first (NIP-50).

        With `visible`, only what it shows. A long query gives way to others as it goes, so it is
        no snapshot; it stops when whoever awaits it is cancelled.
        """

    async def count(
        self, filters: Sequence[Filter], now: int, visible: Visibility | None = None
    ) -> int:
        """Return how many stored events match any of the filters and, with `visible`, are shown.

        Gives way and stops as `query` does; no filter's `limit` counts.
        """

    async def stamps(
        self,
        filters: Sequence[Filter],
        limit: int,
        now: int,
        visible: Visibility | None = None,
    ) -> list[bytes]:
        """Return created_at and id of what `count` counts, for reconciliation (NIP-77): 40 bytes
        for each event, 8 of created_at (most significant first) and the id.

        They come in runs; each is in order and holds no event twice, several may hold the same.
        Reading stops when more than `limit` were found, each counted as often as it is held. What
        is here serves any backend; one that can read less than whole events does better.
        """
        everything = [replace(wanted, limit=None) for wanted in filters]
        found = await self.query(everything, limit + 1, now, visible)
        events = [entry.event for entry in found]
        return [b"".join(sorted(stamp(event.created_at, event.id) for event in events))]

    async def log(self, after: int, limit: int, now: int) -> list[Entry]:
        """Return entries numbered above `after` that are still here, in the order of numbers."""

    def follow(self, after: int) -> AsyncIterator[Sequence[Entry]]:
        """Yield batches of entries numbered above `after`, for ever; waits when there are none."""

    async def delete(self, ids: Sequence[str]) -> int:
        """Erase events by id; returns how many were here. They may come in again."""

    async def expire(self, now: int) -> int:
        """Erase what has expired by `now`; returns how many. Their bytes are gone on return."""

    async def flush(self) -> None:
        """Return when everything taken in so far is durable on backends that delay it."""

    async def close(self) -> None:
        """Release files and threads. Further calls raise StoreError."""
