"""What the protocol core asks of the outside, and what may come of it. Plain values.

Those that are made for each event are named tuples, which are made in half the time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from volok.model.event import Event
from volok.model.filters import Filter
from volok.store.store import Entry
from volok.sync.neg_messages import NegClose, NegMessage, NegOpen


class SendText(NamedTuple):
    """Send this text frame."""

    text: str


@dataclass(frozen=True, slots=True)
class SendEntry:
    """Send this stored event as the frame that begins with `head`."""

    head: str
    entry: Entry


@dataclass(frozen=True, slots=True)
class SendEntries:
    """Send these stored events, in this order, each as a frame that begins with `head`."""

    head: str
    entries: Sequence[Entry]


class TakeIn(NamedTuple):
    """Check id and signature, store; then `event_settled`."""

    event: Event


@dataclass(frozen=True, slots=True)
class CheckAuth:
    """Check an answer to our challenge; then `auth_checked`."""

    event: Event
    challenge: str


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Report new entries that match any of the filters to `entry_appeared`; replaces."""

    subscription: str
    filters: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """End that."""

    subscription: str


@dataclass(frozen=True, slots=True)
class Query:
    """Fetch at most `limit` stored entries that the reader may see; then `query_answered`."""

    subscription: str
    generation: int
    filters: tuple[Filter, ...]
    limit: int


@dataclass(frozen=True, slots=True)
class Tally:
    """Count stored entries; then `tallied`."""

    subscription: str
    filters: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Reconcile:
    """Hand this to the reconciliations of this connection (NIP-77); they answer by themselves."""

    message: NegOpen | NegMessage | NegClose
    filters: tuple[Filter, ...] = ()
    """For NegOpen: what of its filter the reader may have."""


Output = (
    SendText
    | SendEntry
    | SendEntries
    | TakeIn
    | CheckAuth
    | Subscribe
    | Unsubscribe
    | Query
    | Tally
    | Reconcile
)


class Rejection(Enum):
    """Why an event did not come as far as the store's rules."""

    FORGED = "forged"
    """The id is not its hash, or the signature is not its author's."""
    FAILED = "failed"
    """The store could not be written."""
