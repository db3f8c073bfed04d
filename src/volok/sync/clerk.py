"""The delivery log beside one connection: marks are written, what waits is fetched and offered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from volok.model.event import Event
from volok.model.filters import Filter
from volok.store.deliveries import Delivery, ItemKind, Mark, MarkState
from volok.sync.dialogue import Offered, Outbound
from volok.sync.messages import EventMessage
from volok.sync.surroundings import Surroundings


class Clerk:
    """Hands what waits for one relay to `offer`, and its marks to the log. `note` is called when
    `idle` may have changed; `most` is how many events may be offered at once."""

    def __init__(
        self,
        url: str,
        around: Surroundings,
        offer: Callable[[Offered], None],
        note: Callable[[], None],
        most: int | None = None,
    ) -> None:
        self._url = url
        self._around = around
        self._offer = offer
        self._note = note
        self._most = most or 2 * around.settings.window
        self._marks: list[Mark] = []
        self._offered: set[str] = set()
        self._wake = asyncio.Event()
        self._wake.set()
        self._looked = False
        self.published = 0
        """Events that the relay took."""

    @property
    def idle(self) -> bool:
        """Whether nothing waits: neither to be published nor to be marked."""
        return self._looked and not self._wake.is_set() and not self._offered

    def look(self) -> None:
        """Something may wait."""
        self._wake.set()

    def record(self, marks: Sequence[Mark]) -> None:
        """These marks are to be written."""
        self._marks += marks
        self.published += sum(mark.state is MarkState.TAKEN for mark in marks)
        self._wake.set()

    async def run(self) -> None:
        """Work until cancelled. Raises StoreError, VaultError."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            self._looked = False
            await self.write()
            await self._refill()
            self._looked = True
            self._note()

    async def write(self) -> None:
        """Write the marks that are to be written; durable on return."""
        if self._marks:
            marks, self._marks = self._marks, []
            await self._around.deliveries.mark(marks)
            self._offered -= {mark.item for mark in marks}

    async def _refill(self) -> None:
        room = self._most - len(self._offered)
        if room <= 0:
            return
        # What was offered waits in the log until it is marked.
        waiting = await self._around.deliveries.pending(
            self._url, room + len(self._offered), ItemKind.EVENT
        )
        fresh = [one for one in waiting if one.item not in self._offered][:room]
        self._offered |= {one.item for one in fresh}
        found = await self._events(fresh)
        offered = [_outbound(one, found[one.item]) for one in fresh if one.item in found]
        if offered:
            self._offer(Offered(tuple(offered)))
        lost = [one.item for one in fresh if one.item not in found]
        if lost:
            refused = MarkState.REFUSED
            self.record([Mark(item, self._url, refused, "missing") for item in lost])

    async def _events(self, waiting: Sequence[Delivery]) -> dict[str, Event]:
        if not waiting:
            return {}
        wanted = Filter(ids=frozenset(one.item for one in waiting))
        now = int(self._around.now())
        entries = await self._around.store.query([wanted], len(waiting), now)
        return {entry.event.id: entry.event for entry in entries}


def _outbound(delivery: Delivery, event: Event) -> Outbound:
    text = EventMessage(event).to_text()
    return Outbound(delivery.number, delivery.item, len(event.content), text)
