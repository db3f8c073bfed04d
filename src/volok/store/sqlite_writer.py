"""Changing a SqliteStore: whoever runs this commits what waits, together.

While one commit syncs to the disk, the next group gathers; so the more callers there are, the fewer
syncs each costs. Whoever waits hears of the outcome only after the commit. After a quiet time, the
words of what came in are put into the index of words, a few at a time with pauses between, in which
others have the machine.
"""

from __future__ import annotations

import contextlib
import math
import time
from pathlib import Path

import apsw

from volok.store.sqlite_changes import Callers, Job, carry_out, events_in
from volok.store.sqlite_file import PAGE_BYTES, SqliteOptions, open_writer, store_errors
from volok.store.sqlite_ledger import SqliteLedger
from volok.store.sqlite_log import Log
from volok.store.sqlite_migration import migrate
from volok.store.sqlite_sync import Commit, Syncing
from volok.store.store import Entry, StoreError

_REST = 3.0
_BUSY_REST = 10.0
"""How much longer than words were taken nothing is done then, and while writes go on."""


class Writer:
    """Owns the writing connection, and closes it. Belongs to the thread that calls `run`."""

    def __init__(self, connection: apsw.Connection, log: Log, options: SqliteOptions) -> None:
        """Use `open`. Raises StoreError."""
        self._connection = connection
        self._log = log
        self._options = options
        with store_errors():
            self._ledger = SqliteLedger(connection)
        self._erased_at: float | None = time.monotonic()
        """When the first thing was erased that may still be in a file; as an earlier run may have
        left it."""
        self._all_words = False
        self._words_at = time.monotonic()
        """When words may be taken, if nobody writes until then."""
        self._words_by = self._words_at + options.words_longest_seconds
        """When words are taken whoever writes."""

    @classmethod
    def open(cls, path: Path, key: bytes | None, options: SqliteOptions) -> Writer:
        """Open the file for writing, and bring it up to date, which may take minutes.

        Waits some seconds for whoever else writes to it. Raises StoreFull, StoreError.
        """
        with contextlib.ExitStack() as stack:
            connection = open_writer(path, key, options)
            stack.callback(connection.close)
            log = Log(connection, path, key)
            stack.callback(log.close)
            migrate(connection)
            writer = cls(connection, log, options)
            stack.pop_all()
            return writer

    @property
    def head(self) -> int:
        """The number of the newest stored entry."""
        return self._ledger.head

    def run(self, callers: Callers) -> None:
        """Work until there are no callers any more; then empty the log and close."""
        open_, syncing = True, Syncing(self._log.sync, callers)
        while open_:
            jobs, open_ = callers.gather(self._options.group_events, self._patience)
            if syncing.has_failed:
                # What the log may lack is in the pages that a cut copies and syncs.
                syncing.has_failed = not self._cut()
            if jobs:
                self._commit(jobs, callers, syncing)
            if open_ and self._words_wait == 0:
                self._take_words()
            if self._must_erase(jobs):
                self._cut()
            elif self._is_long:
                self._cut(shrink=self._erased_at is not None)
        syncing.close()
        self._cut()
        self._connection.close()
        self._log.close()

    @property
    def _is_long(self) -> bool:
        """Whether the log is to be cut now, most of it having been copied, or for its length."""
        size, limit = self._log.pages * PAGE_BYTES, self._options.log_bytes
        return size >= limit and (self._log.copy_ahead() or size >= 2 * limit)

    def _must_erase(self, jobs: list[Job]) -> bool:
        if self._erased_at is None:
            return False
        waited = time.monotonic() - self._erased_at
        quiet = not jobs and self._all_words
        return waited >= (self._options.quiet_seconds if quiet else self._options.longest_seconds)

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

    def _commit(self, jobs: list[Job], callers: Callers, syncing: Syncing) -> None:
        try:
            with store_errors():
                fresh = self._transact(jobs)
        except Exception as error:
            failure = error if isinstance(error, StoreError) else StoreError()
            failure.__cause__ = error
            callers.failed(jobs, failure)
            return
        if self._ledger.erased and self._erased_at is None:
            self._erased_at = time.monotonic()
        self._words_at = time.monotonic() + self._options.words_seconds
        if self._all_words:
            self._words_by = time.monotonic() + self._options.words_longest_seconds
        self._all_words = False
        cutting = [job for job in jobs if job.change.cuts]
        uncut = cutting if cutting and not self._cut() else []
        syncing.put(Commit([job for job in jobs if job not in uncut], fresh, self.head))
        if uncut:
            callers.failed(uncut, StoreError())

    def _transact(self, jobs: list[Job]) -> list[Entry]:
        self._ledger.begin()
        try:
            self._ledger.expect([event for job in jobs for event in events_in(job)])
            for job in jobs:
                job.result = carry_out(job.change, self._ledger)
            return self._ledger.commit()
        except BaseException:
            self._ledger.roll_back()
            raise

    def _cut(self, shrink: bool = True) -> bool:
        try:
            done = self._log.cut(shrink)
        except (apsw.Error, OSError):
            # Everything acknowledged is in the log, and the next cut tries again.
            return False
        if done:
            self._erased_at = None
        return done
