"""What becomes of each packet on the wire: the pure half of the border.

1. Bytes come in with the time; out come the packets to be sent on, each with its receiver and the
   seconds for which it is held back. Nothing here reads, writes or waits.
2. Packets with one end in the country, or both, are shown to the observer and to the censor. What
   two hosts abroad say to each other does not come past the border.
3. The censor's own host is exempt: nobody blocks their own probes.
4. A fragment that is not the first cannot be judged; while a censor is at work it is dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from lab.censor import Censor, Suspicion
from lab.ground import CENSOR, COUNTRY, Host
from lab.observer import Observation, Observer
from lab.packets import TCP, InvalidPacket, Packet, Way, parse_packet
from lab.tls import Hello, HelloReader

Sending = tuple[float, bytes, bytes]
"""Seconds of delay, the receiver's packed address, and the packet."""

MOST_FLOWS = 50_000
"""Connections whose opening is kept in mind; beyond that all are forgotten."""
MULTICAST = range(224, 240)
"""First numbers of multicast addresses (RFC 5771)."""
_COUNTRY = COUNTRY.network_address.packed[:3]


@dataclass(slots=True)
class Counts:
    """How many packets met which end."""

    forwarded: int = 0
    dropped: int = 0
    """By the censor."""
    delayed: int = 0
    forged: int = 0
    """Sent by the censor in somebody's name."""
    lost: int = 0
    """No such host, or one that is unplugged, or no readable packet."""


@dataclass(slots=True)
class Hellos:
    """Finds the ClientHello of each connection that leaves the country."""

    _readers: dict[tuple[str, int, str, int], HelloReader | None] = field(default_factory=dict)

    def add(self, packet: Packet) -> Hello | None:
        """The ClientHello that this packet completes, once for each connection."""
        if packet.proto != TCP or packet.way is not Way.OUT:
            return None
        key = (packet.src, packet.sport, packet.dst, packet.dport)
        if packet.syn:
            if len(self._readers) >= MOST_FLOWS:
                self._readers.clear()
            opened = self._readers[key] = HelloReader()
            opened.opened(packet.seq)
            return None
        reader = self._readers.get(key)
        if reader is None or not packet.payload:
            return None
        reader.add(packet.payload, packet.seq)
        if reader.result is None:
            return None
        self._readers[key] = None
        return reader.result if isinstance(reader.result, Hello) else None


class Border:
    """Everything that stands between the hosts."""

    def __init__(self, hosts: Iterable[Host]) -> None:
        """`hosts` are all that there are."""
        self._addresses = {_packed(host.address): host.address for host in hosts}
        self._exempt = _packed(CENSOR.address)
        self._unplugged: set[bytes] = set()
        self._observer = Observer(ignored=frozenset({CENSOR.address}))
        self._hellos = Hellos()
        self._censor: Censor | None = None
        self._suspicions: list[Suspicion] = []
        self.counts = Counts()

    def put(self, censor: Censor | None) -> None:
        """Set a censor to work in place of the one before; None for no censor."""
        self._censor = censor
        self._suspicions.clear()

    def unplug(self, address: str) -> None:
        """Cut the cable of a host."""
        self._unplugged.add(_packed(address))

    def plug(self, address: str) -> None:
        """Mend the cable of a host."""
        self._unplugged.discard(_packed(address))

    def observation(self) -> Observation:
        """What the border has seen so far."""
        return self._observer.report()

    def suspicions(self) -> list[Suspicion]:
        """The servers that the censor has come to suspect since this was last asked."""
        found, self._suspicions = self._suspicions, []
        return found

    def judged(self, suspicion: Suspicion, revealed: bool) -> None:
        """Tell the censor what its probe found."""
        if self._censor is not None:
            self._censor.judged(suspicion, revealed)

    def carry(self, raw: bytes, now: float) -> Sequence[Sending]:
        """What is to be sent when a host has sent `raw`. Never raises on account of its content."""
        source, target = raw[12:16], raw[16:20]
        if len(raw) < 20 or raw[0] >> 4 != 4 or source in self._unplugged:
            self.counts.lost += 1
            return ()
        if target[0] in MULTICAST:
            return self._multicast(raw, source, now)
        if target not in self._addresses or target in self._unplugged:
            self.counts.lost += 1
            return ()
        from_inside, to_inside = source[:3] == _COUNTRY, target[:3] == _COUNTRY
        if not (from_inside or to_inside):
            self.counts.forwarded += 1
            return ((0.0, target, raw),)
        abroad_too = Way.OUT if from_inside else Way.IN
        way = Way.LOCAL if from_inside == to_inside else abroad_too
        try:
            packet = parse_packet(raw, way)
        except InvalidPacket:
            return self._unreadable(raw, target)
        self._observer.add(packet, self._hellos.add(packet))
        if self._exempt in {source, target}:
            self.counts.forwarded += 1
            return ((0.0, target, raw),)
        return self._judge(packet, target, now)

    def _judge(self, packet: Packet, target: bytes, now: float) -> Sequence[Sending]:
        if self._censor is None:
            self.counts.forwarded += 1
            return ((0.0, target, packet.raw),)
        verdict = self._censor.see(packet, now)
        if verdict.suspicion is not None:
            self._suspicions.append(verdict.suspicion)
        sent = [
            (0.0, forged[16:20], forged)
            for forged in verdict.forged
            if forged[16:20] in self._addresses and forged[16:20] not in self._unplugged
        ]
        self.counts.forged += len(sent)
        if verdict.passes:
            self.counts.forwarded += 1
            self.counts.delayed += verdict.delay > 0
            sent.append((verdict.delay, target, packet.raw))
        else:
            self.counts.dropped += 1
        return sent

    def _unreadable(self, raw: bytes, target: bytes) -> Sequence[Sending]:
        if self._censor is None:
            self.counts.forwarded += 1
            return ((0.0, target, raw),)
        self.counts.lost += 1
        return ()

    def _multicast(self, raw: bytes, source: bytes, now: float) -> Sequence[Sending]:
        """A copy for every other host on the network inside, each judged for itself."""
        if source[:3] != _COUNTRY:
            return ()
        try:
            packet = parse_packet(raw, Way.LOCAL)
        except InvalidPacket:
            self.counts.lost += 1
            return ()
        return [
            sending
            for target, address in self._addresses.items()
            if target[:3] == _COUNTRY and target != source and target not in self._unplugged
            for sending in self._judge(replace(packet, dst=address), target, now)
        ]


def _packed(address: str) -> bytes:
    return bytes(map(int, address.split(".")))
