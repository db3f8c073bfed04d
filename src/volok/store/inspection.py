"""Looking after the file of a SqliteStore: what is wrong with it, how much is in it, making it
small. For a store that no process has open; `verify` and `stats` do no harm to one that is.

1. `verify` reads everything twice: from the events to what is kept of them, and back by counting.
2. Nothing here names anybody: problems are told by number and by what is wrong, never by content.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw

from volok.model.event import Event
from volok.model.supersession import (
    DELETION,
    Version,
    address,
    expiration,
    may_have_deleted,
    vanishing_keys,
    version,
)
from volok.store.soundness import GRACE, Stats, Verified, is_true, of_kinds
from volok.store.sqlite_file import (
    VERSION,
    SqliteOptions,
    author_key,
    index_key,
    open_reader,
    open_writer,
    store_errors,
    tag_keys,
    tie_of,
    version_of,
)
from volok.store.sqlite_ids import ENTRY_OF
from volok.store.sqlite_log import Log
from volok.store.sqlite_migration import migrate
from volok.store.sqlite_rows import indexed_text
from volok.store.store import StoreError, read_event

_AT_ONCE = 2000

_TABLES = ("events", "ids", "timeline", "postings", "expiry", "places")


def verify(path: Path, now: int, key: bytes | None = None) -> Verified:
    """Look at everything in a store's file. `now` is in Unix seconds; `key` as for `SqliteStore`.

    Says of each event whether it can be read, its id is its hash, every index has it and nothing
    that was remembered forbids it; and whether the indexes hold anything else. What has expired
    more than a minute ago and is still there is a problem. Raises StoreError when there is no such
    file or the key is wrong.
    """
    found = Verified()
    with _reading(path, key) as connection:
        ((sound,),) = connection.execute("PRAGMA quick_check(1)").fetchall()
        if sound != "ok":
            found.add("the file is damaged")
            return found
        known = _Known(connection)
        after = 0
        rows_of_events: Counter[str] = Counter()
        while rows := _fetch(connection, _PAGE, after, _AT_ONCE):
            after = rows[-1][0]
            _verify_page(connection, rows, known, now, found, rows_of_events)
        for table in _TABLES:
            ((there,),) = _fetch(connection, f"SELECT count(*) FROM {table}")  # noqa: S608
            if there != rows_of_events[table]:
                found.add(f"{table} holds {there} rows, not {rows_of_events[table]}")
        ((head,),) = _fetch(connection, "SELECT head FROM numbers")
        if after > head:
            found.add("the head is lower than an entry", after)
        _verify_words(connection, found)
    return found


def stats(path: Path, key: bytes | None = None) -> Stats:
    """Count what a store's file holds. Raises StoreError."""
    with _reading(path, key) as connection:
        kinds: dict[int, int] = dict(
            _fetch(connection, "SELECT kind, count(*) FROM timeline GROUP BY kind")
        )
        ((oldest, newest),) = _fetch(
            connection, "SELECT min(created_at), max(created_at) FROM timeline"
        )
        ((head, searched),) = _fetch(connection, "SELECT head, searched FROM numbers")
        ((free,),) = _fetch(connection, "PRAGMA freelist_count")
        ((page,),) = _fetch(connection, "PRAGMA page_size")
        return Stats(
            **of_kinds(kinds),
            expiring=_count(connection, "expiry"),
            deletions=_count(connection, "tombstones"),
            vanished=_count(connection, "vanished"),
            oldest=oldest,
            newest=newest,
            bytes_on_disk=_bytes_on_disk(path),
            free_bytes=free * page,
            unsearched=max(head - searched, 0),
        )


def compact(path: Path, key: bytes | None = None) -> tuple[int, int]:
    """Rewrite a store's file without the room that what has left it took; returns its bytes before
    and after. No process may have it open; needs as much free disk as the file has bytes.

    Raises StoreError, StoreFull: then the file is as it was.
    """
    if not path.is_file():
        raise StoreError
    before = _bytes_on_disk(path)
    writer = open_writer(path, key, SqliteOptions())
    try:
        migrate(writer)
        log = Log(writer, path, key)
        with store_errors():
            try:
                writer.execute("PRAGMA locking_mode = exclusive")
                writer.execute("INSERT INTO texts (texts) VALUES ('optimize')")
                writer.execute("VACUUM")
                log.cut()
            finally:
                writer.close()
                log.close()
    finally:
        writer.close()
    return before, _bytes_on_disk(path)


_PAGE = (
    f"SELECT e.number, e.created_at, e.kind, e.expires_at, e.raw, {ENTRY_OF}"  # noqa: S608
    " FROM events e WHERE e.number > ? ORDER BY e.number LIMIT ?"
)


class _Known:
    """What a store remembers of what may not be there."""

    def __init__(self, connection: apsw.Connection) -> None:
        self.deleters: dict[bytes, set[str]] = {}
        for name, deleter in _fetch(connection, "SELECT id, deleter FROM tombstones"):
            self.deleters.setdefault(name, set()).add(deleter.hex())
        self.floors: dict[bytes, Version] = {
            place: Version(created_at, name.hex())
            for place, created_at, name in _fetch(connection, "SELECT * FROM floors")
        }
        self.vanished: dict[bytes, int] = dict(_fetch(connection, "SELECT * FROM vanished"))

    def forbids(self, event: Event) -> bool:
        """Whether a deletion or a request to vanish should have kept this event out."""
        deleters = self.deleters.get(bytes.fromhex(event.id), set())
        if event.kind != DELETION and not may_have_deleted(event).isdisjoint(deleters):
            return True
        place = address(event)
        floor = None if place is None else self.floors.get(index_key("a", place))
        if floor is not None and not version(event).newer_than(floor):
            return True
        return any(
            self.vanished.get(author_key(name), -1) >= event.created_at
            for name in vanishing_keys(event)
        )


def _verify_page(
    connection: apsw.Connection,
    rows: list[Any],
    known: _Known,
    now: int,
    found: Verified,
    rows_of_events: Counter[str],
) -> None:
    for number, created_at, kind, expires_at, raw, by_id in rows:
        found.events += 1
        rows_of_events.update(("events", "ids", "timeline"))
        try:
            event = read_event(raw)
        except StoreError:
            found.add("an event cannot be read", number)
            continue
        if not is_true(event, raw):
            found.add("an id is not the hash of its event", number)
        if (created_at, kind, expires_at) != (event.created_at, event.kind, expiration(event)):
            found.add("columns differ from their event", number)
        if by_id != number:
            found.add("an id leads elsewhere", number)
        if known.forbids(event):
            found.add("an event is there that was deleted", number)
        if expires_at is not None and expires_at + GRACE <= now:
            found.add("an event is there that has expired", number)
        keys = tag_keys(event) | {author_key(event.pubkey)}
        rows_of_events["postings"] += len(keys)
        tie = tie_of(event.id)
        for name in keys:
            _must_have(connection, _POSTING, (name, created_at, tie, number, kind), number, found)
        _must_have(connection, _TIMELINE, (kind, created_at, tie, number), number, found)
        if expires_at is not None:
            rows_of_events["expiry"] += 1
            _must_have(connection, _EXPIRY, (expires_at, number), number, found)
        place = address(event)
        if place is not None:
            rows_of_events["places"] += 1
            _must_have(connection, _PLACE, (index_key("a", place), number), number, found)


_POSTING = (
    "SELECT 1 FROM postings WHERE key = ? AND created_at = ? AND tie = ? AND number = ?"
    " AND kind = ?"
)
_TIMELINE = "SELECT 1 FROM timeline WHERE kind = ? AND created_at = ? AND tie = ? AND number = ?"
_EXPIRY = "SELECT 1 FROM expiry WHERE expires_at = ? AND number = ?"
_PLACE = "SELECT 1 FROM places WHERE place = ? AND number = ?"


def _must_have(
    connection: apsw.Connection, sql: str, values: tuple[Any, ...], number: int, found: Verified
) -> None:
    if connection.execute(sql, values).fetchone() is None:
        found.add("an index lacks an entry", number)


def _verify_words(connection: apsw.Connection, found: Verified) -> None:
    """Compare the index of words with one that is made anew of the same events.

    An index without contents cannot be asked for the words of an event; but both must consist of
    the same words at the same places, so the sums of their hashes are the same.
    """
    ((searched,),) = _fetch(connection, "SELECT searched FROM numbers")
    tokens = connection.fts5_tokenizer("unicode61", ["remove_diacritics", "0"])
    expected = after = 0
    while rows := _fetch(connection, _TEXTS, after, searched, _AT_ONCE):
        after = rows[-1][0]
        for number, raw in rows:
            try:
                text = indexed_text(read_event(raw)).encode()
            except StoreError:
                continue
            found.searched += bool(text)
            words = tokens(
                text,
                apsw.FTS5_TOKENIZE_DOCUMENT,
                None,
                include_offsets=False,
                include_colocated=False,
            )
            expected += sum(hash((word, number, place)) for place, word in enumerate(words))
    connection.pragma("query_only", False)
    connection.execute("CREATE VIRTUAL TABLE temp.words USING fts5vocab(main, texts, 'instance')")
    there = sum(map(hash, connection.execute('SELECT term, doc, "offset" FROM temp.words')))
    if there != expected:
        found.add("the index of words differs from the events")


_TEXTS = "SELECT number, raw FROM events WHERE number > ? AND number <= ? ORDER BY number LIMIT ?"


def _count(connection: apsw.Connection, table: str) -> int:
    ((many,),) = _fetch(connection, f"SELECT count(*) FROM {table}")  # noqa: S608
    return int(many)


def _fetch(connection: apsw.Connection, sql: str, *bindings: Any) -> list[Any]:
    return connection.execute(sql, bindings).fetchall()


def _bytes_on_disk(path: Path) -> int:
    files = (path, path.with_name(path.name + "-wal"))
    return sum(file.stat().st_size for file in files if file.exists())


@contextmanager
def _reading(path: Path, key: bytes | None) -> Iterator[apsw.Connection]:
    """A reading connection to a file of the present version, in one snapshot."""
    if not path.is_file():
        raise StoreError
    connection = open_reader(path, key, SqliteOptions())
    try:
        # Copying the log into the file is the writer's business: it erases as it goes.
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        with store_errors():
            if version_of(connection) != VERSION:
                raise StoreError
            connection.execute("BEGIN")
            yield connection
            connection.execute("COMMIT")
    finally:
        connection.close()
