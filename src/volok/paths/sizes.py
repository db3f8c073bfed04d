"""How much of a body one HTTP request carries where connections are cut: learned by trying. Pure.

1. Where no limit is known there is none: one connection carries many requests and whole bodies.
2. Where a connection froze, each request has a connection of its own, and a body that is known to
   pass. What passes grows by half until something freezes, and then half-way, until both are near.
3. After a while more is tried again; what passed with much is no limit any more.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, replace

from volok.paths.budget import Allowance, BudgetSettings
from volok.paths.choice import Place
from volok.paths.saved import saved_rows

_MOST = 2000


@dataclass(frozen=True, slots=True)
class SizeSettings:
    """How sizes are learned. Sizes are in bytes, times in seconds."""

    head_bytes: int = 1000
    """Taken by the heads of a request and its answer."""
    head_packets: float = 3.0
    """The same in packets."""
    first: int = 2500
    """What is tried first where nothing else is known."""
    least: int = 800
    """A smaller body is of no use."""
    growth: float = 1.5
    """From what passed to what is tried next."""
    near: float = 1.3
    """What froze by less than this factor over what passed is the limit."""
    safe: float = 0.8
    """Of what passed before, what is used once that has frozen, too."""
    trial: float = 900.0
    """After which what froze is tried again."""


@dataclass(frozen=True, slots=True)
class Size:
    """What is known of one path to one relay."""

    passes: int
    """The largest body that passed, or that is assumed to."""
    freezes: int
    """The smallest that froze; 0: not known."""
    trial_at: float
    """Unix seconds from which what froze is forgotten."""

    def next(self, settings: SizeSettings, now: float) -> int:
        """The largest body to send or ask for in the next request."""
        grown = int(self.passes * settings.growth)
        if not self.freezes or now >= self.trial_at:
            return grown
        if self.freezes <= self.passes * settings.near:
            return self.passes
        return min(grown, (self.passes + self.freezes) // 2)


class Sizes:
    """What was learned, by network, relay and path. Times are Unix seconds."""

    def __init__(self, budget: BudgetSettings, settings: SizeSettings | None = None) -> None:
        self._budget = budget
        self.settings = settings or SizeSettings()
        self._known: dict[tuple[Place, str], Size] = {}
        self.changes = 0
        """Grows with everything that is worth being saved."""

    def room(self, place: Place, name: str, allowance: Allowance | None, now: float) -> int | None:
        """Bytes of the body of the next request; None: no limit is known. `allowance` is what
        websockets have learned."""
        known = self._known.get((place, name))
        if known is not None:
            return known.next(self.settings, now)
        return None if allowance is None else self._derived(allowance)

    def passed(
        self, place: Place, name: str, size: int, allowance: Allowance | None, now: float
    ) -> None:
        """A body of this size passed over a connection of its own."""
        known = self._known.get((place, name))
        if known is None and allowance is None:
            return
        known = known or Size(self.settings.least, 0, 0.0)
        if size > self._budget.most_bytes and allowance is None:
            del self._known[place, name]
            self.changes += 1
        elif size > known.passes:
            freezes = known.freezes if size < known.freezes else 0
            self._put(place, name, replace(known, passes=size, freezes=freezes))

    def froze(
        self,
        place: Place,
        name: str,
        size: int,
        passed: int,
        allowance: Allowance | None,
        now: float,
    ) -> bool:
        """A connection froze over a body of `size` bytes, of which so many had passed for certain.
        False: there is no limit to be learned from this, the path has failed."""
        settings = self.settings
        known = self._known.get((place, name))
        if passed > self._budget.most_bytes:
            return False
        if known is None:
            first = settings.first if allowance is None else self._derived(allowance)
            known = Size(first, 0, 0.0)
        passes = known.passes
        if size <= passes:
            passes = int(min(passes, size) * settings.safe)
        passes = min(max(passes, int(passed * settings.safe)), max(size - 1, 0))
        if passes < settings.least:
            if (place, name) in self._known:
                del self._known[place, name]
                self.changes += 1
            return False
        self._put(place, name, Size(passes, size, now + settings.trial))
        return True

    def dump(self) -> list[list[object]]:
        """Everything, as rows that JSON can hold."""
        return [
            [place.network, place.relay, name, *astuple(one)]
            for (place, name), one in self._known.items()
        ]

    def load(self, rows: object, now: float) -> None:
        """Take up what `dump` gave; rows that make no sense are left out."""
        for network, relay, name, (passes, freezes, trial_at) in saved_rows(rows, 3):
            if not self.settings.least <= passes <= self._budget.most_bytes:
                continue
            size = Size(int(passes), int(freezes), min(trial_at, now + self.settings.trial))
            self._put(Place(network, relay), name, size)

    def _derived(self, allowance: Allowance) -> int:
        budget, settings = self._budget, self.settings
        by_bytes = allowance.bytes - budget.handshake_bytes - settings.head_bytes
        packets = allowance.packets - budget.handshake_packets - settings.head_packets
        return max(min(by_bytes, int(packets / 1.5 * budget.record)), settings.least)

    def _put(self, place: Place, name: str, size: Size) -> None:
        self._known.pop((place, name), None)
        self._known[place, name] = size
        self.changes += 1
        if len(self._known) > _MOST:
            del self._known[next(iter(self._known))]
