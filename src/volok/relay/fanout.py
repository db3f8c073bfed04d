"""Live events: one tail of the store's log, distributed to every subscription that matches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from volok.model.supersession import is_expired
from volok.relay.index import SubscriptionIndex
from volok.store.store import Entry, Store, StoreError

_RETRY_SECONDS = 1.0
_AT_ONCE = 200
"""Deliveries after which others get their turn: sockets are to be read meanwhile."""

Frames = dict[str, bytes]
"""The frames of one entry by what they begin with: the same for all who named their subscription
the same, so that each is made once."""


class Listener(Protocol):
    """A connection that wants to hear of new entries."""

    def entry_appeared(self, subscriptions: Sequence[str], entry: Entry, frames: Frames) -> None:
        """These subscriptions match. `frames` is shared by all listeners of this entry; returns at
        once and never raises."""


class Fanout:
    """The live subscriptions of one process and the task that feeds them."""

    def __init__(self, store: Store, now: Callable[[], int]) -> None:
        """`now` gives Unix seconds."""
        self.index: SubscriptionIndex[Listener] = SubscriptionIndex()
        self._store = store
        self._now = now
        self._position = store.head

    async def run(self) -> None:
        """Distribute new entries until cancelled."""
        while True:
            try:
                await self._tail()
            except StoreError:
                # The log is all there when the store can be read again.
                await asyncio.sleep(_RETRY_SECONDS)

    async def _tail(self) -> None:
        delivered = 0
        async for batch in self._store.follow(self._position):
            self._position = max((self._position, *(entry.number for entry in batch)))
            for entry in batch if len(self.index) else ():
                found = self.index.matching(entry.event)
                if not found or is_expired(entry.event, self._now()):
                    continue
                frames: Frames = {}
                for listener, subscriptions in found.items():
                    listener.entry_appeared(subscriptions, entry, frames)
                delivered += len(found)
                if delivered >= _AT_ONCE:
                    delivered = 0
                    await asyncio.sleep(0)
