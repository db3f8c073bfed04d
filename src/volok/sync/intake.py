"""Taking events in: duplicates dropped, signatures verified off the event loop, stored durably."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from volok.model.crypto import Verifier
from volok.model.event import Event, verify_event
from volok.store.store import Outcome, Store


class Intake:
    """What all connections hand their events to. `seen` bounds the ids remembered."""

    def __init__(
        self, store: Store, verifier: Verifier, now: Callable[[], float], seen: int
    ) -> None:
        self._store = store
        self._verifier = verifier
        self._now = now
        self._limit = seen
        self._seen: dict[str, None] = {}
        self.received = 0
        """Events that were new here."""

    async def take(self, events: Sequence[Event]) -> int:
        """Take events in; durable on return. Returns how many were forged.

        An id counts as known only once its event is stored, so that a copy with a wrong signature
        never hides the true one. Raises StoreError; then none of them was taken in.
        """
        fresh = [event for event in events if event.id not in self._seen]
        if not fresh:
            return 0
        verified = await asyncio.to_thread(self._verify, fresh)
        genuine = list({event.id: event for event in verified}.values())
        if genuine:
            outcomes = await self._store.add(genuine, int(self._now()))
            self.received += outcomes.count(Outcome.ADDED)
            self._remember(genuine)
        return len(fresh) - len(verified)

    def _verify(self, events: Sequence[Event]) -> list[Event]:
        return [event for event in events if verify_event(event, self._verifier)]

    def _remember(self, events: Sequence[Event]) -> None:
        for event in events:
            self._seen[event.id] = None
        while len(self._seen) > self._limit:
            del self._seen[next(iter(self._seen))]
