"""What a store is: a numbered log of signed events, and the rules by which events leave it.

1. `add` answers only after the events are durable.
2. What is taken in gets the next number; numbers only grow and are never reused. A subscriber that
   has seen number n continues with `log(after=n)`; within one process, across worker processes and
   across a cluster alike.
3. Replaceable, deleted (NIP-09), expired (NIP-40) and vanished events are settled by
   `volok.model.supersession`, the same way by every backend. What has left the store is gone from
   its files as well.
4. A store does not check signatures: whoever feeds it does.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from volok.model.event import Event
from volok.model.filters import Filter


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
    """Its author, or its addressee for kind 1059, has deleted it (NIP-09)."""
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Entry:
    """One event as the store holds it."""

    number: int
    raw: bytes
    """The event as canonical JSON, ready to be sent without re-encoding."""
    event: Event


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

    async def query(self, filters: Sequence[Filter], limit: int, now: int) -> list[Entry]:
        """Return the events that match any of the filters: newest first (NIP-01 order: created_at
        descending, then id ascending), each filter's own `limit` honoured, at most `limit` in all.
        """

    async def count(self, filters: Sequence[Filter], now: int) -> int:
        """Return how many stored events match any of the filters."""

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
