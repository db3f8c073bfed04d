"""The one thread that changes a SqliteStore: it commits what waits, together.

While one commit syncs to the disk, the next group gathers in the queue; so the more callers there
are, the fewer syncs each costs. Whoever waits hears of the outcome only after the commit. After a
quiet time, the words of what came in are put into the index of words, a few at a time with pauses
between, in which others have the machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import queue
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import Thread
from typing import Any, TypeVar

import apsw

from volok.model.event import Event
from volok.store.sqlite_file import PAGE_BYTES, SqliteOptions, store_errors
from volok.store.sqlite_ledger import SqliteLedger
from volok.store.sqlite_log import Log
from volok.store.store import Entry, StoreError

T = TypeVar("T")

_REST = 3.0
_BUSY_REST = 10.0
"""How much longer than words were taken nothing is done then, and while writes go on."""

Publish = Callable[[Sequence[Entry], int], None]
"""Called on the event loop after a commit, with what is new and the head."""


@dataclass(slots=True)
class _Job:
    """A piece of work that waits for its commit."""

    work: Callable[[SqliteLedger], Any]
    events: Sequence[Event]
    """What the work will offer to the ledger, so that it can be looked up for all at once."""
    cut: bool
    """Whether the log must be cut before this job is done."""
    future: asyncio.Future[Any]
    result: Any = field(default=None, init=False)


class Writer:
    """Owns the writing connection. Made on the event loop that the store is used from."""

    def __init__(
        self,
        connection: apsw.Connection,
        log: Log,
        publish: Publish,
        options: SqliteOptions,
    ) -> None:
        """Raises StoreError."""
        self._connection = connection
        self._log = log
        self._publish = publish
        self._options = options
        with store_errors():
            self._ledger = SqliteLedger(connection)
        self.head = self._ledger.head
        """The head that was found."""
        self._erased_at: float | None = time.monotonic()
        """When the first thing was erased that may still be in a file; as an earlier run may have
        left it."""
        self._all_words = False
        self._words_at = time.monotonic()
        """When words may be taken, if nobody writes until then."""
        self._words_by = self._words_at + options.words_longest_seconds
        """When words are taken whoever writes."""
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = Thread(target=self._run, name="volok-store-writer", daemon=True)
        self._thread.start()

    async def run(
        self,
        work: Callable[[SqliteLedger], T],
        events: Sequence[Event] = (),
        cut: bool = False,
    ) -> T:
        """Run `work` inside a transaction; durable on return. Raises StoreFull, StoreError.

        With `cut`, nothing erased so far is left in any file on return.
        """
        future: asyncio.Future[T] = self._loop.create_future()
        self._queue.put(_Job(work, events, cut, future))
        return await future

    async def close(self) -> None:
        """Finish what waits, empty the log and close the connection."""
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        open_ = True
        while open_:
            jobs, open_ = self._gather()
            if jobs:
                self._commit(jobs)
            if open_ and self._words_wait == 0:
                self._take_words()
            if self._log.pages * PAGE_BYTES >= self._options.log_bytes or self._must_erase(jobs):
                self._cut()
        self._cut()
        self._connection.close()
        self._log.close()

    def _must_erase(self, jobs: list[_Job]) -> bool:
        if self._erased_at is None:
            return False
        waited = time.monotonic() - self._erased_at
        quiet = not jobs and self._all_words
        return waited >= (self._options.quiet_seconds if quiet else self._options.longest_seconds)

    def _gather(self) -> tuple[list[_Job], bool]:
        """The jobs of the next commit, and whether there will be more. Empty after a quiet time."""
        jobs: list[_Job] = []
        events = 0
        with contextlib.suppress(queue.Empty):
            job = self._queue.get(timeout=self._patience)
            while job is not None:
                jobs.append(job)
                events += len(job.events)
                if events >= self._options.group_events:
                    break
                job = self._queue.get_nowait()
            return jobs, job is not None
        return jobs, True

    @property
    def _patience(self) -> float | None:
        """Seconds to wait for a job before there is something else to do."""
        waits = [] if self._all_words else [self._words_wait]
        if self._erased_at is not None:
            waits.append(self._options.quiet_seconds)
        return min(waits, default=None)

    @property
    def _words_wait(self) -> float:
        """Seconds until words may be taken."""
        if self._all_words:
            return math.inf
        return max(0.0, min(self._words_at, self._words_by) - time.monotonic())

    def _take_words(self) -> None:
        began = time.monotonic()
        try:
            with store_errors():
                self._all_words = not self._ledger.take_words()
        except StoreError:
            # A full disk, most likely: there is another try when something was added or erased.
            self._all_words = True
        ended = time.monotonic()
        self._words_at = ended + _REST * (ended - began)
        self._words_by = max(self._words_by, ended + _BUSY_REST * (ended - began))

    def _commit(self, jobs: list[_Job]) -> None:
        try:
            with store_errors():
                fresh = self._transact(jobs)
        except Exception as error:
            failure = error if isinstance(error, StoreError) else StoreError()
            failure.__cause__ = error
            self._on_loop(self._fail, jobs, failure)
            return
        if self._ledger.erased and self._erased_at is None:
            self._erased_at = time.monotonic()
        self._words_at = time.monotonic() + self._options.words_seconds
        if self._all_words:
            self._words_by = time.monotonic() + self._options.words_longest_seconds
        self._all_words = False
        uncut = [job for job in jobs if job.cut] if not self._cut_for(jobs) else []
        self._on_loop(self._finish, [job for job in jobs if job not in uncut], fresh)
        self._on_loop(self._fail, uncut, StoreError())

    def _transact(self, jobs: list[_Job]) -> list[Entry]:
        self._ledger.begin()
        try:
            self._ledger.expect([event for job in jobs for event in job.events])
            for job in jobs:
                job.result = job.work(self._ledger)
            return self._ledger.commit()
        except BaseException:
            self._ledger.roll_back()
            raise

    def _cut_for(self, jobs: list[_Job]) -> bool:
        return self._cut() if any(job.cut for job in jobs) else True

    def _cut(self) -> bool:
        try:
            done = self._log.cut()
        except (apsw.Error, OSError):
            # Everything acknowledged is in the log, and the next cut tries again.
            return False
        if done:
            self._erased_at = None
        return done

    def _on_loop(self, call: Callable[..., None], *arguments: object) -> None:
        # A loop that was closed has nobody left who waits.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(call, *arguments)

    def _finish(self, jobs: list[_Job], fresh: list[Entry]) -> None:
        self._publish(fresh, self._ledger.head)
        for job in jobs:
            if not job.future.done():
                job.future.set_result(job.result)

    def _fail(self, jobs: list[_Job], error: StoreError) -> None:
        for job in jobs:
            if not job.future.done():
                job.future.set_exception(error)
