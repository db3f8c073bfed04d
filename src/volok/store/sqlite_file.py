"""The SQLite file of a store: its tables, its options, its connections.

1. An event is one row of `events`, in the order of numbers, so that rows of one commit share pages.
   Its JSON is canonical: the id, the pubkey and what tags say are read from there.
2. Everything that is asked for by a random key (an author, a tag) is one entry of `postings`; all
   entries of a commit go in sorted, so that each page is touched once.
3. An index entry begins with what it is asked for and ends with the place of its event in the
   order of NIP-01: `created_at`, then `tie`, which falls as the id rises, both read backwards.
4. Keys are 16 bytes: of what people choose, as tags, 16 of its BLAKE2b (`index_key`); of ids and
   public keys, which nobody can choose, the first 16. So an entry has the same small size whatever
   people write, and a remembered address tells nothing of what was there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path

import apsw

from volok.model.event import Event
from volok.store.store import StoreError, StoreFull

PAGE_BYTES = 4096
KEY_BYTES = 32
VERSION = 3

MAX_PAGES = 2**25 - 1
"""128 GiB. Below that no page number begins with a byte that marks a b-tree (see sqlite_log)."""

IDS = """
CREATE TABLE ids (
    run INTEGER NOT NULL,   -- see sqlite_ids
    id BLOB NOT NULL,       -- the first 16 bytes
    number INTEGER NOT NULL,
    PRIMARY KEY (run, id)
) STRICT, WITHOUT ROWID;
"""

SCHEMA = (
    IDS
    + """
CREATE TABLE events (
    number INTEGER PRIMARY KEY,
    created_at INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    expires_at INTEGER,
    raw BLOB NOT NULL    -- canonical JSON
) STRICT;
CREATE TABLE postings (
    key BLOB NOT NULL,   -- index_key(letter, value) of a tag, author_key(pubkey)
    created_at INTEGER NOT NULL,
    tie INTEGER NOT NULL,
    number INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    PRIMARY KEY (key, created_at, tie, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE timeline (
    kind INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    tie INTEGER NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (kind, created_at, tie, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE expiry (
    expires_at INTEGER NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (expires_at, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE places (
    place BLOB PRIMARY KEY,     -- index_key("a", address)
    number INTEGER NOT NULL     -- the one event that is there
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
CREATE TABLE vanished (
    key BLOB PRIMARY KEY,       -- author_key(pubkey)
    until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE numbers (
    head INTEGER NOT NULL,      -- the newest stored entry there ever was
    reserved INTEGER NOT NULL,  -- no number up to this is given out again
    searched INTEGER NOT NULL   -- the newest entry whose words are in `texts`, if it has any
) STRICT;
INSERT INTO numbers VALUES (0, 0, 0);
CREATE VIRTUAL TABLE texts USING fts5(
    text, content='', columnsize=0, tokenize="unicode61 remove_diacritics 0"
);
INSERT INTO texts (texts, rank) VALUES ('secure-delete', 1);
"""
)

ID_OF_EVENT = "CAST(substr(e.raw, 8, 64) AS TEXT)"
KEY_OF_EVENT = "unhex(CAST(substr(e.raw, 8, 32) AS TEXT))"
"""SQL of the id of an event `e` and of the 16 bytes under which it is indexed: where canonical JSON
has them."""

_KNOWN_KEYS, _KNOWN_LENGTH = 4096, 64
"""How many values of tags have their keys kept at hand, and of which length at most: the same
people and topics come again."""
TIE_DIGITS = 11
"""Hexadecimal digits of an id that order the events of one second."""

_LAST_TIE = (1 << 4 * TIE_DIGITS) - 1


@dataclass(frozen=True, slots=True)
class SqliteOptions:
    """What one may choose about a SqliteStore."""

    own_process: bool = False
    """Whether what is written is written by a process of its own. It takes some 30 MB, and more is
    written and read at once."""
    readers: int = 2
    """Threads, each with its own connection, that answer queries."""
    group_events: int = 2000
    """Events after which a commit waits for no further callers."""
    log_bytes: int = 64 << 20
    """Size of the write-ahead log at which it is copied into the file and begun anew; it may have
    twice that size before it is."""
    quiet_seconds: float = 1.0
    """What `add` erases (replaced, deleted) leaves the files after this long without writes."""
    longest_seconds: float = 20.0
    """What `add` erases leaves the files after this long even while writes go on; or earlier, when
    the log has grown to `log_bytes`. `delete`, `expire` and `flush` do not wait."""
    cache_bytes: int = 64 << 20
    """Memory of the writer for pages of the file; each reader takes a quarter of it."""
    backlog: int = 10_000
    """Entries kept in memory for a follower that does not keep up; it then reads the file."""
    max_bytes: int | None = None
    """Size of the file at which StoreFull is raised. None: 128 GiB."""
    words_seconds: float = 1.0
    """Without writes for this long, words of what came in are put into the index."""
    words_longest_seconds: float = 30.0
    """Words wait no longer than this to be begun with, even while writes go on."""
    turn_seconds: float = 0.01
    """How long one query may keep a reader before others that wait have their turn."""


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

    `key`: 32 bytes, or None for a file that is not encrypted. Its tables may still be those of an
    older version (`version_of`). Raises StoreFull, and StoreError also for a wrong key or a file of
    a version that is not known.
    """
    with store_errors():
        connection = _open(path, key, options.cache_bytes)
        try:
            connection.pragma("page_size", PAGE_BYTES)
            if connection.pragma("journal_mode", "wal") != "wal":
                raise StoreError
            # The log is synced by `volok.store.sqlite_sync`, before anybody hears of a commit.
            connection.pragma("synchronous", "normal")
            connection.pragma("secure_delete", "on")
            connection.pragma("wal_autocheckpoint", 0)
            pages = min((options.max_bytes or MAX_PAGES * PAGE_BYTES) // PAGE_BYTES, MAX_PAGES)
            connection.pragma("max_page_count", pages)
            version = version_of(connection)
            if version == 0:
                with connection:
                    connection.execute(SCHEMA)
                    connection.pragma("user_version", VERSION)
            elif version > VERSION:
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
        # Else every statement with a bound LIMIT is compiled anew each time it runs.
        connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
        return connection


def open_copier(path: Path, key: bytes | None) -> apsw.Connection:
    """Open an existing file to copy its log into it. Raises StoreError."""
    with store_errors():
        return _open(path, key, PAGE_BYTES)


def version_of(connection: apsw.Connection) -> int:
    """The version of the tables in a file; 0 for an empty one. Raises apsw.Error."""
    version: int = connection.execute("PRAGMA user_version").get
    return version


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
    return _known_key(name, value) if len(value) <= _KNOWN_LENGTH else _new_key(name, value)


def _new_key(name: str, value: str) -> bytes:
    return blake2b(f"{name}{value}".encode(), digest_size=16).digest()


_known_key = lru_cache(_KNOWN_KEYS)(_new_key)


def author_key(pubkey: str) -> bytes:
    """The 16 bytes under which what a public key wrote is indexed."""
    return bytes.fromhex(pubkey[:32])


def id_key(event_id: str) -> bytes:
    """The 16 bytes under which an event is indexed by its id."""
    return bytes.fromhex(event_id[:32])


def tie_of(event_id: str) -> int:
    """The place of an event among those of the same second: high for low ids."""
    return _LAST_TIE - int(event_id[:TIE_DIGITS], 16)


def tag_keys(event: Event) -> set[bytes]:
    """The keys of all single-letter tags of an event (NIP-01)."""
    return {
        index_key(tag[0], tag[1])
        for tag in event.tags
        if len(tag) > 1 and len(tag[0]) == 1 and tag[0].isascii() and tag[0].isalpha()
    }
