"""Most of a log is copied before it is cut, and nothing of it escapes the tidying."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import apsw
import pytest

from volok.store.sqlite_ahead import Ahead
from volok.store.sqlite_file import SqliteOptions, open_copier, open_writer
from volok.store.sqlite_log import Log

MARK = b"<a mark that is found in raw files>"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.db"


@pytest.fixture
def writer(path: Path) -> Iterator[apsw.Connection]:
    connection = open_writer(path, None, SqliteOptions())
    yield connection
    connection.close()


def write(writer: apsw.Connection, number: int, content: bytes = b"") -> None:
    writer.execute("INSERT INTO events VALUES (?, 0, 1, NULL, ?)", (number, content + bytes(5000)))


def log_of(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def test_the_log_is_copied_while_the_writer_goes_on(path: Path, writer: apsw.Connection) -> None:
    log = Log(writer, path, None)
    write(writer, 1, MARK)
    assert MARK not in path.read_bytes()
    while not log.copy_ahead():
        pass
    assert MARK in path.read_bytes()
    before = log.pages
    write(writer, 2, MARK)
    assert log.pages > before  # SQLite did not begin it anew
    assert log.cut()
    assert log_of(path).stat().st_size == 0
    assert path.read_bytes().count(MARK) == 2
    log.close()


def test_frames_are_tidied_once(path: Path, writer: apsw.Connection) -> None:
    tidied: list[tuple[int, int]] = []
    ahead = Ahead(log_of(path), partial(open_copier, path, None), lambda *one: tidied.append(one))
    assert ahead.finish() == 0
    write(writer, 1)
    ahead.copy()
    frames = ahead.finish()
    assert tidied == [(0, frames)]
    assert frames > 0
    ahead.close()


def test_of_another_log_nothing_counts_as_tidy(path: Path, writer: apsw.Connection) -> None:
    ahead = Ahead(log_of(path), partial(open_copier, path, None), lambda first, last: None)
    write(writer, 1)
    writer.execute("PRAGMA wal_checkpoint(FULL)").fetchall()
    while not ahead.copy():
        pass
    write(writer, 2)  # all was copied, so this begins the log anew
    assert ahead.finish() == 0
    ahead.close()


def test_what_fails_is_left_to_the_cut(path: Path, writer: apsw.Connection) -> None:
    def fail(first: int, last: int) -> None:
        raise OSError

    write(writer, 1)
    for connect, tidy in (
        (partial(open_copier, path / "no", None), lambda first, last: None),
        (partial(open_copier, path, None), fail),
    ):
        ahead = Ahead(log_of(path), connect, tidy)
        ahead.copy()
        assert ahead.finish() == 0
        ahead.close()
    assert writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall() == [(0, 0, 0)]
