"""How much a client may ask of a relay that does not know who it is. Pure: time and randomness are
passed in, and nothing here is ever written.

1. A connection has budgets for events, bytes and requests: so many a second, and a burst saved up.
   What goes beyond is refused with `rate-limited:`, nothing is closed.
2. An address has a budget, too, where the operator wants one: it is known by a keyed hash cut to
   8 bytes (an IPv6 address by its /64), in memory alone, under a salt that is thrown away every
   hour with all that was counted under it. Whoever comes through Tor or a proxy on this computer
   has no address here.
3. Under load, work (NIP-13) is asked of public events, the more the longer the load lasts. Sealed
   events, deletions and requests to vanish are spared: who needs them may not be able to wait.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b

from volok.relay.access import Refusal
from volok.relay.settings import RelaySettings
from volok.sync.messages import ClientMessage, Close, EventMessage, Prefix
from volok.sync.neg_messages import NegClose, NegMessage

Spend = Callable[[ClientMessage, int, float], Refusal | None]
"""See `Visit.spend`."""

SALT_SECONDS = 3600
"""After this long nobody can tell any more whether two addresses were the same."""

_MOST_NEIGHBOURS = 100_000
"""Addresses that are remembered; beyond that, those that are connected."""
_SALT_BYTES = 16
_HASH_BYTES = 8
_V6_NETWORK = 64
_RISE_BITS = 2
"""Bits by which the work rises with each look under load."""
_CALM_LOOKS = 10
"""Looks without load after which it falls by a bit."""
_CALM = 0.25
"""The part of the bearable delay below which there is no load."""


def unlimited(_message: ClientMessage, _size: int, _now: float) -> Refusal | None:
    """The budget of whoever has none."""
    return None


class Budget:
    """So many a second, and as many as `burst` at once after a pause. Levels may fall below zero by
    the size of one thing, so that a single large one is possible."""

    __slots__ = ("_at", "_burst", "_level", "_rate")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        """A `rate` of 0 is no limit. `now` is in seconds."""
        self._rate = rate
        self._burst = max(burst, 1.0)
        self._level = self._burst
        self._at = now

    @property
    def is_limit(self) -> bool:
        """Whether it can run out."""
        return self._rate > 0

    def spend(self, amount: float, now: float) -> bool:
        """Whether so much may be had; it is taken then."""
        if not self._rate:
            return True
        # A clock that is set back gives nothing.
        gained = max(now - self._at, 0.0) * self._rate
        self._level = min(self._level + gained, self._burst)
        self._at = now
        if self._level <= 0:
            return False
        self._level -= amount
        return True


@dataclass(slots=True)
class _Neighbour:
    """What is counted of one address under one salt."""

    events: Budget
    connections: int = 0


@dataclass(slots=True)
class Effort:
    """The difficulty that is asked for, steered by the time events wait."""

    most: int
    """Bits beyond which it never rises; 0 for none at all."""
    bearable: float
    """Seconds that events may wait for their turn."""
    difficulty: int = 0
    """Leading zero bits asked for at the moment."""
    _calm: int = 0

    def look(self, waiting: int, settled: int, seconds: float) -> None:
        """So many events wait now, and so many were settled in the last `seconds`."""
        delay = waiting * seconds / max(settled, 1)
        if delay > self.bearable:
            self.difficulty = min(self.difficulty + _RISE_BITS, self.most)
            self._calm = 0
        elif delay < self.bearable * _CALM:
            self._calm += 1
            if self._calm >= _CALM_LOOKS:
                self.difficulty = max(self.difficulty - 1, 0)
                self._calm = 0
        else:
            self._calm = 0


class Visit:
    """The budgets of one connection."""

    __slots__ = ("_bytes", "_events", "_neighbour", "_requests")

    def __init__(self, settings: RelaySettings, neighbour: _Neighbour | None, now: float) -> None:
        """Use `Admission.arrive`."""
        self._events = Budget(settings.events_per_second, settings.events_burst, now)
        self._bytes = Budget(settings.bytes_per_second, settings.bytes_burst, now)
        self._requests = Budget(settings.requests_per_second, settings.requests_burst, now)
        self._neighbour = neighbour

    def spend(self, message: ClientMessage, size: int, now: float) -> Refusal | None:
        """Take what a message of `size` bytes costs; why it is too much, if it is. What ends
        something costs bytes alone and is never refused. `now` is in seconds."""
        enough = self._bytes.spend(size, now)
        match message:
            case Close() | NegClose() | NegMessage():
                return None
            case EventMessage():
                if not enough:
                    return Refusal(Prefix.RATE_LIMITED, "too many bytes, wait a little")
                near = self._neighbour
                if near is not None and not near.events.spend(1, now):
                    return Refusal(Prefix.RATE_LIMITED, "too many events from there, wait a little")
                if not self._events.spend(1, now):
                    return Refusal(Prefix.RATE_LIMITED, "too many events, wait a little")
            case _:
                if not (enough and self._requests.spend(1, now)):
                    return Refusal(Prefix.RATE_LIMITED, "too many requests, wait a little")
        return None

    @property
    def is_limited(self) -> bool:
        """Whether there is any budget at all."""
        budgets = (self._events, self._bytes, self._requests)
        return self._neighbour is not None or any(one.is_limit for one in budgets)

    def leave(self) -> None:
        """The connection is gone. Call once."""
        if self._neighbour is not None:
            self._neighbour.connections -= 1


@dataclass(slots=True)
class Admission:
    """The budgets of one relay."""

    settings: RelaySettings
    random: Callable[[int], bytes]
    """Gives so many secret bytes."""
    effort: Effort = field(init=False)
    """The work that is asked for."""
    _salt: bytes = field(init=False, default=b"")
    _salt_at: float = field(init=False, default=0.0)
    _neighbours: dict[bytes, _Neighbour] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Begin without load."""
        self.effort = Effort(self.settings.max_pow_difficulty, self.settings.bearable_seconds)

    def arrive(self, address: str, now: float) -> Visit | None:
        """A client connects; None when there are too many of its address.

        `address` is an IP address; anything else, and one of this computer, is nobody's. `now` is
        in seconds.
        """
        settings = self.settings
        limited = settings.address_connections or settings.address_events_per_second
        name = network_of(address) if limited else None
        if name is None:
            return Visit(settings, None, now)
        near = self._neighbour(name, now)
        if settings.address_connections and near.connections >= settings.address_connections:
            return None
        near.connections += 1
        return Visit(settings, near, now)

    def _neighbour(self, name: bytes, now: float) -> _Neighbour:
        if not self._salt or not 0 <= now - self._salt_at < SALT_SECONDS:
            self._salt, self._salt_at = self.random(_SALT_BYTES), now
            self._neighbours = {}
        key = blake2b(name, digest_size=_HASH_BYTES, key=self._salt).digest()
        near = self._neighbours.get(key)
        if near is None:
            settings = self.settings
            if len(self._neighbours) >= _MOST_NEIGHBOURS:
                here = self._neighbours.items()
                self._neighbours = {name: one for name, one in here if one.connections}
            events = Budget(settings.address_events_per_second, settings.events_burst, now)
            near = self._neighbours[key] = _Neighbour(events)
        return near


def network_of(address: str) -> bytes | None:
    """The bytes of an IPv4 address, or of the /64 of an IPv6 one; None for a loopback address and
    for what is no address."""
    try:
        found = ipaddress.ip_address(address.strip().strip("[]"))
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    found = mapped or found
    if found.is_loopback:
        return None
    return found.packed if found.version == 4 else found.packed[: _V6_NETWORK // 8]


def forwarded_address(header: str) -> str:
    """The last address of an X-Forwarded-For header: the one that our own proxy has seen."""
    return header.rpartition(",")[2].strip()
