"""The one thread that changes a SqliteStore: it commits what waits, together.

While one commit syncs to the disk, the next group gathers in the queue; so the more callers there
are, the fewer syncs each costs. Whoever waits hears of the outcome only after the commit.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
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
        self._erased = True  # what an earlier run erased may still be in its log
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
            if self._log.pages * PAGE_BYTES >= self._options.log_bytes or (
                self._erased and not jobs
            ):
                self._cut()
        self._cut()
        self._connection.close()
        self._log.close()

    def _gather(self) -> tuple[list[_Job], bool]:
        """The jobs of the next commit, and whether there will be more. Empty after a quiet time."""
        jobs: list[_Job] = []
        events = 0
        with contextlib.suppress(queue.Empty):
            job = self._queue.get(timeout=self._options.quiet_seconds if self._erased else None)
            while job is not None:
                jobs.append(job)
                events += len(job.events)
                if events >= self._options.group_events:
                    break
                job = self._queue.get_nowait()
            return jobs, job is not None
        return jobs, True

    def _commit(self, jobs: list[_Job]) -> None:
        try:
            with store_errors():
                fresh = self._transact(jobs)
        except Exception as error:
            failure = error if isinstance(error, StoreError) else StoreError()
            failure.__cause__ = error
            self._on_loop(self._fail, jobs, failure)
            return
        self._erased = self._erased or self._ledger.erased
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
        self._erased = self._erased and not done
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
