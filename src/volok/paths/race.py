"""One attempt to connect over several paths, in the order that `volok.paths.choice` gives. Pure.

Few are tried at once. The next one starts when all before it failed or had their head start; a
silent one is let go when others wait.

Inputs are named in the past tense, outputs in the imperative. The clock is any steady one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from volok.paths.choice import ChoiceSettings, Step


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
        self._patience = {step.name: step.patience for step in steps}
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
        return min(self._limits.values(), default=None)

    @property
    def _limits(self) -> dict[str, float]:
        """When each handshake that has begun may be given up."""
        begun = {name: at for name, at in self._running.items() if at is not None}
        return {name: at + self._patience[name] for name, at in begun.items()}

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
            for name, limit in self._limits.items():
                if now >= limit:
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
