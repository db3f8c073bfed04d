"""Which path to take to a relay: what worked before, what to try in which order, and when. Pure.

1. Of the paths that work the cheapest is taken; of those that cost the same, the one that shows
   least. A path that works is kept until it fails or a cheaper one is due for another try.
2. A path that failed rests; each failure in a row doubles its rest, up to a limit. When nothing
   else is left, resting paths are tried as well, the one that is due first before the others.
3. Few are tried at once. The next one starts when all before it failed or had their head start; a
   silent one is let go when others wait.
4. What is remembered is told apart by network and relay. Where nothing is known of a relay, what
   was seen with others on the same network counts.

Inputs are named in the past tense, outputs in the imperative. The clock is Unix seconds for
`Memory` and any steady clock for `Race`; chance is random in [0, 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from volok.paths.live import Capabilities


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
    """One path to try, and the head start in seconds that it has before the next one."""

    name: str
    head_start: float


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

        def turn(option: Option) -> tuple[int, float]:
            record = known[option.name]
            if record.rests(now):
                return 3, record.retry_at
            if holder is None or option.rank <= holder.rank:
                return 0, 0.0
            return (1 if record.works else 2), 0.0

        return tuple(
            Step(option.name, self._head_start(option, known[option.name]))
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
        for row in rows if isinstance(rows, list) else ():
            if not (isinstance(row, list) and len(row) == 7):
                continue
            texts, numbers = row[:3], row[3:]
            if not all(type(text) is str for text in texts):
                continue
            if not all(type(one) in (int, float) and 0 <= one < 1e12 for one in numbers):
                continue
            worked, failed, failures, retry = numbers
            record = Record(
                min(worked, now), min(failed, now), int(failures), min(retry, now + self._longest)
            )
            self._put(Place(texts[0], texts[1]), texts[2], record)
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


@dataclass(frozen=True, slots=True)
class Wanted:
    """A connection is wanted."""


@dataclass(frozen=True, slots=True)
class Began:
    """The handshake over this path has begun; it may have waited for others before."""

    name: str


@dataclass(frozen=True, slots=True)
class Opened:
    """The connection over this path is open."""

    name: str


@dataclass(frozen=True, slots=True)
class Failed:
    """The handshake over this path failed."""

    name: str


@dataclass(frozen=True, slots=True)
class TimeCame:
    """The time of `Race.wakes_at` has come."""


Input = Wanted | Began | Opened | Failed | TimeCame


@dataclass(frozen=True, slots=True)
class Start:
    """Begin a handshake over this path."""

    name: str


@dataclass(frozen=True, slots=True)
class Abandon:
    """End the handshake over this path; `silent`: because it did not answer in time."""

    name: str
    silent: bool


@dataclass(frozen=True, slots=True)
class Take:
    """This is the connection."""

    name: str


@dataclass(frozen=True, slots=True)
class GiveUp:
    """No path is left."""


Output = Start | Abandon | Take | GiveUp


class Race:
    """One attempt to connect, over the steps in their order. After `Take` or `GiveUp` it is over
    and answers nothing any more."""

    def __init__(self, steps: Sequence[Step], settings: ChoiceSettings) -> None:
        self._waiting = list(steps)
        self._settings = settings
        self._running: dict[str, float | None] = {}
        self._next_at: float | None = None
        self._last: Step | None = None
        self._over = False

    @property
    def running(self) -> frozenset[str]:
        """Paths with a handshake under way."""
        return frozenset(self._running)

    @property
    def wakes_at(self) -> float | None:
        """When `TimeCame` is due; None: never."""
        if self._over or not self._others_wait:
            return None
        if self._waiting and len(self._running) < self._settings.race:
            return self._next_at
        begun = [time for time in self._running.values() if time is not None]
        return min(begun) + self._settings.patience if begun else None

    @property
    def _others_wait(self) -> bool:
        """Whether a path is left to be started, or waits for its turn."""
        return bool(self._waiting) or None in self._running.values()

    def handle(self, given: Input, now: float) -> list[Output]:
        """What is to be done."""
        if self._over:
            return []
        match given:
            case Began(name) if name in self._running:
                self._running[name] = now
                if self._last is not None and self._last.name == name:
                    self._next_at = now + self._last.head_start
            case Opened(name) if name in self._running:
                del self._running[name]
                others, self._over = list(self._running), True
                self._running.clear()
                return [Take(name), *(Abandon(one, False) for one in others)]
            case Failed(name):
                self._running.pop(name, None)
        return self._go_on(now)

    def _go_on(self, now: float) -> list[Output]:
        outputs: list[Output] = []
        crowded = not self._waiting or len(self._running) >= self._settings.race
        if self._others_wait and crowded:
            for name, began in list(self._running.items()):
                if began is not None and now >= began + self._settings.patience:
                    del self._running[name]
                    outputs.append(Abandon(name, True))
                    break
        full = len(self._running) >= self._settings.race
        due = self._next_at is not None and now >= self._next_at
        if self._waiting and not full and (due or not self._running):
            self._last = self._waiting.pop(0)
            self._running[self._last.name] = None
            self._next_at = None
            outputs.append(Start(self._last.name))
        if not self._running and not self._waiting:
            self._over = True
            outputs.append(GiveUp())
        return outputs
