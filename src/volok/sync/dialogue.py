"""What passes between the protocol core of a client and whoever does its I/O. Pure.

Inputs are named in the past tense, outputs in the imperative. Outputs are carried out in order:
an `Ingest` must be durable before a `CaughtUp` behind it is recorded.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from volok.model.event import Event
from volok.store.deliveries import Mark, RelayFacts


@dataclass(frozen=True, slots=True)
class Moment:
    """When something happened."""

    timer: float
    """Seconds of a clock that never jumps; what waits and time-outs are measured by."""
    unix: int
    """Unix seconds as this computer has them; what others see."""


@dataclass(frozen=True, slots=True)
class InboxKey:
    """An inbox of ours: its public key in hexadecimal and its secret key (32 bytes)."""

    public: str
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Inbox:
    """An inbox and the Unix time up to which it was read in full from this relay (0: never)."""

    key: InboxKey
    cursor: int


@dataclass(frozen=True, slots=True)
class Outbound:
    """An event that waits to be published."""

    number: int
    """Its place in the delivery log."""
    item: str
    """Its id."""
    content: int
    """Characters of its content."""
    text: str = field(repr=False)
    """The frame to send."""


@dataclass(frozen=True, slots=True)
class Connected:
    """The websocket is open."""


@dataclass(frozen=True, slots=True)
class Received:
    """A text frame came."""

    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Lost:
    """The websocket is gone; `too_big`: because the relay found a frame too large."""

    too_big: bool = False


@dataclass(frozen=True, slots=True)
class Ingested:
    """Events were looked at; so many of them carried a wrong id or signature."""

    forged: int


@dataclass(frozen=True, slots=True)
class InboxesSet:
    """These are our inboxes on this relay now."""

    inboxes: tuple[Inbox, ...]


@dataclass(frozen=True, slots=True)
class Offered:
    """These events wait for this relay."""

    items: tuple[Outbound, ...]


@dataclass(frozen=True, slots=True)
class Described:
    """The relay was asked for its NIP-11 document; what it does not say stays unknown."""

    max_content: int | None = None
    subscriptions: int | None = None
    ahead: int = 0
    """Seconds that the relay's clock is ahead of ours."""
    reconciles: bool = False
    """Whether it offers reconciliation (NIP-77)."""


@dataclass(frozen=True, slots=True)
class CatchUpWanted:
    """A person asked to look again for what the relay holds."""


@dataclass(frozen=True, slots=True)
class TimeCame:
    """The time of `Client.wakes_at` has come."""


Input = (
    Connected
    | Received
    | Lost
    | Ingested
    | InboxesSet
    | Offered
    | Described
    | CatchUpWanted
    | TimeCame
)


@dataclass(frozen=True, slots=True)
class Send:
    """Send this text frame."""

    text: str


@dataclass(frozen=True, slots=True)
class Ingest:
    """Verify and store these events: their shape, kind and addressee are right."""

    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """Record that these inboxes (public keys) were read in full up to this Unix time."""

    inboxes: tuple[str, ...]
    until: int


@dataclass(frozen=True, slots=True)
class Record:
    """Write these marks into the delivery log."""

    marks: tuple[Mark, ...]


@dataclass(frozen=True, slots=True)
class SetFacts:
    """Remember what was learned of this relay."""

    facts: RelayFacts


@dataclass(frozen=True, slots=True)
class Disconnect:
    """Close the connection and come back: after `pause` seconds, or (None) as back-off says."""

    pause: float | None = None


Output = Send | Ingest | CaughtUp | Record | SetFacts | Disconnect
