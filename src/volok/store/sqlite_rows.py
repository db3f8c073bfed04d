"""Writing and erasing many events with few statements.

A statement that steps once per row takes and gives back the interpreter's lock for each, and waits
for it each time while other threads are busy. So the rows of a batch are packed into blobs, handed
over as one array (SQLite's carray) and taken apart in SQL; each table costs one step per batch.
SQLite reads a number out of a blob only as decimal digits, so they are packed as such.
"""

# ruff: noqa: S608 (what is put into these statements stands in this file)

from __future__ import annotations

from collections.abc import Iterable, Sequence

import apsw

from volok.model.event import Event
from volok.model.search import is_searched, searched_text, words
from volok.model.supersession import address, expiration
from volok.store.sqlite_file import author_key, id_key, index_key, tag_keys, tie_of
from volok.store.sqlite_ids import LEVELS, run_of

_CREATED = "CAST(substr(value, 17, 16) AS INTEGER)"
_TIE = "CAST(substr(value, 33, 14) AS INTEGER)"
_NUMBER = "CAST(substr(value, 47, 16) AS INTEGER)"
_KIND = "CAST(substr(value, 63, 5) AS INTEGER)"
_EXPIRES = "CAST(substr(value, 68, 16) AS INTEGER)"
_KEY = "substr(value, 1, 16)"
_NEVER = -1

# Each takes one array of blobs.
_INSERT_EVENTS = (
    f"INSERT INTO events SELECT {_NUMBER}, {_CREATED}, {_KIND}, nullif({_EXPIRES}, {_NEVER}),"
    " substr(value, 84) FROM carray(?)"
)
# Two ids that begin alike take 2**64 attempts, which must not stop the store: one is found.
_INSERT_IDS = (
    f"INSERT OR IGNORE INTO ids SELECT {run_of(_NUMBER, '0')}, {_KEY}, {_NUMBER}"
    " FROM carray(?) ORDER BY 1, 2"
)
_INSERT_TIMELINE = (
    f"INSERT INTO timeline SELECT {_KIND}, {_CREATED}, {_TIE}, {_NUMBER}"
    " FROM carray(?) ORDER BY 1, 2, 3"
)
_INSERT_EXPIRY = f"INSERT INTO expiry SELECT {_EXPIRES}, {_NUMBER} FROM carray(?) ORDER BY 1, 2"
_INSERT_POSTINGS = (
    f"INSERT INTO postings SELECT {_KEY}, {_CREATED}, {_TIE}, {_NUMBER}, {_KIND} FROM carray(?)"
)
_INSERT_PLACES = f"INSERT OR REPLACE INTO places SELECT {_KEY}, {_NUMBER} FROM carray(?) ORDER BY 1"
_ERASE_EVENTS = f"DELETE FROM events WHERE number IN (SELECT {_NUMBER} FROM carray(?))"
_ERASE_IDS = (
    f"DELETE FROM ids WHERE (run, id) IN (SELECT {run_of(_NUMBER, 'level')}, {_KEY}"
    " FROM carray(?) CROSS JOIN (SELECT column1 AS level FROM (VALUES"
    f" {', '.join(f'({level})' for level in range(LEVELS))})))"
)
_ERASE_TIMELINE = (
    "DELETE FROM timeline WHERE (kind, created_at, tie, number) IN"
    f" (SELECT {_KIND}, {_CREATED}, {_TIE}, {_NUMBER} FROM carray(?))"
)
_ERASE_EXPIRY = (
    "DELETE FROM expiry WHERE (expires_at, number) IN"
    f" (SELECT {_EXPIRES}, {_NUMBER} FROM carray(?))"
)
_ERASE_POSTINGS = (
    "DELETE FROM postings WHERE (key, created_at, tie, number) IN"
    f" (SELECT {_KEY}, {_CREATED}, {_TIE}, {_NUMBER} FROM carray(?))"
)
_ERASE_PLACES = f"DELETE FROM places WHERE place IN (SELECT {_KEY} FROM carray(?))"
_FORGET_TEXT = "INSERT INTO texts (texts, rowid, text) VALUES ('delete', ?, ?)"


class Batch:
    """Rows that wait to be written, or to be erased, together.

    Each is its key, then the digits of all numbers, then for an event its JSON.
    """

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self._bare: list[bytes] = []
        self._whole: list[bytes] = []
        self._postings: list[bytes] = []
        self._expiring: list[bytes] = []
        self._places: list[bytes] = []

    def __len__(self) -> int:
        """The number of events."""
        return len(self._bare)

    def add(self, number: int, event: Event, place: str | None) -> None:
        """Put all rows of an event in; `place` is its address."""
        expires = expiration(event)
        digits = b"%016d%014d%016d%05d%016d" % (
            event.created_at,
            tie_of(event.id),
            number,
            event.kind,
            _NEVER if expires is None else expires,
        )
        bare = id_key(event.id) + digits
        self._bare.append(bare)
        self._whole.append(bare + event.to_json())
        if expires is not None:
            self._expiring.append(bare)
        self._postings.append(author_key(event.pubkey) + digits)
        for key in tag_keys(event) if event.tags else ():
            self._postings.append(key + digits)
        if place is not None:
            self._places.append(index_key("a", place) + digits)

    def insert(self, connection: apsw.Connection) -> None:
        """Write all rows; empties the batch. Raises apsw.Error."""
        bare = self._bare
        self._run(connection, _INSERT_EVENTS, self._whole)
        self._run(connection, _INSERT_IDS, bare)
        self._run(connection, _INSERT_TIMELINE, bare)
        self._run(connection, _INSERT_EXPIRY, self._expiring)
        self._run(connection, _INSERT_POSTINGS, sorted(self._postings))
        self._run(connection, _INSERT_PLACES, self._places)
        self._clear()

    def erase(self, connection: apsw.Connection) -> None:
        """Erase all rows; empties the batch. Raises apsw.Error."""
        bare = self._bare
        self._run(connection, _ERASE_EVENTS, bare)
        self._run(connection, _ERASE_IDS, bare)
        self._run(connection, _ERASE_TIMELINE, bare)
        self._run(connection, _ERASE_EXPIRY, self._expiring)
        self._run(connection, _ERASE_POSTINGS, self._postings)
        self._run(connection, _ERASE_PLACES, self._places)
        self._clear()

    def _run(self, connection: apsw.Connection, sql: str, rows: Sequence[bytes]) -> None:
        if rows:
            connection.execute(sql, (apsw.carray(tuple(rows)),))


def erase(connection: apsw.Connection, events: Iterable[tuple[int, Event]], searched: int) -> None:
    """Erase stored events, given with their numbers, and what was kept of them.

    `searched`: see the column of that name. Raises apsw.Error.
    """
    batch = Batch()
    texts: list[tuple[int, str]] = []
    for number, event in events:
        batch.add(number, event, address(event))
        if number <= searched and (text := indexed_text(event)):
            texts.append((number, text))
    batch.erase(connection)
    if texts:
        connection.executemany(_FORGET_TEXT, texts)


def indexed_text(event: Event) -> str:
    """The words of an event as the index keeps them, in the one form in which they are compared;
    empty when it has none. To take an entry out of the index takes the same text again."""
    return " ".join(words(searched_text(event))) if is_searched(event.kind) else ""
