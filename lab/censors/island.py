"""`island`: the people have no network at all, neither across the border nor among themselves.

Nothing crosses the border, and nothing goes to or from a person inside: a domestic server that both
can reach would be a network between them. Only what somebody carries arrives.
"""

from __future__ import annotations

from random import Random

from lab.censor import DROP, PASS, Base, Censor, Ground, Parameters, Verdict
from lab.packets import Packet, Way


class Island(Base):
    """See the module."""

    def __init__(self, ground: Ground) -> None:
        """`ground.people` are those who are cut off."""
        self._people = ground.people

    def see(self, packet: Packet, now: float) -> Verdict:
        """Drop what crosses, and what belongs to a person."""
        crosses = packet.way is not Way.LOCAL
        return DROP if crosses or not self._people.isdisjoint({packet.src, packet.dst}) else PASS


def make(parameters: Parameters, ground: Ground, rng: Random) -> Censor:
    """There is nothing to draw."""
    return Island(ground)
