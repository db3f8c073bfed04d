"""What somebody at the border who only looks on could write down.

1. The observer is fed every packet that the wire carries, before the censor's verdict: what is
   dropped was seen all the same.
2. Bytes and packets count when they cross the border; whole IPv4 packets, both ways apart.
3. Names come from ClientHellos and from questions to port 53. Questions to the domestic resolver
   do not cross the border, but whoever runs the border can read that resolver's log.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from lab.dns import parse_query
from lab.packets import Packet, Way
from lab.tls import Hello

DNS_PORT = 53
UDP = 17


@dataclass(frozen=True, slots=True)
class Observation:
    """All that was seen so far."""

    addresses: frozenset[str] = frozenset()
    """Foreign addresses that somebody inside exchanged packets with."""
    names: frozenset[str] = frozenset()
    """Names in ClientHellos and in DNS questions."""
    fingerprints: frozenset[str] = frozenset()
    """Of the ClientHellos."""
    bytes_out: int = 0
    """Bytes of IPv4 packets that left the country, headers included."""
    bytes_in: int = 0
    """Bytes of IPv4 packets that came in."""
    packets: int = 0
    """Packets that crossed the border, both ways."""

    def to_json(self) -> dict[str, Any]:
        """As a JSON object; sets become sorted lists."""
        return {
            name: sorted(value) if isinstance(value, frozenset) else value
            for name, value in asdict(self).items()
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Observation:
        """The reverse of `to_json`. Raises KeyError, TypeError and ValueError for anything else."""
        return cls(
            addresses=frozenset(map(str, value["addresses"])),
            names=frozenset(map(str, value["names"])),
            fingerprints=frozenset(map(str, value["fingerprints"])),
            bytes_out=int(value["bytes_out"]),
            bytes_in=int(value["bytes_in"]),
            packets=int(value["packets"]),
        )

    def since(self, before: Observation) -> Observation:
        """What has come to it after `before`, which was seen earlier by the same observer.

        The sets keep what was seen before and again since: only the counts are subtracted.
        """
        return Observation(
            addresses=self.addresses,
            names=self.names,
            fingerprints=self.fingerprints,
            bytes_out=self.bytes_out - before.bytes_out,
            bytes_in=self.bytes_in - before.bytes_in,
            packets=self.packets - before.packets,
        )


@dataclass(slots=True)
class Observer:
    """Writes down what passes. Not thread-safe."""

    ignored: frozenset[str] = frozenset()
    """Addresses inside whose packets do not count: the censor's own host."""
    _addresses: set[str] = field(default_factory=set)
    _names: set[str] = field(default_factory=set)
    _fingerprints: set[str] = field(default_factory=set)
    _bytes_out: int = 0
    _bytes_in: int = 0
    _packets: int = 0

    def add(self, packet: Packet, hello: Hello | None) -> None:
        """Take in a packet, with the ClientHello that became complete by it, if one did."""
        if packet.way is Way.OUT:
            inside, outside = packet.src, packet.dst
        else:
            inside, outside = packet.dst, packet.src
        if inside in self.ignored:
            return
        if packet.way is not Way.LOCAL:
            self._packets += 1
            self._addresses.add(outside)
            if packet.way is Way.OUT:
                self._bytes_out += len(packet.raw)
            else:
                self._bytes_in += len(packet.raw)
        if hello is not None:
            self._fingerprints.add(hello.fingerprint)
            if hello.name is not None:
                self._names.add(hello.name)
        if packet.proto == UDP and packet.dport == DNS_PORT and packet.payload:
            query = parse_query(packet.payload)
            if query is not None:
                self._names.add(query.name)

    def report(self) -> Observation:
        """All that was seen so far."""
        return Observation(
            addresses=frozenset(self._addresses),
            names=frozenset(self._names),
            fingerprints=frozenset(self._fingerprints),
            bytes_out=self._bytes_out,
            bytes_in=self._bytes_in,
            packets=self._packets,
        )
