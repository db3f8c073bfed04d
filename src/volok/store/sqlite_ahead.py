"""Copying the write-ahead log into its file beside the writer, before the log is cut.

A cut keeps the writer for as long as copying and syncing take. Here a thread copies what the log
holds when it begins, and the cut that follows has only the rest to do.

SQLite begins a log anew by itself, at the next commit, once all of it was copied and nobody reads
it; then the gaps of its pages (`volok.store.sqlite_gaps`) could not be found any more. A reader
that stays from before the copying until the cut prevents that. Where all was copied before already,
it does not, and need not: then the cut sees by the salts of the log that it is another one.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import apsw

from volok.store.store import StoreError

_READ = "BEGIN; SELECT head FROM numbers"
_SALTS, _SALT_BYTES = 16, 8
"""Where the header of a log has them (https://sqlite.org/fileformat2.html#the_wal_file)."""


class Ahead:
    """Copies one log. Belongs to the thread of the writer, but for what its own thread does."""

    def __init__(
        self,
        log: Path,
        connect: Callable[[], apsw.Connection],
        tidy: Callable[[int, int], None],
    ) -> None:
        """`log` is where the log is, once it is there. `connect` opens the file once more; may
        raise StoreError. `tidy` zeroes the gaps of the pages in frames from the first to the
        second, exclusive; may raise OSError."""
        self._log = log
        self._connect = connect
        self._tidy = tidy
        self._pool = ThreadPoolExecutor(1, "volok-store-copy")
        self._reader: apsw.Connection | None = None
        self._copier: apsw.Connection | None = None
        self._copying: Future[tuple[int, bytes]] | None = None

    def copy(self) -> bool:
        """Begin, unless that was done since the last `finish`; whether the thread has ended."""
        if self._copying is None:
            self._copying = self._pool.submit(self._copy)
        return self._copying.done()

    def finish(self) -> int:
        """Wait for the thread and let go of the log: at once, the writer does the rest.

        Returns how many frames from the first one are copied and tidy.
        """
        frames = 0
        if self._copying is not None:
            with contextlib.suppress(apsw.Error, OSError, StoreError):
                copied, salts = self._copying.result()
                frames = copied if salts == self._salts() else 0
            self._copying = None
        if self._reader is not None and self._reader.in_transaction:
            self._reader.execute("ROLLBACK")
        return frames

    def close(self) -> None:
        """Release what it holds."""
        self.finish()
        self._pool.shutdown()
        for connection in (self._reader, self._copier):
            if connection is not None:
                connection.close()
        self._reader = self._copier = None

    def _copy(self) -> tuple[int, bytes]:
        if self._reader is None:
            self._reader = self._connect()
        if self._copier is None:
            self._copier = self._connect()
        salts = self._salts()
        self._reader.execute(_READ).fetchall()
        ((_, _, frames),) = self._copier.execute("PRAGMA wal_checkpoint(PASSIVE)")
        self._tidy(0, frames)
        return frames, salts

    def _salts(self) -> bytes:
        with self._log.open("rb") as file:
            return os.pread(file.fileno(), _SALT_BYTES, _SALTS)
