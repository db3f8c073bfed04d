"""The unallocated gaps of pages, in which SQLite leaves copies of rows behind.

SQLite's secure_delete zeroes a row where it lies. But when SQLite moves rows between pages it
leaves the old copies in the gap of a page between its cell pointers and its cells
(https://sqlite.org/fileformat2.html#b_tree_pages); such a copy outlives the row. SQLite never
reads a gap, so that zeroing it needs no lock.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

from volok.store.sqlite_file import PAGE_BYTES

_LOG_HEADER = 32
_FRAME_HEADER = 24
_FRAME_BYTES = _FRAME_HEADER + PAGE_BYTES
_FRAME_PAGE = f"I{_FRAME_BYTES - 4}x"
"""The number of its page, with which a frame begins, and the rest of it."""
_FRAMES_AT_ONCE = 512
_ZEROS = bytes(PAGE_BYTES)
_LEAVES = (10, 13)
_INTERIORS = (2, 5)


def zero_gaps(file: int, log: Path, first: int, last: int) -> None:
    """Zero the gaps of the pages that stand in the frames `first` to `last` (exclusive) of the
    log, after these were copied into the file; durable when this returns. Raises OSError."""
    changed = False
    for page in _untidy_pages(log, first, last):
        start = (page - 1) * PAGE_BYTES
        image = os.pread(file, PAGE_BYTES, start)
        begin, end = _gap(image, 100 if page == 1 else 0)
        if image[begin:end] != _ZEROS[begin:end]:
            os.pwrite(file, bytes(end - begin), start + begin)
            changed = True
    if changed:
        os.fsync(file)


def _untidy_pages(path: Path, first: int, last: int) -> list[int]:
    """The pages with anything in their gaps, by their last images among these frames of the log:
    few of all, and to read the log in one go is much cheaper than page by page."""
    seen: set[int] = set()
    untidy: list[int] = []
    try:
        log = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return []
    try:
        for start in reversed(range(first, last, _FRAMES_AT_ONCE)):
            some = min(last - start, _FRAMES_AT_ONCE)
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
                begin, end = _gap(image, 100 if page == 1 else 0)
                if image[begin:end] != _ZEROS[begin:end]:
                    untidy.append(page)
    finally:
        os.close(log)
    return untidy


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
