"""Making commits durable while the next ones are being made.

SQLite itself would sync its log inside each commit (`synchronous=FULL`) and do nothing else
meanwhile. Here it only writes the log, a thread syncs what was written since it last did, and only
then is anybody told. A crash in between loses commits that nobody heard of, from the end.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Semaphore, Thread

from volok.store.sqlite_changes import Callers, Job
from volok.store.store import Entry, StoreError

_AHEAD = 2
"""Commits that may be in the log and not durable; more would each be smaller."""
_FEW = 16
"""Events of a commit for which the thread is not woken when it has nothing to do."""


@dataclass(frozen=True, slots=True)
class Commit:
    """What one commit did."""

    jobs: Sequence[Job]
    fresh: Sequence[Entry]
    head: int


class Syncing:
    """A thread that syncs a log. `put` and `close` belong to one other thread."""

    def __init__(self, sync: Callable[[], None], callers: Callers) -> None:
        """`sync` makes durable what was committed before; may raise OSError."""
        self.has_failed = False
        """Whether commits may be missing on the disk; whoever has made up for it says False. Until
        then all are refused: what stands in the log behind a gap is lost with it."""
        self._sync = sync
        self._callers = callers
        self._put = self._told = 0
        """How many commits the other thread put and the thread dealt with."""
        self._room = Semaphore(_AHEAD)
        self._queue: queue.SimpleQueue[Commit | None] = queue.SimpleQueue()
        self._thread = Thread(target=self._run, name="volok-store-sync", daemon=True)
        self._thread.start()

    def put(self, commit: Commit) -> None:
        """Tell the callers of a commit once it is durable. Waits while too many are not."""
        if len(commit.fresh) <= _FEW and self._told == self._put:
            self._tell(commit)  # sooner than another thread wakes up
            return
        self._room.acquire()
        self._put += 1
        self._queue.put(commit)

    def close(self) -> None:
        """Finish what waits."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (commit := self._queue.get()) is not None:
            self._tell(commit)
            self._told += 1
            self._room.release()

    def _tell(self, commit: Commit) -> None:
        if self._is_durable():
            self._callers.done(commit.jobs, commit.fresh, commit.head)
        else:
            self._callers.failed(commit.jobs, StoreError())

    def _is_durable(self) -> bool:
        if not self.has_failed:
            try:
                self._sync()
            except OSError:
                self.has_failed = True
        return not self.has_failed
