"""What a relay has given us already, and finding out what it has besides (NIP-77). Pure.

1. A relay is told only of what it gave us itself: what came another way is no business of it.
2. Only what is stored counts. It is remembered while the program runs, no longer; after a start,
   inboxes are read as from any relay.
"""

from __future__ import annotations

from collections.abc import Iterable

from volok.model.event import Event
from volok.model.filters import Filter
from volok.store.store import stamp
from volok.sync.messages import Req
from volok.sync.neg_messages import NegClose, NegMessage, NegOpen
from volok.sync.negentropy import Initiator
from volok.sync.negentropy_records import Records

_FRAME = 32_000
"""Bytes of a frame of ours at most; small relays take messages of 64 KiB."""
_ROUNDS = 50
_IDS = 200
"""Ids in one request."""


class Held:
    """What one relay gave us for our inboxes; `most` bounds how much is remembered."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._given: dict[tuple[str, bytes], None] = {}
        self.reconciles: bool | None = None
        """Whether the relay offers reconciliation; False, too, once that has failed."""

    def add(self, events: Iterable[Event]) -> None:
        """These were given to us and are stored."""
        for event in events:
            for inbox in event.values("p"):
                self._given[inbox, stamp(event.created_at, event.id)] = None
        while len(self._given) > self._most:
            del self._given[next(iter(self._given))]

    def stamps(self, inboxes: Iterable[str], since: int) -> set[bytes]:
        """What was given to us for these inboxes and is dated from `since` on (Unix seconds)."""
        wanted, first = set(inboxes), since.to_bytes(8, "big")
        return {one for inbox, one in self._given if inbox in wanted and one >= first}


class Reconciliation:
    """Finds what a relay has that matches `wanted` and is not among `stamps`, and asks for it.

    `name` is that of the reconciliation, `page` that of the requests for events.
    """

    def __init__(self, name: str, page: str, wanted: Filter, stamps: Iterable[bytes]) -> None:
        self._name = name
        self._page = page
        self._wanted = wanted
        self._initiator = Initiator(Records.of(stamps), _FRAME)
        self._need: dict[str, None] = {}
        self._rounds = 0

    def open(self) -> str:
        """The first message."""
        return NegOpen(self._name, self._wanted, self._initiator.start()).to_text()

    def answered(self, frame: bytes) -> str | None:
        """What to send on this answer; None when all is known that is to be fetched.

        Raises InvalidFrame. A relay that finds no end is believed for some rounds.
        """
        step = self._initiator.take(frame)
        self._need.update((one.hex(), None) for one in step.need)
        self._rounds += 1
        if step.reply is None or self._rounds >= _ROUNDS:
            return None
        return NegMessage(self._name, step.reply).to_text()

    def close(self) -> str:
        """The message that ends it."""
        return NegClose(self._name).to_text()

    def next_request(self) -> tuple[Filter, str] | None:
        """The filter of the next request, and what to send for it; None when all was asked for."""
        ids = list(self._need)[:_IDS]
        if not ids:
            return None
        for one in ids:
            del self._need[one]
        wanted = Filter(
            ids=frozenset(ids),
            kinds=self._wanted.kinds,
            limit=len(ids),
            tags=self._wanted.tags,
        )
        return wanted, Req(self._page, (wanted,)).to_text()
