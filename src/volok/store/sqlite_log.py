"""Cutting the write-ahead log of a SQLite file so that what was erased is in no file any more.

After copying the log into the file, and before cutting the log, the gaps of all pages that the log
holds are zeroed in the file (`volok.store.sqlite_gaps`). A crash in between loses nothing: the log
is then still whole, and the next cut does it all again.

Most of a long log is copied by a thread before the cut (`volok.store.sqlite_ahead`), so that the
writer has little left to do.
"""

from __future__ import annotations

import fcntl
import os
import time
from functools import partial
from pathlib import Path

import apsw

from volok.store.sqlite_ahead import Ahead
from volok.store.sqlite_file import open_copier
from volok.store.sqlite_gaps import zero_gaps
from volok.store.store import StoreError

_PATIENCE = 5.0
_LOOK = 0.02
"""How long another writer may take to end, and how often that is looked at, in seconds."""


class Log:
    """The write-ahead log of one file; used by the thread of its one writer.

    An open descriptor of the main file is kept until `close`, which must come after all
    connections are closed: closing it earlier would drop SQLite's own locks (POSIX). The descriptor
    is locked (flock(2)), so that there is one writer at a time, whatever became of the last one's
    process.
    """

    def __init__(self, connection: apsw.Connection, path: Path, key: bytes | None) -> None:
        """`connection` is the writer's. In an encrypted file all that lies about is ciphertext; its
        pages are left alone. Raises StoreError when somebody else writes to it and does not end
        within some seconds."""
        self._connection = connection
        self._path = path.with_name(path.name + "-wal")
        self._file: int | None = _locked(path)
        self._encrypted = key is not None
        self._ahead = Ahead(self._path, partial(open_copier, path, key), self._tidy)
        self._log: int | None = None
        self.pages = 0
        """Pages in the log after the last commit."""
        connection.set_wal_hook(self._committed)

    def cut(self, shrink: bool = True) -> bool:
        """Begin the log anew; False when a reader that stays too long is in the way.

        With `shrink` the file is emptied, too; else what it holds stays there until it is written
        over, which is faster: for when nothing was erased. Raises apsw.Error, OSError.
        """
        tidy = self._ahead.finish()
        busy, frames, _ = self._checkpoint("FULL")
        if busy:
            return False
        self._tidy(tidy, frames)
        busy, _, _ = self._checkpoint("TRUNCATE" if shrink else "RESTART")
        if not busy:
            self.pages = 0
        return not busy

    def copy_ahead(self) -> bool:
        """See to it that most of the log is copied, beside the writer; whether that is done."""
        return self._ahead.copy()

    def sync(self) -> None:
        """Make durable what was committed before; any thread may call it. Raises OSError."""
        if self._log is None:  # the file is there from the first commit until all have closed
            self._log = os.open(self._path, os.O_RDONLY)
        os.fdatasync(self._log)

    def close(self) -> None:
        """Release what it holds."""
        self._ahead.close()
        for file in (self._file, self._log):
            if file is not None:
                os.close(file)
        self._file = self._log = None

    def _tidy(self, first: int, last: int) -> None:
        if self._file is not None and not self._encrypted:
            zero_gaps(self._file, self._path, first, last)

    def _committed(self, _connection: apsw.Connection, _schema: str, pages: int) -> int:
        self.pages = pages
        return apsw.SQLITE_OK

    def _checkpoint(self, mode: str) -> tuple[int, int, int]:
        ((busy, pages, done),) = self._connection.execute(f"PRAGMA wal_checkpoint({mode})")
        return busy, pages, done


def _locked(path: Path) -> int:
    file = os.open(path, os.O_RDWR)
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if not isinstance(error, BlockingIOError) or time.monotonic() >= deadline:
                os.close(file)
                raise StoreError from error
        else:
            return file
        time.sleep(_LOOK)
