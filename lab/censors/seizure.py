"""`seizure`: one relay is taken away and its disk is read.

This happens to the world, not to packets (`relays_lost` in the TOML file): the censor at the border
lets everything pass.
"""

from __future__ import annotations

from random import Random

from lab.censor import Base, Censor, Ground, Parameters


class Seizure(Base):
    """See the module."""


def make(parameters: Parameters, ground: Ground, rng: Random) -> Censor:
    """There is nothing to draw."""
    return Seizure()
