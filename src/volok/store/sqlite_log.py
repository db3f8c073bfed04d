"""Cutting the write-ahead log of a SQLite file so that what was erased is in no file any more.

SQLite's secure_delete zeroes a row where it lies. But when SQLite moves rows between pages it
leaves the old copies behind, in the unallocated gap of a page between its cell pointers and its
cells (https://sqlite.org/fileformat2.html#b_tree_pages); such a copy outlives the row. So after
copying the log into the file, and before cutting the log, the gaps of all pages that the log holds
are zeroed in the file. SQLite never reads a gap, so this needs no lock, and a crash in between
loses nothing: the log is then still whole, and the next cut does it all again.
"""

from __future__ import annotations

import fcntl
import os
import struct
import time
from pathlib import Path

import apsw

from volok.store.sqlite_file import PAGE_BYTES
from volok.store.store import StoreError

_LOG_HEADER = 32
_FRAME_HEADER = 24
_FRAME_BYTES = _FRAME_HEADER + PAGE_BYTES
_FRAME_PAGE = f"I{_FRAME_BYTES - 4}x"
"""The number of its page, with which a frame begins, and the rest of it."""
_FRAMES_AT_ONCE = 512
_ZEROS = bytes(PAGE_BYTES)
_PATIENCE = 5.0
_LOOK = 0.02
"""How long another writer may take to end, and how often that is looked at, in seconds."""
_LEAVES = (10, 13)
_INTERIORS = (2, 5)


class Log:
    """The write-ahead log of one file; used by the thread of its one writer.

    An open descriptor of the main file is kept until `close`, which must come after all
    connections are closed: closing it earlier would drop SQLite's own locks (POSIX). The descriptor
    is locked (flock(2)), so that there is one writer at a time, whatever became of the last one's
    process.
    """

    def __init__(self, connection: apsw.Connection, path: Path, encrypted: bool) -> None:
        """In an encrypted file all that lies about is ciphertext; its pages are left alone. Raises
        StoreError when somebody else writes to it and does not end within some seconds."""
        self._connection = connection
        self._path = path.with_name(path.name + "-wal")
        self._file: int | None = _locked(path)
        self._encrypted = encrypted
        self._log: int | None = None
        self.pages = 0
        """Pages in the log after the last commit."""
        connection.set_wal_hook(self._committed)

    def cut(self, shrink: bool = True) -> bool:
        """Begin the log anew; False when a reader that stays too long is in the way.

        With `shrink` the file is emptied, too; else what it holds stays there until it is written
        over, which is faster: for when nothing was erased. Raises apsw.Error, OSError.
        """
        busy, frames, _ = self._checkpoint("FULL")
        if busy:
            return False
        if self._file is not None and not self._encrypted:
            self._zero_gaps(self._file, frames)
        busy, _, _ = self._checkpoint("TRUNCATE" if shrink else "RESTART")
        if not busy:
            self.pages = 0
        return not busy

    def sync(self) -> None:
        """Make durable what was committed before; any thread may call it. Raises OSError."""
        if self._log is None:  # the file is there from the first commit until all have closed
            self._log = os.open(self._path, os.O_RDONLY)
        os.fdatasync(self._log)

    def close(self) -> None:
        """Release the descriptors."""
        for file in (self._file, self._log):
            if file is not None:
                os.close(file)
        self._file = self._log = None

    def _committed(self, _connection: apsw.Connection, _schema: str, pages: int) -> int:
        self.pages = pages
        return apsw.SQLITE_OK

    def _checkpoint(self, mode: str) -> tuple[int, int, int]:
        ((busy, pages, done),) = self._connection.execute(f"PRAGMA wal_checkpoint({mode})")
        return busy, pages, done

    def _zero_gaps(self, file: int, frames: int) -> None:
        changed = False
        for page in self._untidy_pages(frames):
            start = (page - 1) * PAGE_BYTES
            image = os.pread(file, PAGE_BYTES, start)
            first, last = _gap(image, 100 if page == 1 else 0)
            if image[first:last] != _ZEROS[first:last]:
                os.pwrite(file, bytes(last - first), start + first)
                changed = True
        if changed:
            os.fsync(file)

    def _untidy_pages(self, frames: int) -> list[int]:
        """The pages with anything in their gaps, by their last images among the first `frames` of
        the log: few of all, and to read the log in one go is much cheaper than page by page."""
        seen: set[int] = set()
        untidy: list[int] = []
        try:
            log = os.open(self._path, os.O_RDONLY)
        except FileNotFoundError:
            return []
        try:
            for start in reversed(range(0, frames, _FRAMES_AT_ONCE)):
                some = min(frames - start, _FRAMES_AT_ONCE)
                data = os.pread(log, some * _FRAME_BYTES, _LOG_HEADER + start * _FRAME_BYTES)
                some = len(data) // _FRAME_BYTES
                pages = struct.unpack_from(f">{_FRAME_PAGE * some}", data)
                for place in reversed(range(some)):
                    page = pages[place]
                    if page in seen:
                        continue
                    seen.add(page)
                    offset = place * _FRAME_BYTES + _FRAME_HEADER
                    image = data[offset : offset + PAGE_BYTES]
                    first, last = _gap(image, 100 if page == 1 else 0)
                    if image[first:last] != _ZEROS[first:last]:
                        untidy.append(page)
        finally:
            os.close(log)
        return untidy


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


def _gap(image: bytes, header: int) -> tuple[int, int]:
    """The unallocated bytes of a b-tree page; (0, 0) for pages of other types.

    An overflow or free page begins with a page number, so that its first byte could be taken for
    a type only in a file past 2**25 pages (128 GiB).
    """
    if len(image) != PAGE_BYTES or image[header] not in _LEAVES + _INTERIORS:
        return 0, 0
    cells, content = struct.unpack_from(">HH", image, header + 3)
    first = header + (8 if image[header] in _LEAVES else 12) + 2 * cells
    return (first, content) if first <= content <= PAGE_BYTES else (0, 0)
