"""The delivery log: what is to be taken to which relay, and what became of it.

Chat writes what shall go where and watches the marks; sync reads what waits and writes the marks.
Neither imports the other. Rows live in the vault, beside the outbox that they serve.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol


class ItemKind(Enum):
    """What is to be taken somewhere."""

    EVENT = "event"
    BLOB = "blob"


class MarkState(Enum):
    """What became of one item at one relay."""

    QUEUED = "queued"
    TAKEN = "taken"
    """The relay answered OK true (NIP-01), or has the blob (BUD-02)."""
    REFUSED = "refused"
    """The relay will not have it; trying again is of no use. `reason` is its machine-readable
    prefix (NIP-01) or one of `too-large`, `no-blossom`, `missing` (not in our store any more)."""
    ARRIVED = "arrived"
    """A blob that we wanted is here; the mark has no relay."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One item that waits for one relay. `item` is an event id or a blob hash, hexadecimal."""

    number: int
    item: str
    kind: ItemKind
    relay: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A change of state, numbered when it is read back. `reason` never holds an identifier."""

    item: str
    relay: str
    state: MarkState
    reason: str = ""
    number: int = 0


@dataclass(frozen=True, slots=True)
class WantedBlob:
    """A blob that somebody announced to us and that we want, with the relays that may have it."""

    name: str
    size: int
    relays: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RelayFacts:
    """What we learned of a relay (NIP-11 and experience). None: not known."""

    url: str
    max_content: int | None = None
    """The longest `content` it takes, in characters."""
    blossom: bool | None = None
    """Whether it takes blobs (BUD-02)."""
    guards_inboxes: bool | None = None
    """Whether it serves kind 1059 only to its addressee; False deserves a warning."""
    keys_per_connection: int | None = None
    """1 where each AUTH replaces the one before."""


class Deliveries(Protocol):
    """The delivery log of one node."""

    async def pending(self, relay: str, limit: int, kind: ItemKind | None = None) -> list[Delivery]:
        """What waits for this relay, oldest first; of one kind, or (None) of any.

        By kind, because blobs take long and must not hide the events queued behind them.
        """

    async def relays(self) -> list[str]:
        """The relays that something waits for."""

    async def mark(self, marks: Sequence[Mark]) -> None:
        """Record what became of items; durable on return. Unknown pairs are ignored."""

    async def marks(self, after: int, limit: int) -> list[Mark]:
        """Marks with numbers above `after`, in order (never QUEUED)."""

    async def wanted(self) -> list[WantedBlob]:
        """Blobs that we want and do not have."""

    async def missing(self, name: str, relay: str) -> None:
        """Record that this relay has no such blob; it is asked again after a day."""

    async def arrived(self, name: str) -> None:
        """Record that a wanted blob is in the blob store now."""

    async def cursor(self, relay: str, inbox: str) -> int:
        """Unix seconds up to which this inbox was read in full from this relay; 0 for never."""

    async def set_cursor(self, relay: str, inbox: str, until: int) -> None:
        """Move that forward."""

    async def facts(self, relay: str) -> RelayFacts:
        """What is known of a relay."""

    async def set_facts(self, facts: RelayFacts) -> None:
        """Remember what was learned; None fields leave what was known."""

    async def changed(self) -> None:
        """Return when something was queued or wanted since the last call (or at once if so)."""
