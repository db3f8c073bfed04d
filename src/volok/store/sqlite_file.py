"""The SQLite file of a store: its tables, its connections, the encoding of its rows.

Ids and public keys are 32-byte blobs. What a tag or an address says appears once, in the event's
JSON; indexes hold 16 bytes of its BLAKE2b, so that a row of an index has the same small size
whatever people write, and a remembered deletion tells nothing of what was deleted.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import apsw
import orjson

from volok.model.event import Event, parse_event
from volok.store.store import Entry, StoreError, StoreFull

PAGE_BYTES = 4096
KEY_BYTES = 32
VERSION = 1

MAX_PAGES = 2**25 - 1
"""128 GiB. Below that no page number begins with a byte that marks a b-tree (see sqlite_log)."""

_SCHEMA = """
CREATE TABLE events (
    number INTEGER PRIMARY KEY,
    id BLOB NOT NULL,
    pubkey BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    place BLOB,          -- index_key("a", address); NULL for events that nothing replaces
    expires_at INTEGER,
    raw BLOB NOT NULL    -- canonical JSON
) STRICT;
CREATE UNIQUE INDEX by_id ON events (id);
CREATE INDEX by_author ON events (pubkey, created_at DESC, kind);
CREATE INDEX by_kind ON events (kind, created_at DESC);
CREATE INDEX by_time ON events (created_at DESC);
CREATE UNIQUE INDEX by_place ON events (place) WHERE place IS NOT NULL;
CREATE INDEX by_expiry ON events (expires_at) WHERE expires_at IS NOT NULL;
CREATE TABLE tags (
    key BLOB NOT NULL,   -- index_key(letter, value)
    created_at INTEGER NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (key, created_at DESC, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE tombstones (
    id BLOB NOT NULL,
    deleter BLOB NOT NULL,
    PRIMARY KEY (id, deleter)
) STRICT, WITHOUT ROWID;
CREATE TABLE floors (
    place BLOB PRIMARY KEY,
    created_at INTEGER NOT NULL,
    id BLOB NOT NULL     -- may be empty
) STRICT, WITHOUT ROWID;
CREATE TABLE numbers (
    head INTEGER NOT NULL,      -- the newest stored entry there ever was
    reserved INTEGER NOT NULL   -- no number up to this is given out again
) STRICT;
INSERT INTO numbers VALUES (0, 0);
"""


@dataclass(frozen=True, slots=True)
class SqliteOptions:
    """What one may choose about a SqliteStore."""

    readers: int = 2
    """Threads, each with its own connection, that answer queries."""
    group_events: int = 2000
    """Events after which a commit waits for no further callers."""
    log_bytes: int = 32 << 20
    """Size of the write-ahead log at which it is copied into the file and emptied."""
    quiet_seconds: float = 1.0
    """What `add` erases (replaced, deleted) leaves the files after this long without writes, at the
    latest when the log has grown to `log_bytes`. `delete`, `expire` and `flush` do not wait."""
    cache_bytes: int = 64 << 20
    """Memory of the writer for pages of the file; each reader takes a quarter of it."""
    backlog: int = 10_000
    """Entries kept in memory for a follower that does not keep up; it then reads the file."""
    max_bytes: int | None = None
    """Size of the file at which StoreFull is raised. None: 128 GiB."""


@contextmanager
def store_errors() -> Iterator[None]:
    """Turn the errors of SQLite into those of the store contract."""
    try:
        yield
    except apsw.FullError as error:
        raise StoreFull from error
    except apsw.IOError as error:
        # Where SQLite sizes its shared-memory file, a full disk comes as an I/O error.
        full = getattr(error, "extendedresult", None) == apsw.SQLITE_IOERR_SHMSIZE
        raise (StoreFull if full else StoreError) from error
    except apsw.Error as error:
        raise StoreError from error


def open_writer(path: Path, key: bytes | None, options: SqliteOptions) -> apsw.Connection:
    """Open the file for its one writer; make it if there is none.

    `key`: 32 bytes, or None for a file that is not encrypted. Raises
    StoreFull, and StoreError also for a wrong key or a file of another version.
    """
    with store_errors():
        connection = _open(path, key, options.cache_bytes)
        try:
            connection.pragma("page_size", PAGE_BYTES)
            if connection.pragma("journal_mode", "wal") != "wal":
                raise StoreError
            connection.pragma("synchronous", "full")
            connection.pragma("secure_delete", "on")
            connection.pragma("wal_autocheckpoint", 0)
            pages = min((options.max_bytes or MAX_PAGES * PAGE_BYTES) // PAGE_BYTES, MAX_PAGES)
            connection.pragma("max_page_count", pages)
            version = connection.pragma("user_version")
            if version == 0:
                with connection:
                    connection.execute(_SCHEMA)
                    connection.pragma("user_version", VERSION)
            elif version != VERSION:
                raise StoreError
        except BaseException:
            connection.close()
            raise
        return connection


def open_reader(path: Path, key: bytes | None, options: SqliteOptions) -> apsw.Connection:
    """Open an existing file for queries. Raises StoreError."""
    with store_errors():
        connection = _open(path, key, options.cache_bytes // 4)
        connection.pragma("query_only", True)
        return connection


def _open(path: Path, key: bytes | None, cache_bytes: int) -> apsw.Connection:
    connection = apsw.Connection(str(path), statementcachesize=200)
    try:
        connection.set_busy_timeout(5000)
        if key is not None:
            if len(key) != KEY_BYTES:
                raise ValueError("The key of a store has 32 bytes.")
            connection.pragma("cipher", "chacha20")
            # The cipher's raw form: no key derivation, the key is random already.
            connection.pragma("key", "raw:" + key.hex())
        connection.pragma("cache_size", -cache_bytes // 1024)
        connection.pragma("temp_store", "memory")
    except BaseException:
        connection.close()
        raise
    return connection


def index_key(name: str, value: str) -> bytes:
    """The 16 bytes under which a tag (by its letter) or an address (name "a") is indexed."""
    return blake2b(f"{name}{value}".encode(), digest_size=16).digest()


def tag_keys(event: Event) -> set[bytes]:
    """The keys of all single-letter tags of an event (NIP-01)."""
    return {
        index_key(tag[0], tag[1])
        for tag in event.tags
        if len(tag) > 1 and len(tag[0]) == 1 and tag[0].isascii() and tag[0].isalpha()
    }


def entry_of(number: int, raw: bytes) -> Entry:
    """Read a stored row back. Raises StoreError when it holds no event."""
    return Entry(number, raw, event_of(raw))


def event_of(raw: bytes) -> Event:
    """Read stored canonical JSON back. Raises StoreError when it holds no event."""
    try:
        return parse_event(orjson.loads(raw), raw)
    except ValueError as error:
        raise StoreError from error
