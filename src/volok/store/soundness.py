"""What is found when a store is looked at: how much it holds, and what is wrong with it.

Nothing here names anybody: problems are told by number and by what is wrong, never by content.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from volok.model.event import Event, event_id
from volok.model.supersession import GIFT_WRAP, Lifetime, lifetime

GRACE = 60
"""Seconds within which what has expired must have left."""

_MOST_TOLD = 100


@dataclass(slots=True)
class Verified:
    """What `verify` found."""

    events: int = 0
    """Stored events that were looked at."""
    searched: int = 0
    """Those of them whose words are in the index of words."""
    problems: Counter[str] = field(default_factory=Counter)
    """How many times each kind of problem was found; empty when all is well."""
    told: list[str] = field(default_factory=list)
    """The first problems, each with the number of its entry."""

    def add(self, problem: str, number: int | None = None) -> None:
        """Count a problem."""
        self.problems[problem] += 1
        if len(self.told) < _MOST_TOLD:
            self.told.append(problem if number is None else f"{problem} (entry {number})")


@dataclass(frozen=True, slots=True)
class Stats:
    """How much a store holds."""

    events: int
    regular: int
    replaceable: int
    addressable: int
    sealed: int
    """Gift wraps (NIP-59); they are among the regular ones."""
    expiring: int
    """Events with an expiration (NIP-40)."""
    deletions: int
    """Ids of which a deletion is remembered (NIP-09)."""
    vanished: int
    """Keys that asked to vanish (NIP-62)."""
    oldest: int | None
    """The lowest created_at, in Unix seconds; None when there are no events."""
    newest: int | None
    """The highest created_at."""
    bytes_on_disk: int
    """Of the file and its log, or of the tables with their indexes."""
    free_bytes: int | None
    """Of the file, that hold nothing; `compact` gives them back. None for a database, which uses
    them again by itself."""
    unsearched: int
    """Numbers that were given out since words were last taken into the index."""


def of_kinds(kinds: Mapping[int, int]) -> dict[str, int]:
    """What `Stats` says of the events by their kinds; given is how many there are of each."""
    of_life: Counter[Lifetime] = Counter()
    for kind, many in kinds.items():
        of_life[lifetime(kind)] += many
    return {
        "events": sum(kinds.values()),
        "regular": of_life[Lifetime.REGULAR],
        "replaceable": of_life[Lifetime.REPLACEABLE],
        "addressable": of_life[Lifetime.ADDRESSABLE],
        "sealed": kinds.get(GIFT_WRAP, 0),
    }


def is_true(event: Event, raw: bytes) -> bool:
    """Whether an event's id is its hash (NIP-01), and `raw` the canonical JSON of it."""
    parts = (event.pubkey, event.created_at, event.kind, event.tags, event.content)
    bare = Event(event.id, *parts, event.sig)  # without the JSON that it was read from
    return event.id == event_id(*parts) and bare.to_json() == raw
