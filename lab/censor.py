"""What a censor is: a small state machine over packets, and how several act together.

1. A censor sees each packet that crosses the border, in both directions, before it is forwarded,
   and gives a `Verdict`. It does no I/O, has no clock and no randomness of its own.
2. Its parameters come from the TOML file beside its module. A parameter given as a range or a list
   is drawn by the run's seed, so that no system can be fitted to one value.
3. Combined censors all see every packet, also those that another one drops: each keeps its own
   account, as boxes in a row on a cable do not but boxes on a mirror port do. A packet passes when
   all let it pass.
"""

from __future__ import annotations

import importlib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from random import Random
from typing import Any, Protocol

from lab.packets import Packet

HERE = Path(__file__).parent / "censors"

Value = int | float | str | bool
Parameters = Mapping[str, Value]
"""The parameters of one profile, drawn."""


class UnknownProfile(ValueError):
    """There is no such profile. `python -m lab list` shows them all."""


@dataclass(frozen=True, slots=True)
class Suspicion:
    """A server that the censor wants to look at for itself (active probing)."""

    address: str
    port: int
    seen: bytes
    """The first bytes that a client sent there, to be replayed."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of one packet."""

    passes: bool = True
    delay: float = 0.0
    """Seconds for which it is held back."""
    forged: tuple[bytes, ...] = ()
    """IPv4 packets that the border sends before this one, each to its own destination."""
    suspicion: Suspicion | None = None


PASS = Verdict()
DROP = Verdict(passes=False)


@dataclass(frozen=True, slots=True)
class Ground:
    """What a censor knows of the world it stands in."""

    listed_names: frozenset[str] = frozenset()
    """Names that are to be blocked."""
    listed_addresses: frozenset[str] = frozenset()
    """Addresses abroad that are to be blocked."""
    hosters: tuple[IPv4Network, ...] = ()
    """Networks of foreign hosters, which some censors treat worse than the rest."""
    allowed_names: frozenset[str] = frozenset()
    """Domestic names that stay reachable when little else does."""
    allowed_addresses: frozenset[str] = frozenset()
    """Domestic addresses that stay reachable."""
    people: frozenset[str] = frozenset()
    """Addresses of the persons inside."""

    def hosted(self, address: str) -> bool:
        """Whether an address belongs to a foreign hoster."""
        return any(IPv4Address(address) in network for network in self.hosters)


class Censor(Protocol):
    """One profile at work."""

    def see(self, packet: Packet, now: float) -> Verdict:
        """Judge a packet; `now` is in seconds, from a clock that never goes back.

        Packets that do not cross the border (`Way.LOCAL`) are shown, too; nearly every censor lets
        them pass.
        """

    def judged(self, suspicion: Suspicion, revealed: bool) -> None:
        """The probe of a suspected server is back: whether it showed that it is a relay."""


class Base:
    """A censor that does nothing; profiles override what they do."""

    def see(self, packet: Packet, now: float) -> Verdict:
        """See Censor."""
        return PASS

    def judged(self, suspicion: Suspicion, revealed: bool) -> None:
        """See Censor."""


@dataclass(slots=True)
class Together(Base):
    """Several censors on one cable."""

    censors: Sequence[Censor]

    def see(self, packet: Packet, now: float) -> Verdict:
        """All look; what one drops is dropped, what several forge is all sent."""
        verdicts = [censor.see(packet, now) for censor in self.censors]
        suspicions = [verdict.suspicion for verdict in verdicts if verdict.suspicion]
        return Verdict(
            passes=all(verdict.passes for verdict in verdicts),
            delay=max((verdict.delay for verdict in verdicts), default=0.0),
            forged=tuple(packet for verdict in verdicts for packet in verdict.forged),
            suspicion=suspicions[0] if suspicions else None,
        )

    def judged(self, suspicion: Suspicion, revealed: bool) -> None:
        """All hear of it."""
        for censor in self.censors:
            censor.judged(suspicion, revealed)


@dataclass(frozen=True, slots=True)
class Profile:
    """What the TOML file of a profile says."""

    name: str
    summary: str
    sources: tuple[str, ...]
    """Where this was observed: papers and measurements."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Each a value, a table with `low` and `high`, or a list to choose from."""
    live: bool = True
    """Whether a live path across the border is left."""
    observable: bool = True
    """Whether it can be told from inside (DESIGN, section 5)."""
    relays_lost: int = 0
    """How many of the three relays vanish; this happens to the world, not to packets."""


def names() -> list[str]:
    """All profiles, by name."""
    return sorted(path.stem for path in HERE.glob("*.toml"))


def profile(name: str) -> Profile:
    """Read one profile. Raises UnknownProfile."""
    if name not in names():
        raise UnknownProfile(f"There is no profile {name}. `python -m lab list` shows them all.")
    data = tomllib.loads((HERE / f"{name}.toml").read_text())
    return Profile(
        name=name,
        summary=data["summary"],
        sources=tuple(data["sources"]),
        parameters=data.get("parameters", {}),
        live=data.get("live", True),
        observable=data.get("observable", True),
        relays_lost=data.get("relays_lost", 0),
    )


def draw(parameters: Mapping[str, Any], rng: Random) -> dict[str, Value]:
    """Choose a value for each parameter: whole numbers from whole ranges, else real ones."""
    drawn: dict[str, Value] = {}
    for name, given in parameters.items():
        if isinstance(given, list):
            drawn[name] = rng.choice(given)
        elif isinstance(given, dict):
            low, high = given["low"], given["high"]
            whole = isinstance(low, int) and isinstance(high, int)
            drawn[name] = rng.randint(low, high) if whole else rng.uniform(low, high)
        else:
            drawn[name] = given
    return drawn


def make(name: str, ground: Ground, seed: int) -> tuple[Censor, dict[str, Value]]:
    """A censor of this profile with parameters drawn by `seed`, and those parameters.

    Each module in `lab.censors` has `make(parameters, ground, rng) -> Censor`. Raises
    UnknownProfile.
    """
    rng = Random(f"{seed} {name}")
    drawn = draw(profile(name).parameters, rng)
    module = importlib.import_module(f"lab.censors.{name.replace('-', '_')}")
    made: Censor = module.make(drawn, ground, rng)
    return made, drawn


def combine(combination: str) -> list[str]:
    """The names in a combination such as `sni-rst+curtain`. Raises UnknownProfile."""
    found = combination.split("+")
    for name in found:
        profile(name)
    return found
