"""How long to wait before the next attempt. Pure."""

from __future__ import annotations

from collections.abc import Sequence


class Backoff:
    """Waits that grow: those of `first` in turn, then each twice the one before, up to `longest`.

    Jitter takes off up to half, so that a thousand nodes do not come back in the same instant.
    """

    def __init__(self, first: Sequence[float], longest: float) -> None:
        self._first = tuple(first)
        self._longest = longest
        self._attempts = 0

    def wait(self, chance: float) -> float:
        """The next wait in seconds; `chance` is random in [0, 1)."""
        past = self._attempts - len(self._first) + 1
        index = min(self._attempts, len(self._first) - 1)
        # Beyond 2**32 no float arithmetic is needed to know that the longest wait applies.
        seconds = self._first[index] * 2.0 ** min(max(past, 0), 32)
        self._attempts += 1
        return min(seconds, self._longest) * (1.0 - chance / 2)

    def reset(self) -> None:
        """Begin anew after a success."""
        self._attempts = 0
