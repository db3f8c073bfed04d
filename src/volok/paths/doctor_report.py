"""What the doctor says: how far it is, its findings, how each place can be reached. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """What was found; the values are those of `volok doctor --json`."""

    NOTHING_TO_ASK = "nothing-to-ask"
    OFFLINE = "offline"
    ISLAND = "island"
    SHUTDOWN = "shutdown"
    WHITELIST = "whitelist"
    DNS_POISON = "dns-poison"
    SNI_RST = "sni-rst"
    CURTAIN = "curtain"
    THROTTLE = "throttle"
    IP_BLOCK = "ip-block"
    GONE = "gone"
    PORTAL = "portal"
    STRANGER = "stranger"
    CLOCK = "clock"
    QUIC_BLOCK = "quic-block"
    PROTOCOL_FILTER = "protocol-filter"
    RANDOM_BLOCK = "random-block"
    PARALLEL_BAN = "parallel-ban"
    DROP_FAILS = "drop-fails"
    NOT_BLOCKED = "not-blocked"
    UNCLEAR = "unclear"
    """Something is wrong, and nothing above explains it, or the time did not suffice."""


CUT_OFF = frozenset({Kind.OFFLINE, Kind.ISLAND, Kind.SHUTDOWN, Kind.WHITELIST})
"""Findings about the whole network, after which nothing is said about single places."""


class How(Enum):
    """In which way."""

    RESET = "reset"
    SILENT = "silent"
    LATE = "late"
    """A few packets pass first."""
    FORGED = "forged"
    DENIED = "denied"
    NAMES = "names"
    """By names, not by addresses."""
    REFUSED = "refused"
    MUTE = "mute"
    """The connection opens, and nobody speaks."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found."""

    kind: Kind
    sure: bool = True
    how: How | None = None
    places: tuple[str, ...] = ()
    """Ids of the places that show it, none for what concerns them all."""
    bytes: int = 0
    """Of `curtain`: what a connection carries at most, both ways together."""
    packets: int = 0
    """The same in packets; 0: not known."""
    rate: float = 0.0
    """Of `throttle`: bytes a second."""


class Way(Enum):
    """A way that is open to a place; the values are those of `volok doctor --json`."""

    PLAIN = "plain"
    """As the program connects by itself."""
    CUT = "cut"
    NAMELESS = "nameless"
    OTHER = "other"
    KNOWN_ADDRESS = "known-address"
    """By an address that was known before, since its name leads elsewhere."""
    PATH = "path"
    """By a path that the person added."""
    FILES = "files"
    """A drop takes and gives files."""


@dataclass(frozen=True, slots=True)
class PlaceState:
    """How one place can be reached."""

    id: str
    is_relay: bool
    ways: tuple[Way, ...]
    """What leads there; empty: nothing, or it was not tried."""
    paths: tuple[str, ...]
    """The added paths among them, by name."""
    short: bool
    """Whether connections there end early, so that many are needed."""
    problem: str
    """Of a drop that does not work: the sentence that says why."""

    @property
    def open(self) -> bool:
        """Whether anything leads there."""
        return bool(self.ways)


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What it all means."""

    findings: tuple[Finding, ...]
    """The weightiest first; never empty."""
    places: tuple[PlaceState, ...]
    not_tried: tuple[Kind, ...]
    """What was not looked for, or could not be told."""

    @property
    def open(self) -> bool:
        """Whether messages can leave here in any way."""
        return any(place.open for place in self.places)

    def found(self, kind: Kind) -> Finding | None:
        """The finding of this kind."""
        return next((one for one in self.findings if one.kind is kind), None)


class Step(Enum):
    """What the doctor is at."""

    NAMES = "names"
    PLACES = "places"
    SIDES = "sides"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is."""

    step: Step
    done: int
    of: int


@dataclass(frozen=True, slots=True)
class Examination:
    """What the doctor came to."""

    diagnosis: Diagnosis
    names: Mapping[str, str]
    """What the person knows each place by, by its id."""
