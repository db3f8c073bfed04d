"""`shutdown`: nothing crosses the border; the network inside the country still works."""

from __future__ import annotations

from random import Random

from lab.censor import DROP, PASS, Base, Censor, Ground, Parameters, Verdict
from lab.packets import Packet, Way


class Shutdown(Base):
    """See the module."""

    def see(self, packet: Packet, now: float) -> Verdict:
        """Drop what would cross."""
        return PASS if packet.way is Way.LOCAL else DROP


def make(parameters: Parameters, ground: Ground, rng: Random) -> Censor:
    """There is nothing to draw."""
    return Shutdown()
