"""`outage`: all relays but one vanish for good.

This happens to the world, not to packets (`relays_lost` in the TOML file): the censor at the border
lets everything pass.
"""

from __future__ import annotations

from random import Random

from lab.censor import Base, Censor, Ground, Parameters


class Outage(Base):
    """See the module."""


def make(parameters: Parameters, ground: Ground, rng: Random) -> Censor:
    """There is nothing to draw."""
    return Outage()
