"""A queue in which sources take turns, so that who brings one thing does not wait behind who brings
thousands. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

T = TypeVar("T")

SUSPECTS = 8
"""A source that brought something bad gets, together with all such, one place in so many while
others wait."""


class _Line(Generic[T]):
    """What one source has brought."""

    __slots__ = ("is_suspect", "items")

    def __init__(self) -> None:
        self.items: deque[T] = deque()
        self.is_suspect = False


class Turns(Generic[T]):
    """Items of many sources: those of one source in order, the sources in turn."""

    def __init__(self) -> None:
        self._lines: dict[Hashable, _Line[T]] = {}
        """Only of sources that have something waiting."""
        self._turns: deque[Hashable] = deque()
        self._suspects: deque[Hashable] = deque()
        self._count = 0

    def __len__(self) -> int:
        """How many items wait."""
        return self._count

    def put(self, source: Hashable, item: T) -> None:
        """Queue an item behind those of the same source."""
        line = self._lines.get(source)
        if line is None:
            line = self._lines[source] = _Line()
            self._turns.append(source)
        line.items.append(item)
        self._count += 1

    def take(self, most: int) -> list[tuple[Hashable, T]]:
        """The next items, at most so many, each with its source."""
        taken: list[tuple[Hashable, T]] = []
        while len(taken) < most and (self._turns or self._suspects):
            theirs = self._suspects and (not self._turns or len(taken) % SUSPECTS == SUSPECTS - 1)
            source = (self._suspects if theirs else self._turns).popleft()
            line = self._lines[source]
            taken.append((source, line.items.popleft()))
            if line.items:
                (self._suspects if line.is_suspect else self._turns).append(source)
            else:
                del self._lines[source]
        self._count -= len(taken)
        return taken

    def judge(self, source: Hashable, is_suspect: bool) -> None:
        """Say whether the last item of a source was bad. Forgotten when nothing of it waits."""
        line = self._lines.get(source)
        if line is not None:
            line.is_suspect = is_suspect
