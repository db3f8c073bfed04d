"""Which path to take to a relay: what worked before, what to try in which order, and when. Pure.

1. Of the paths that work the cheapest is taken; of those that cost the same, the one that shows
   least. A path that works is kept until it fails or a cheaper one is due for another try.
2. A path that failed rests; each failure in a row doubles its rest, up to a limit. When nothing
   else is left, resting paths are tried as well, the one that is due first before the others.
3. What is remembered is told apart by network and relay. Where nothing is known of a relay, what
   was seen with others on the same network counts.

How they are then tried is `volok.paths.race`. Times are Unix seconds; chance is random in [0, 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from volok.paths.live import Capabilities
from volok.paths.saved import saved_rows


@dataclass(frozen=True, slots=True)
class ChoiceSettings:
    """How paths are chosen. Times are in seconds."""

    handshakes: int = 3
    """Connections being opened at once by the whole node; more look like an attack to some
    censors."""
    race: int = 2
    """Of these, for one relay."""
    head_start: float = 0.5
    """What a path has at least before the next one is tried beside it."""
    head_start_most: float = 3.0
    """The longest such head start, for paths that are slow by nature."""
    patience: float = 4.0
    """After which a handshake is given up when another path waits to be tried."""
    patience_least: float = 1.5
    """The same where handshakes are known to be quick."""
    patience_factor: float = 20.0
    """As many times its usual duration a handshake may take, between these two limits."""
    retry_first: float = 30.0
    """For which a path rests after its first failure."""
    retry_most: float = 3600.0
    """The longest rest."""
    stable_bytes: int = 256 * 1024
    """A connection that carried so much shows that the path works, whatever was before."""
    remember: float = 30 * 86_400.0
    """After which what was seen on a network is forgotten."""
    places: int = 2000
    """Pairs of network and relay that are remembered; the oldest go first."""


@dataclass(frozen=True, slots=True)
class Option:
    """A path that could be taken."""

    name: str
    """What it is remembered by."""
    capabilities: Capabilities

    @property
    def rank(self) -> tuple[float, int, float]:
        """Sorts the cheapest first."""
        return self.capabilities.cost, self.capabilities.exposure, self.capabilities.latency


@dataclass(frozen=True, slots=True)
class Place:
    """Where something was tried: a network (an opaque name) and a relay ("": any)."""

    network: str
    relay: str


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of one path at one place. Times are Unix seconds."""

    worked_at: float = 0.0
    """When it last carried something; 0: never."""
    failed_at: float = 0.0
    """When it last failed; 0: never."""
    failures: int = 0
    """Failures since it last was stable."""
    retry_at: float = 0.0
    """When its rest ends."""
    opens_in: float = 0.0
    """Seconds that a handshake usually takes; 0: unknown."""

    @property
    def works(self) -> bool:
        """Whether the last thing seen was that it works."""
        return self.worked_at > self.failed_at

    def rests(self, now: float) -> bool:
        """Whether it failed and is not to be tried yet."""
        return not self.works and self.retry_at > now

    @property
    def seen_at(self) -> float:
        """When anything was last seen of it."""
        return max(self.worked_at, self.failed_at)


UNKNOWN = Record()


@dataclass(frozen=True, slots=True)
class Step:
    """One path to try. Times are in seconds."""

    name: str
    head_start: float
    """What it has before the next one is tried beside it."""
    patience: float
    """After which its handshake is given up when another path waits."""


class Memory:
    """What worked and what failed, by network and relay."""

    def __init__(self, settings: ChoiceSettings | None = None) -> None:
        self._settings = settings or ChoiceSettings()
        self._records: dict[Place, dict[str, Record]] = {}
        self.changes = 0
        """Grows with everything that is worth being saved."""

    def record(self, place: Place, name: str) -> Record:
        """What is known of a path at a place, or else on its network."""
        for known in (place, Place(place.network, "")):
            if found := self._records.get(known, {}).get(name):
                return found
        return UNKNOWN

    def opened(self, place: Place, name: str, seconds: float) -> None:
        """A handshake succeeded within so many seconds."""
        known = self._exact(place, name)
        smooth = seconds if not known.opens_in else 0.7 * known.opens_in + 0.3 * seconds
        self._put(place, name, replace(known, opens_in=smooth))

    def worked(self, place: Place, name: str, now: float) -> None:
        """Something came over it."""
        for where in (place, Place(place.network, "")):
            known = self._exact(where, name)
            if not known.works:
                self.changes += 1
            latest = max(now, known.failed_at + 1e-3)
            self._put(where, name, replace(known, worked_at=latest, retry_at=0.0))

    def stable(self, place: Place, name: str) -> None:
        """It carried much, or for long: earlier failures no longer count."""
        known = self._exact(place, name)
        if known.failures:
            self.changes += 1
            self._put(place, name, replace(known, failures=0))

    def failed(self, place: Place, name: str, now: float, chance: float) -> None:
        """It did not open, broke or froze. Its rest is shortened by chance by up to a half."""
        for where in (place, Place(place.network, "")):
            known = self._exact(where, name)
            if where.relay == "" and known.works and now - known.worked_at < self._longest:
                # It works with another relay: the trouble is there, not with the network.
                continue
            failures = known.failures + 1
            rest = min(self._settings.retry_first * 2.0 ** min(failures - 1, 32), self._longest)
            self._put(
                where,
                name,
                replace(
                    known,
                    failed_at=max(now, known.worked_at + 1e-3),
                    failures=failures,
                    retry_at=now + rest * (1.0 - chance / 2),
                ),
            )
        self.changes += 1

    def steps(self, place: Place, options: Sequence[Option], now: float) -> tuple[Step, ...]:
        """The order in which to try them."""
        known = {option.name: self.record(place, option.name) for option in options}
        ranked = sorted(options, key=lambda option: option.rank)
        holder = next((o for o in ranked if known[o.name].works), None)
        quick = {
            option.capabilities.latency: known[option.name].opens_in
            for option in sorted(options, key=lambda one: known[one.name].opens_in)
        }

        def turn(option: Option) -> tuple[int, float]:
            record = known[option.name]
            if record.rests(now):
                return 3, record.retry_at
            if holder is None or option.rank <= holder.rank:
                return 0, 0.0
            return (1 if record.works else 2), 0.0

        return tuple(
            Step(
                option.name,
                self._head_start(option, known[option.name]),
                # Of one that never opened here, those of its kind tell.
                self._patience(known[option.name].opens_in or quick[option.capabilities.latency]),
            )
            for option in sorted(ranked, key=turn)
        )

    def return_at(self, place: Place, options: Sequence[Option], name: str) -> float | None:
        """When a path cheaper than this one may be tried again; None: this is the cheapest."""
        ranks = {option.name: option.rank for option in options}
        cheaper = [option.name for option in options if option.rank < ranks[name]]
        return min((self.record(place, one).retry_at for one in cheaper), default=None)

    def forget(self, now: float) -> None:
        """Drop what is old."""
        for place, records in list(self._records.items()):
            kept = {
                name: record
                for name, record in records.items()
                if now - record.seen_at < self._settings.remember
            }
            if kept:
                self._records[place] = kept
            else:
                del self._records[place]

    def dump(self) -> list[list[Any]]:
        """Everything, as rows that JSON can hold."""
        return [
            [place.network, place.relay, name, r.worked_at, r.failed_at, r.failures, r.retry_at]
            for place, records in self._records.items()
            for name, r in records.items()
            if r.seen_at
        ]

    def load(self, rows: object, now: float) -> None:
        """Take up what `dump` gave. Rows that make no sense are left out; no rest is longer than
        the longest, whatever the clock was when it was written."""
        for network, relay, name, (worked, failed, failures, retry) in saved_rows(rows, 4):
            record = Record(
                min(worked, now), min(failed, now), int(failures), min(retry, now + self._longest)
            )
            self._put(Place(network, relay), name, record)
        self.forget(now)

    @property
    def _longest(self) -> float:
        return self._settings.retry_most

    def _exact(self, place: Place, name: str) -> Record:
        return self._records.get(place, {}).get(name, UNKNOWN)

    def _put(self, place: Place, name: str, record: Record) -> None:
        # Moved to the end, so that the places unused for longest come first.
        records = self._records.pop(place, {})
        records[name] = record
        self._records[place] = records
        if len(self._records) > self._settings.places:
            del self._records[next(iter(self._records))]

    def _head_start(self, option: Option, record: Record) -> float:
        natural = 2 * record.opens_in or 5 * option.capabilities.latency
        return min(max(natural, self._settings.head_start), self._settings.head_start_most)

    def _patience(self, opens_in: float) -> float:
        settings = self._settings
        if not opens_in:
            return settings.patience
        usual = settings.patience_factor * opens_in
        return min(max(usual, settings.patience_least), settings.patience)
