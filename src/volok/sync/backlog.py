"""Reading everything that a relay holds for some inboxes, page by page. Pure.

1. Relays give the newest first and cap an answer at a limit that they do not tell: for each
   filter, or for all filters of a request together.
2. The next page of an inbox ends where the last one stopped. NIP-01 makes `until` inclusive, some
   relays exclude it; so one second is always asked for twice.
3. An inbox is read in full when a page brings less than half of what the relay has shown that it
   can give at once, or nothing. Half, because new events may be among those of the first page.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(slots=True)
class _Reading:
    since: int
    until: int | None = None
    count: int = 0
    oldest: int | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a reading had come when its connection was renewed; another one goes on there."""

    began: int
    """Unix seconds at which the reading began."""
    until: Mapping[str, int | None] = field(default_factory=dict)
    """For each inbox that is not read in full where to go on; None: from its newest event."""
    done: frozenset[str] = frozenset()
    """The inboxes that were read in full."""

    def covers(self, inboxes: Iterable[str]) -> bool:
        """Whether it tells of all these inboxes."""
        return all(inbox in self.done or inbox in self.until for inbox in inboxes)


class Backlog:
    """How far some inboxes were read. `inboxes` gives for each the Unix time to begin at;
    `progress` what was read before."""

    def __init__(self, inboxes: Mapping[str, int], progress: Progress | None = None) -> None:
        known = progress or Progress(0)
        self._open = {
            inbox: _Reading(since, known.until.get(inbox))
            for inbox, since in inboxes.items()
            if inbox not in known.done
        }
        self._largest = 0
        self._largest_total = 0

    @property
    def pages(self) -> dict[str, tuple[int, int | None]]:
        """What the next request asks for: inbox to (since, until). Empty: all is read."""
        return {inbox: (one.since, one.until) for inbox, one in self._open.items()}

    @property
    def reached(self) -> dict[str, int | None]:
        """For each inbox that is not read in full the time to go on from, in the middle of a page:
        relays give the newest first."""
        return {
            inbox: one.until if one.oldest is None else _below(one)
            for inbox, one in self._open.items()
        }

    def took(self, inbox: str, created_at: int) -> None:
        """An event of the current page came."""
        one = self._open.get(inbox)
        if one is not None:
            one.count += 1
            one.oldest = created_at if one.oldest is None else min(one.oldest, created_at)

    def page_ended(self) -> None:
        """The relay has given all that it gives of this page (EOSE)."""
        total = sum(one.count for one in self._open.values())
        self._largest_total = max(self._largest_total, total)
        self._largest = max([self._largest, *(one.count for one in self._open.values())])
        whole = 2 * total <= self._largest_total
        for inbox, one in list(self._open.items()):
            if total == 0 or (whole and 2 * one.count <= self._largest):
                del self._open[inbox]
                continue
            if one.oldest is not None:
                one.until = _below(one)
            one.count, one.oldest = 0, None
            if one.until is not None and one.until < one.since:
                del self._open[inbox]


def _below(one: _Reading) -> int | None:
    if one.oldest is None:
        return one.until
    reached = one.oldest + 1
    # A page that goes no further holds a single second; the way on is past it.
    return reached if one.until is None else min(reached, one.until - 1)
