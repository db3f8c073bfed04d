"""What came of a run: pure comparison of what was sent with what arrived, and its JSON form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import inf
from statistics import median
from typing import Any

from lab.censor import Value
from lab.observer import Observation
from lab.systems import Arrival


@dataclass(frozen=True, slots=True)
class Sent:
    """A text that was handed over."""

    sender: str
    receiver: str
    text: str
    at: float
    """When, on the clock of the arrivals."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What became of the texts."""

    sent: int
    delivered: int
    twice: int
    """Arrivals of a text that had arrived before."""
    strange: int
    """Arrivals of what was never sent to that person."""
    misplaced: int
    """Texts that arrived before one that the same sender had sent earlier to the same person."""
    median: float | None
    """Seconds to delivery of those delivered; None for none."""
    worst: float | None
    first_after: float | None
    """Seconds from the block to the first delivery of a text handed over after it; of the two
    directions the slower. None while a direction has none, or when nothing was blocked."""
    median_after: float | None
    """Of the texts handed over after the block, the median seconds from that to when they were
    first shown; those never shown count as never. None when that is never, or without a block."""

    @property
    def faultless(self) -> bool:
        """All delivered once, in order."""
        return self.delivered == self.sent and not (self.twice or self.strange or self.misplaced)


def measure(
    sent: Sequence[Sent], arrived: Mapping[str, Sequence[Arrival]], block_at: float | None
) -> Measured:
    """Compare what was handed over, in that order, with what each person was shown.

    No text may have been sent twice.
    """
    number = {(one.receiver, one.text): index for index, one in enumerate(sent)}
    times: dict[int, float] = {}
    latest: dict[tuple[str, str], int] = {}
    twice = strange = misplaced = 0
    for person, arrivals in arrived.items():
        for arrival in arrivals:
            index = number.get((person, arrival.text))
            if index is None:
                strange += 1
            elif index in times:
                twice += 1
            else:
                times[index] = arrival.at
                way = (sent[index].sender, person)
                misplaced += index < latest.get(way, -1)
                latest[way] = max(index, latest.get(way, -1))
    waits = [max(0.0, at - sent[index].at) for index, at in times.items()]
    return Measured(
        sent=len(sent),
        delivered=len(times),
        twice=twice,
        strange=strange,
        misplaced=misplaced,
        median=median(waits) if waits else None,
        worst=max(waits, default=None),
        first_after=_first_after(sent, times, block_at),
        median_after=_median_after(sent, times, block_at),
    )


def _first_after(
    sent: Sequence[Sent], times: Mapping[int, float], block_at: float | None
) -> float | None:
    if block_at is None:
        return None
    firsts: dict[tuple[str, str], float | None] = {}
    for index, one in enumerate(sent):
        if one.at < block_at:
            continue
        way = (one.sender, one.receiver)
        known = firsts.get(way)
        at = times.get(index)
        firsts[way] = min((value for value in (known, at) if value is not None), default=None)
    if not firsts or None in firsts.values():
        return None
    return max(value - block_at for value in firsts.values() if value is not None)


def _median_after(
    sent: Sequence[Sent], times: Mapping[int, float], block_at: float | None
) -> float | None:
    waits = [
        max(0.0, times[index] - one.at) if index in times else inf
        for index, one in enumerate(sent)
        if block_at is not None and one.at >= block_at
    ]
    found = median(waits) if waits else inf
    return found if found < inf else None


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run: a profile and a system."""

    profile: str
    system: str
    seed: int
    parameters: Mapping[str, Mapping[str, Value]]
    """Drawn, by profile."""
    measured: Measured
    picture: str
    """`delivered`, `lost`, or `-` when none was sent."""
    picture_seconds: float | None
    """To its delivery."""
    paths: tuple[str, ...]
    """Which carried, as the system tells; empty when it does not."""
    seen: Observation
    """What the border saw after the introductions; the sets hold those, too."""
    seconds: float
    """From the first text to the end."""
    problem: str | None = None
    """Why the run could not be made as it should."""
    late: float = 0.0
    """The most seconds by which a text was handed over later than it should have been: a machine
    that is too busy measures itself."""
    unharmed: bool = False
    """The profile takes relays away, and the system has none that could be taken."""

    @property
    def all_delivered(self) -> bool:
        """Every text once, in order, and the picture, if the system sends any."""
        return (
            self.problem is None
            and self.measured.sent > 0
            and self.measured.faultless
            and self.picture != "lost"
        )

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        value = {**asdict(self), "seen": self.seen.to_json(), "paths": list(self.paths)}
        return {**value, "all_delivered": self.all_delivered}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Outcome:
        """The reverse of `to_json`. Raises KeyError, TypeError and ValueError for anything else."""
        rest = {name: item for name, item in value.items() if name != "all_delivered"}
        return cls(
            **{
                **rest,
                "measured": Measured(**value["measured"]),
                "seen": Observation.from_json(value["seen"]),
                "paths": tuple(value["paths"]),
            }
        )
