"""Listed addresses abroad cannot be reached, in one of three ways.

- `drop`: every packet from or to the address vanishes, of whatever protocol.
- `refuse`: the same, but a SYN is answered with an RST, as if the port were closed.
- `synack`: a SYN passes, and the SYN/ACK that comes back is turned into an RST/ACK; the rest
  vanishes. The server abroad sees a connection that never gets established.

There is no state: a connection that is open when the address is listed freezes at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from random import Random

from lab.censor import DROP, PASS, Base, Censor, Ground, Parameters, Verdict
from lab.packets import ACK, RST, TCP, Packet, Way, build_tcp


class Variant(Enum):
    """What happens to packets of listed addresses; the module tells them apart."""

    DROP = "drop"
    REFUSE = "refuse"
    SYNACK = "synack"


@dataclass(frozen=True, slots=True)
class Settings:
    """How a censor blocks addresses."""

    variant: Variant
    """Which of the three ways."""


class IpBlock(Base):
    """See the module."""

    def __init__(self, settings: Settings, ground: Ground) -> None:
        """`ground` lists the addresses."""
        self.settings = settings
        self._addresses = ground.listed_addresses

    def see(self, packet: Packet, now: float) -> Verdict:
        """See Censor."""
        if packet.way is Way.LOCAL:
            return PASS
        abroad = packet.dst if packet.way is Way.OUT else packet.src
        if abroad not in self._addresses:
            return PASS
        if packet.proto != TCP:
            return DROP
        if self.settings.variant is Variant.REFUSE and packet.syn:
            return Verdict(passes=False, forged=(_refusal(packet),))
        if self.settings.variant is Variant.SYNACK:
            if packet.syn:
                return PASS
            if packet.synack:
                return Verdict(passes=False, forged=(_turned(packet),))
        return DROP


def _refusal(packet: Packet) -> bytes:
    """The RST/ACK by which a closed port answers a SYN (RFC 9293, section 3.5.2)."""
    return build_tcp(
        packet.dst,
        packet.dport,
        packet.src,
        packet.sport,
        0,
        packet.seq + 1 + len(packet.payload),
        RST | ACK,
        window=0,
    )


def _turned(packet: Packet) -> bytes:
    """A SYN/ACK with its flags turned into RST and ACK."""
    return build_tcp(
        packet.src,
        packet.sport,
        packet.dst,
        packet.dport,
        packet.seq,
        packet.ack,
        RST | ACK,
        window=0,
    )


def make(parameters: Parameters, ground: Ground, rng: Random) -> Censor:
    """A censor with these drawn parameters. Raises ValueError for an unknown variant."""
    return IpBlock(Settings(Variant(parameters["variant"])), ground)
