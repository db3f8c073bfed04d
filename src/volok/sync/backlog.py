"""Reading everything that a relay holds for some inboxes, page by page. Pure.

1. Relays give the newest first and cap an answer at a limit that they do not tell: for each
   filter, or for all filters of a request together.
2. The next page of an inbox ends where the last one stopped. NIP-01 makes `until` inclusive, some
   relays exclude it; so one second is always asked for twice.
3. An inbox is read in full when a page brings less than half of what the relay has shown that it
   can give at once, or nothing. Half, because new events may be among those of the first page.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(slots=True)
class _Reading:
    since: int
    until: int | None = None
    count: int = 0
    oldest: int | None = None


class Backlog:
    """How far some inboxes were read. `inboxes` gives for each the Unix time to begin at."""

    def __init__(self, inboxes: Mapping[str, int]) -> None:
        self._open = {inbox: _Reading(since) for inbox, since in inboxes.items()}
        self._largest = 0
        self._largest_total = 0

    @property
    def pages(self) -> dict[str, tuple[int, int | None]]:
        """What the next request asks for: inbox to (since, until). Empty: all is read."""
        return {inbox: (one.since, one.until) for inbox, one in self._open.items()}

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
                reached = one.oldest + 1
                # A page that goes no further holds a single second; the way on is past it.
                one.until = reached if one.until is None else min(reached, one.until - 1)
            one.count, one.oldest = 0, None
            if one.until is not None and one.until < one.since:
                del self._open[inbox]
