"""QUIC does not get through: a datagram to port 443 with an Initial packet is dropped.

In some networks all that follows on the same pair of ports is dropped, too, both ways, and each
further Initial starts that time anew. QUIC within the country passes, and so does other UDP.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from lab.censor import DROP, PASS, Base, Censor, Ground, Parameters, Verdict
from lab.packets import UDP, Flow, Packet, Way
from lab.quic import is_initial

PORT = 443
"""The only port that is looked at."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How a censor blocks QUIC."""

    shortest: int
    """Bytes that a payload needs to be looked at."""
    residual: float
    """Seconds for which the flow stays blocked after an Initial; 0 for the Initial alone."""


class QuicBlock(Base):
    """See the module."""

    def __init__(self, settings: Settings) -> None:
        """It needs no lists: all of QUIC is blocked."""
        self.settings = settings
        self._until: dict[Flow, float] = {}

    def see(self, packet: Packet, now: float) -> Verdict:
        """See Censor."""
        if packet.proto != UDP or packet.way is Way.LOCAL or packet.outer[1] != PORT:
            return PASS
        flow = packet.flow
        if (
            packet.way is Way.OUT
            and len(packet.payload) >= self.settings.shortest
            and is_initial(packet.payload)
        ):
            if self.settings.residual:
                self._until[flow] = now + self.settings.residual
            return DROP
        until = self._until.get(flow)
        if until is None:
            return PASS
        if now < until:
            return DROP
        del self._until[flow]
        return PASS


def make(parameters: Parameters, ground: Ground, rng: Random) -> Censor:
    """A censor with these drawn parameters."""
    settings = Settings(
        shortest=int(parameters["shortest"]), residual=float(parameters["residual"])
    )
    return QuicBlock(settings)
