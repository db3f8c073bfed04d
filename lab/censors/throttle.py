"""`throttle`: connections to listed names are slowed down by dropping what exceeds a rate.

1. Only connections opened from inside are watched. The first packets with payload are looked at one
   by one, of both directions, nothing is put together. A packet that is neither TLS nor small ends
   the watch: the rest of that connection goes free.
2. A ClientHello with a listed name, or a name below one, makes the connection slow for good: a
   token bucket for each direction, packets that find it empty are dropped. FIN and RST change
   nothing; only a long silence or a new SYN does.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from lab.censor import DROP, PASS, Base, Censor, Ground, Parameters, Verdict
from lab.censors.dns_poison import is_listed
from lab.packets import TCP, Flow, Packet, Way
from lab.tls import Hello, HelloReader


@dataclass(frozen=True, slots=True)
class Settings:
    """The rate, and what triggers it."""

    kilobits_per_second: float
    """The rate of each direction, in 1,000 bits of IPv4 packets a second."""
    burst_bytes: int
    """What may pass at once after a pause."""
    packets_watched: int
    """Packets with payload that are looked at, both directions together."""
    unknown_bytes: int
    """A packet that is no ClientHello and longer than this ends the watch."""
    idle_seconds: float
    """The silence after which a connection is forgotten."""


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled: float
    """When it was filled last."""

    def take(self, size: int, settings: Settings, now: float) -> bool:
        """Whether `size` bytes may pass."""
        rate = settings.kilobits_per_second * 1000 / 8
        self.tokens = min(settings.burst_bytes, self.tokens + (now - self.filled) * rate)
        self.filled = now
        if size > self.tokens:
            return False
        self.tokens -= size
        return True


@dataclass(slots=True)
class _Connection:
    last: float
    watched: int
    """Packets that are still to be looked at."""
    buckets: dict[Way, _Bucket] | None = None


class Throttle(Base):
    """See the module."""

    def __init__(self, settings: Settings, ground: Ground) -> None:
        """`ground.listed_names` are the names that are slowed down."""
        self._settings = settings
        self._listed = ground.listed_names
        self._connections: dict[Flow, _Connection] = {}

    def see(self, packet: Packet, now: float) -> Verdict:
        """Drop what exceeds the rate of a slowed connection."""
        if packet.proto != TCP or packet.way is Way.LOCAL:
            return PASS
        flow = packet.flow
        connection = self._connections.get(flow)
        if packet.syn:
            self._connections.pop(flow, None)
            if packet.way is Way.OUT:
                self._connections[flow] = _Connection(now, self._settings.packets_watched)
            return PASS
        if connection is None:
            return PASS
        if now - connection.last > self._settings.idle_seconds:
            del self._connections[flow]
            return PASS
        connection.last = now
        if connection.buckets is None:
            self._look(connection, packet, now)
        if connection.buckets is None:
            return PASS
        passes = connection.buckets[packet.way].take(len(packet.raw), self._settings, now)
        return PASS if passes else DROP

    def _look(self, connection: _Connection, packet: Packet, now: float) -> None:
        if not packet.payload or not connection.watched:
            return
        connection.watched -= 1
        reader = HelloReader(reassemble_tcp=False, reassemble_records=False)
        reader.add(packet.payload)
        if not isinstance(reader.result, Hello):
            if len(packet.payload) > self._settings.unknown_bytes:
                connection.watched = 0
        elif is_listed(reader.result.name, self._listed):
            burst = self._settings.burst_bytes
            connection.buckets = {way: _Bucket(burst, now) for way in (Way.OUT, Way.IN)}


def make(parameters: Parameters, ground: Ground, rng: Random) -> Censor:
    """A throttle with a drawn rate."""
    return Throttle(
        Settings(
            kilobits_per_second=float(parameters["kilobits_per_second"]),
            burst_bytes=int(parameters["burst_bytes"]),
            packets_watched=int(parameters["packets_watched"]),
            unknown_bytes=int(parameters["unknown_bytes"]),
            idle_seconds=float(parameters["idle_seconds"]),
        ),
        ground,
    )
