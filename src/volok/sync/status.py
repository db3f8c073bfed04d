"""How things stand with the relays, for people to see. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from volok.store.deliveries import RelayFacts


class RelayState(Enum):
    """Where the connection to a relay stands."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    WAITING = "waiting"
    """The last attempt failed; the next one comes by itself."""
    REFUSED = "refused"
    """Connected, but the relay does not do what we need."""


@dataclass(frozen=True, slots=True)
class RelayStatus:
    """How things stand with one relay."""

    url: str
    state: RelayState
    since: float
    """Unix seconds at which this state began."""
    problem: str
    """What stands in the way, in a sentence for the person; "" for nothing."""
    facts: RelayFacts
    in_step: bool
    """Whether all that the relay holds for us is here and all that waits for it is there."""


@dataclass(frozen=True, slots=True)
class RelayProblem:
    """Why a round did not finish with one relay."""

    url: str
    problem: str


@dataclass(frozen=True, slots=True)
class RoundReport:
    """What one full round in both directions did."""

    received: int
    """Events that were new here."""
    published: int
    """Events and blobs that a relay took."""
    problems: tuple[RelayProblem, ...]
    """Empty when the round finished with every relay."""


_WORST_FIRST = (
    RelayState.REFUSED,
    RelayState.WAITING,
    RelayState.CONNECTING,
    RelayState.CONNECTED,
)


def merge(parts: Sequence[RelayStatus]) -> RelayStatus:
    """One status for several connections to the same relay: the worst of them."""
    worst = min(parts, key=lambda part: _WORST_FIRST.index(part.state))
    return RelayStatus(
        worst.url,
        worst.state,
        worst.since,
        worst.problem or next((part.problem for part in parts if part.problem), ""),
        worst.facts,
        all(part.in_step for part in parts),
    )
