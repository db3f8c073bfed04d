"""What connections may carry, by network, relay and path: learned from freezes. Pure."""

from __future__ import annotations

from dataclasses import astuple, replace
from typing import Any

from volok.paths.budget import Allowance, BudgetSettings, Meter, learned, on_trial
from volok.paths.choice import Place
from volok.paths.saved import saved_rows
from volok.paths.sizes import Sizes

_MOST = 2000


class Allowances:
    """The allowances that were learned. Times are Unix seconds."""

    def __init__(self, settings: BudgetSettings | None = None) -> None:
        self._settings = settings or BudgetSettings()
        self._known: dict[tuple[Place, str], Allowance] = {}
        self._changes = 0
        self.sizes = Sizes(self._settings)
        """What HTTP requests may carry."""

    @property
    def changes(self) -> int:
        """Grows with everything that is worth being saved."""
        return self._changes + self.sizes.changes

    def known(self, place: Place, name: str) -> Allowance | None:
        """What connections may carry, as far as is known; None: no limit is known."""
        return self._known.get((place, name))

    def of(self, place: Place, name: str, now: float) -> tuple[Allowance | None, bool]:
        """What a new connection may carry (None: no limit is known), and whether that is more than
        is known to pass."""
        known = self._known.get((place, name))
        if known is None:
            return None, False
        larger = on_trial(known, self._settings, now)
        if larger is None:
            return known, False
        # One connection tries; others meanwhile keep to what is known.
        self._put(place, name, replace(known, trial_at=now + known.wait))
        return larger, True

    def froze(
        self, place: Place, name: str, answered: Meter, total: Meter, now: float, trial: bool
    ) -> bool:
        """A connection froze; see `volok.paths.budget.learned`. False: the path has failed."""
        found = learned(self._known.get((place, name)), answered, total, now, trial)
        if found is None:
            self._known.pop((place, name), None)
        else:
            self._put(place, name, found)
        self._changes += 1
        return found is not None

    def passed(self, place: Place, name: str, larger: Allowance, now: float) -> None:
        """A trial passed: what it carried is the allowance now, or there is no limit."""
        self._changes += 1
        if larger.bytes > self._settings.most_bytes:
            self._known.pop((place, name), None)
        else:
            first = self._settings.trial_first
            self._put(place, name, replace(larger, trial_at=now, wait=first))

    def dump(self) -> list[list[Any]]:
        """Everything, as rows that JSON can hold."""
        return [
            [place.network, place.relay, name, *astuple(one)]
            for (place, name), one in self._known.items()
        ] + self.sizes.dump()

    def load(self, rows: object, now: float) -> None:
        """Take up what `dump` gave; rows that make no sense are left out."""
        self.sizes.load(rows, now)
        for network, relay, name, (size, packets, trial_at, wait) in saved_rows(rows, 4):
            if not all((size, packets, trial_at, wait)):
                continue
            latest = min(wait, self._settings.trial_most)
            allowance = Allowance(int(size), float(packets), min(trial_at, now + latest), latest)
            self._put(Place(network, relay), name, allowance)

    def _put(self, place: Place, name: str, allowance: Allowance) -> None:
        self._known.pop((place, name), None)
        self._known[place, name] = allowance
        if len(self._known) > _MOST:
            del self._known[next(iter(self._known))]
