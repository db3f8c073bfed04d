"""Following a log inside one process: followers read what is stored, then are woken by commits."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from volok.store.store import Entry, StoreError

CATCH_UP = 500
"""Entries that a follower reads from the log at once."""


class _Follower:
    def __init__(self, head: int) -> None:
        self.head = head
        """The newest stored entry when this follower last began to listen."""
        self.batches: deque[Sequence[Entry]] = deque()
        self.waiting = 0
        self.woken = asyncio.Event()


class Tail:
    """The live end of one store's log. Belongs to one event loop."""

    def __init__(self, head: int, backlog: int) -> None:
        """`head`: see `Store.head`. `backlog`: entries kept in memory for a follower that does not
        keep up; past these it reads the log again, and misses the ephemeral events in between."""
        self.head = head
        self._backlog = backlog
        self._followers: set[_Follower] = set()
        self._closed = False

    def publish(self, entries: Sequence[Entry], head: int) -> None:
        """Hand newly numbered entries to all followers, once they are durable."""
        self.head = head
        if not entries:
            return
        for follower in self._followers:
            follower.waiting += len(entries)
            if follower.waiting > self._backlog:
                follower.batches.clear()
            else:
                follower.batches.append(entries)
            follower.woken.set()

    def close(self) -> None:
        """Wake all followers with StoreError."""
        self._closed = True
        for follower in self._followers:
            follower.woken.set()

    async def follow(
        self, after: int, read: Callable[[int, int], Awaitable[list[Entry]]]
    ) -> AsyncIterator[Sequence[Entry]]:
        """See `Store.follow`; `read(after, limit)` gives stored entries in order of numbers."""
        follower = _Follower(self.head)
        self._followers.add(follower)
        try:
            while True:
                while after < follower.head:
                    stored = await read(after, CATCH_UP)
                    # What is newer also comes as a batch, and only there with ephemeral events.
                    known = [entry for entry in stored if entry.number <= follower.head]
                    if not known:
                        break
                    after = known[-1].number
                    yield known
                follower.head = 0
                while follower.waiting <= self._backlog:
                    if not follower.batches:
                        follower.woken.clear()
                        if self._closed:
                            raise StoreError
                        await follower.woken.wait()
                        continue
                    # All that waits at once: whoever is behind does more at a time.
                    batch = [entry for entries in follower.batches for entry in entries]
                    follower.batches.clear()
                    follower.waiting -= len(batch)
                    # A follower may have begun past the end of the log.
                    fresh = [entry for entry in batch if entry.number > after]
                    if fresh:
                        after = fresh[-1].number
                        yield fresh
                follower.head, follower.waiting = self.head, 0
                follower.batches.clear()
        finally:
            self._followers.discard(follower)
