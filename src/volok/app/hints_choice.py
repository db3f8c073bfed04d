"""When relays that contacts told us of are used, and which. Pure.

1. Only when there is a network and none of our own relays can be reached: each has failed, or has
   been silent for long, and that has lasted for `patience`.
2. A few are tried at once, in the order given. Who does not answer within `trial` makes room for
   the next; after the last, the first come again. While one works, no others are begun.
3. One that works stays until one of our own relays has been back for `back_for`.
4. Without a network nothing changes and no time counts.

Times are in seconds of any steady clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HintUseSettings:
    """When relays that contacts told us of are used. Times are in seconds."""

    patience: float = 8.0
    """How long all our own relays must have been out of reach."""
    silence: float = 45.0
    """A relay that has not answered for so long counts as out of reach, even if nothing failed."""
    trial: float = 20.0
    """What a relay that is tried has to answer."""
    at_once: int = 3
    """Relays that are tried or used at once."""
    back_for: float = 3600.0
    """How long one of our own relays must have been back before the others are left."""
    look_every: float = 1.0
    """Between two looks while our own relays seem to be gone."""
    look_later: float = 5.0
    """Between two looks while heard relays are used, or there is no network."""


@dataclass(frozen=True, slots=True)
class Reach:
    """How we stand with one relay."""

    connected: bool
    failed: bool
    """Whether the last attempt, or the last connection, came to a bad end."""


UNKNOWN = Reach(False, False)


@dataclass(frozen=True, slots=True)
class Choice:
    """What to do."""

    use: tuple[str, ...]
    """The heard relays to read at from now on."""
    over: bool = False
    """Whether our own relays are back for good, so that no heard one is needed."""


class HintChoice:
    """Decides, look by look."""

    def __init__(self, settings: HintUseSettings) -> None:
        self._settings = settings
        self._silent_since: float | None = None
        self._gone_since: float | None = None
        self._back_since: float | None = None
        self._began: dict[str, float] = {}
        self._tried: list[str] = []

    def decide(
        self,
        now: float,
        online: bool,
        own: Sequence[str],
        candidates: Sequence[str],
        used: Sequence[str],
        reach: Mapping[str, Reach],
    ) -> Choice:
        """`used` are the heard relays that we read at now; what is no candidate is left."""
        kept = tuple(url for url in used if url in candidates)
        if not online or not own:
            self._silent_since = self._gone_since = self._back_since = None
            self._began.clear()
            return Choice(kept)
        if any(reach.get(url, UNKNOWN).connected for url in own):
            self._silent_since = self._gone_since = None
            self._tried.clear()
            return self._while_back(now, kept)
        self._back_since = None
        if not self._is_due(now, own, reach):
            return Choice(kept)
        return Choice(self._next(now, candidates, kept, reach))

    def _while_back(self, now: float, kept: tuple[str, ...]) -> Choice:
        if self._back_since is None:
            self._back_since = now
        if kept and now - self._back_since >= self._settings.back_for:
            self._began.clear()
            return Choice((), over=True)
        return Choice(kept)

    def _is_due(self, now: float, own: Sequence[str], reach: Mapping[str, Reach]) -> bool:
        if self._silent_since is None:
            self._silent_since = now
        silent = now - self._silent_since >= self._settings.silence
        if not silent and not all(reach.get(url, UNKNOWN).failed for url in own):
            self._gone_since = None
            return False
        if self._gone_since is None:
            self._gone_since = now
        return now - self._gone_since >= self._settings.patience

    def _next(
        self,
        now: float,
        candidates: Sequence[str],
        kept: tuple[str, ...],
        reach: Mapping[str, Reach],
    ) -> tuple[str, ...]:
        working = [url for url in kept if reach.get(url, UNKNOWN).connected]
        for url in working:
            self._began[url] = now
        waiting = [
            url
            for url in kept
            if url not in working and now - self._began.setdefault(url, now) < self._settings.trial
        ]
        chosen = [*working, *waiting]
        if not working:
            for url in self._untried(candidates, chosen):
                if len(chosen) >= self._settings.at_once:
                    break
                chosen.append(url)
                self._began[url] = now
        self._tried += [url for url in chosen if url not in self._tried]
        self._began = {url: self._began[url] for url in chosen}
        return tuple(chosen)

    def _untried(self, candidates: Sequence[str], chosen: Sequence[str]) -> list[str]:
        left = [url for url in candidates if url not in self._tried and url not in chosen]
        if not left and not chosen:
            self._tried.clear()
            left = list(candidates)
        return left
