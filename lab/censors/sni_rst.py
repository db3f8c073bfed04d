"""A ClientHello with a listed name ends its connection.

1. Of each TCP connection that somebody inside opens, the ClientHello is read as far as the censor
   reassembles: the first segment alone, segments of one TLS record, or segments and records. What
   it cannot put together passes. A connection whose SYN it did not see passes, too.
2. A listed name, or one below it, has one of three effects. `reset`: the hello is dropped and both
   ends get an RST, and so with all payload after it. `drop`: the hello and all that follows vanish,
   both ways. `late`: the hello and a few packets more pass, counted both ways, then all vanish.
3. The verdict holds until a new SYN with the same ports, so that no retransmission slips through.
4. For a residual time new connections between the same client address, server address and server
   port fare alike, whatever name they carry, each with some probability. Under `reset` they get
   established and are reset at their first payload, else their SYN is dropped. Only another listed
   name prolongs that time.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from random import Random

from lab.censor import DROP, PASS, Base, Censor, Ground, Parameters, Verdict
from lab.censors.dns_poison import is_listed
from lab.packets import TCP, End, Flow, Packet, Way, reset_both
from lab.tls import Hello, HelloReader


class Variant(Enum):
    """What happens to a connection with a listed name; the module tells them apart."""

    RESET = "reset"
    DROP = "drop"
    LATE = "late"


class Depth(Enum):
    """What a censor puts together before it reads."""

    SEGMENT = "segment"
    """Nothing: the first segment has to show the name."""
    STREAM = "stream"
    """TCP segments, but the first TLS record has to show the name."""
    RECORDS = "records"
    """TCP segments and TLS records."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How a censor acts on names."""

    variant: Variant
    """What happens to a connection with a listed name."""
    depth: Depth
    """What is put together before it is read."""
    only_https: bool
    """Whether connections to other ports than 443 pass."""
    late_packets: int
    """Under `late`: how many packets pass after the hello."""
    residual: float
    """Seconds for which client address, server address and server port stay blocked; 0 for none."""
    residual_share: float
    """The share of new connections that meet the residual block, 0 to 1."""


class Hellos:
    """The ClientHello of each connection that somebody inside opens, as a censor sees it."""

    def __init__(self, depth: Depth) -> None:
        """`depth` is what is put together."""
        self._depth = depth
        self._open: dict[Flow, HelloReader] = {}

    def see(self, packet: Packet) -> Hello | None:
        """The ClientHello that this packet completes; None for all other packets."""
        if packet.proto != TCP or packet.way is not Way.OUT:
            return None
        flow = packet.flow
        if packet.syn:
            self._open[flow] = self._reader(packet.seq)
        elif packet.rst:
            self._open.pop(flow, None)
        reader = self._open.get(flow)
        if reader is None or not packet.payload:
            return None
        # Data in a SYN (TCP Fast Open) stands one number after it.
        reader.add(packet.payload, packet.seq + packet.syn)
        if reader.result is None:
            return None
        del self._open[flow]
        return reader.result if isinstance(reader.result, Hello) else None

    def _reader(self, seq: int) -> HelloReader:
        reader = HelloReader(
            reassemble_tcp=self._depth is not Depth.SEGMENT,
            reassemble_records=self._depth is Depth.RECORDS,
        )
        reader.opened(seq)
        return reader


@dataclass(slots=True)
class _Blocked:
    """A connection under a verdict."""

    left: int = 0
    """How many more of its packets pass."""
    syn: int | None = None
    """The sequence number of its SYN where that was blocked already: the same again is no new
    connection."""


class SniRst(Base):
    """See the module."""

    def __init__(self, settings: Settings, ground: Ground, rng: Random) -> None:
        """`rng` decides which connections meet the residual block."""
        self.settings = settings
        self._names = ground.listed_names
        self._rng = rng
        self._hellos = Hellos(settings.depth)
        self._blocked: dict[Flow, _Blocked] = {}
        self._until: dict[tuple[str, End], float] = {}

    def see(self, packet: Packet, now: float) -> Verdict:
        """See Censor."""
        if packet.proto != TCP or packet.way is Way.LOCAL:
            return PASS
        if self.settings.only_https and packet.outer[1] != 443:
            return PASS
        flow = packet.flow
        if packet.syn and packet.way is Way.OUT:
            self._opened(flow, packet.seq, now)
        blocked = self._blocked.get(flow)
        if blocked is not None:
            return self._enforce(packet, blocked)
        hello = self._hellos.see(packet)
        if hello is None or not is_listed(hello.name, self._names):
            return PASS
        if self.settings.residual:
            self._until[flow.inner[0], flow.outer] = now + self.settings.residual
        if self.settings.variant is Variant.LATE:
            self._blocked[flow] = _Blocked(self.settings.late_packets)
            return PASS
        self._blocked[flow] = _Blocked()
        return self._enforce(packet, self._blocked[flow])

    def _opened(self, flow: Flow, syn: int, now: float) -> None:
        """A new connection ends the old verdict and may meet the residual block."""
        blocked = self._blocked.get(flow)
        if blocked is not None and blocked.syn == syn:
            return
        self._blocked.pop(flow, None)
        key = flow.inner[0], flow.outer
        until = self._until.get(key)
        if until is None:
            return
        if now >= until:
            del self._until[key]
        elif self._rng.random() < self.settings.residual_share:
            self._blocked[flow] = _Blocked(syn=syn)

    def _enforce(self, packet: Packet, blocked: _Blocked) -> Verdict:
        if self.settings.variant is Variant.RESET:
            if packet.payload:
                return Verdict(passes=False, forged=reset_both(packet))
            return PASS
        if blocked.left:
            blocked.left -= 1
            return PASS
        return DROP


def make(parameters: Parameters, ground: Ground, rng: Random) -> Censor:
    """A censor with these drawn parameters. Raises ValueError for an unknown variant or depth."""
    settings = Settings(
        variant=Variant(parameters["variant"]),
        depth=Depth(parameters["depth"]),
        only_https=bool(parameters["only_https"]),
        late_packets=int(parameters["late_packets"]),
        residual=float(parameters["residual"]),
        residual_share=float(parameters["residual_share"]),
    )
    return SniRst(settings, ground, rng)
