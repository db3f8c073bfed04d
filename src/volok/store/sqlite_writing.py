"""Changing a SqliteStore from an event loop, wherever its writer runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from volok.store.sqlite_changes import Change
from volok.store.store import Entry

Publish = Callable[[Sequence[Entry], int], None]
"""Called after a commit, before whoever waits for it hears, with what is new and the head."""
CatchUp = Callable[[int], Awaitable[None]]
"""Called with the head, before anything newer is published: some entries up to it may have been
committed without that anybody heard of them."""


class Writing(Protocol):
    """The writer of one store. Belongs to the event loop that opened it."""

    head: int
    """The number of the newest stored entry when it was opened."""

    def start(self, publish: Publish, catch_up: CatchUp) -> None:
        """Say who is told of commits, before the first `run`."""

    async def run(self, change: Change) -> Any:
        """Make a change; durable on return. Gives what the change gives. Raises StoreFull,
        StoreError."""

    async def close(self) -> None:
        """Finish what waits, empty the log and close the file."""
