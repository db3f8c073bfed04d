"""The tables of a store in PostgreSQL: what is in them, and how they are divided.

1. An event lies sealed under a key of its own (`key_file`). Ids, people, addresses and tags appear
   as keyed hashes of 16 bytes, which are as good for equality as the values; the first two and four
   letters of the words of public text as keyed hashes of 8 bytes. In clear are only what
   order and expiry need: created_at, kind, expiration and the first four bytes of the id.
2. `events` and `tags` are partitioned by `shelf`: the week in which an event expires; for what
   lasts, the year it is from. A shelf follows from the event, so that (name, shelf) is as unique as
   the id is. A week that is over is dropped with its files.
3. Every unique index holds the hash of one name. So Citus may spread `events` and `tags` by `name`
   (their joins stay on one machine), `tombstones` by `mark`, `vanished` by `author` and `floors` by
   `place`; `store` and `erasures` are local tables of the coordinator.
4. Whoever writes holds the row of `store`: numbers are dense, and come in the order of the commits.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import asyncpg  # type: ignore[import-untyped]

from volok.model.event import Event
from volok.model.supersession import expiration
from volok.store.store import StoreError, StoreFull

VERSION = 1
NEVER = 2**62
"""When an event ends that has no expiration."""

DAY = 86_400
_WEEK = 7 * DAY
_YEAR = 365 * DAY
_FIRST_YEAR = 1_577_836_800
"""The start of 2020; what is older shares a shelf."""
_MOST_YEARS = 100
_LONGEST = 64 * _WEEK
"""What expires later than this after it was made is on the shelf of its year."""

SCHEMA = """
CREATE TABLE store (
    version int NOT NULL,
    database bytea NOT NULL,     -- which key file belongs to it
    head bigint NOT NULL,        -- the newest stored entry there ever was
    last bigint NOT NULL,        -- the newest number given out
    erased bigint NOT NULL       -- the newest row of erasures
);
CREATE TABLE events (
    number bigint NOT NULL,
    name bytea NOT NULL,         -- hash of the id
    shelf int NOT NULL,
    ends bigint NOT NULL,        -- expiration, or 2**62
    created_at bigint NOT NULL,
    rank int NOT NULL,           -- the first four bytes of the id, less 2**31
    kind int NOT NULL,
    author bytea NOT NULL,
    place bytea,                 -- hash of the address; NULL for events that nothing replaces
    tokens bigint[],             -- hashes of how its words begin; NULL for what is not searched
    sealed bytea NOT NULL        -- nonce, then canonical JSON under ChaCha20-Poly1305
) PARTITION BY LIST (shelf);
ALTER TABLE events ALTER COLUMN sealed SET STORAGE EXTERNAL;  -- ciphertext does not compress
CREATE UNIQUE INDEX ON events (name, shelf);
CREATE INDEX ON events (number);
CREATE INDEX ON events (author, created_at DESC, rank);
CREATE INDEX ON events (kind, created_at DESC, rank);
CREATE INDEX ON events (created_at DESC, rank);
CREATE INDEX ON events (place) WHERE place IS NOT NULL;
CREATE INDEX ON events USING gin (tokens) WHERE tokens IS NOT NULL;
CREATE INDEX ON events (ends) WHERE ends < 4611686018427387904;
CREATE TABLE tags (
    key bytea NOT NULL,          -- hash of letter and value
    created_at bigint NOT NULL,
    rank int NOT NULL,
    shelf int NOT NULL,
    name bytea NOT NULL
) PARTITION BY LIST (shelf);
CREATE INDEX ON tags (key, created_at DESC, rank);
CREATE TABLE tombstones (
    mark bytea PRIMARY KEY       -- hash of a deleted id with the key that deleted it
);
CREATE TABLE vanished (
    author bytea PRIMARY KEY,    -- hash of a key that asked to vanish
    until bigint NOT NULL        -- the second of its newest request
);
CREATE TABLE floors (
    place bytea PRIMARY KEY,
    created_at bigint NOT NULL,
    id bytea NOT NULL            -- may be empty
);
CREATE TABLE erasures (
    seq bigint PRIMARY KEY,
    at bigint NOT NULL,          -- Unix seconds
    numbers bigint[] NOT NULL    -- whose keys every relay has to erase
);
"""


@dataclass(frozen=True, slots=True)
class PostgresOptions:
    """What one may choose about a PostgresStore."""

    readers: int = 4
    """Connections that answer queries."""
    group_events: int = 1000
    """Events after which a commit waits for no further callers."""
    poll_seconds: float = 1.0
    """How often the log is looked at for what no message told of, and for erasures of others."""
    patience_seconds: float = 0.1
    """How long a gap in the live log may wait for its message before the database is read."""
    command_seconds: float = 15.0
    """How long the database may take for one command; after that the connection is given up."""
    idle_seconds: float = 15.0
    """After so long the database frees a lock whose holder has gone silent."""
    erasures_days: int = 30
    """How long erasures wait for relays that are switched off. One that comes back later needs a
    new copy of the key file."""
    backlog: int = 10_000
    """Entries kept in memory for a follower that does not keep up; it then reads the database."""
    tls: ssl.SSLContext | None = None
    """How the connection is encrypted; None: as the URL says."""


@contextmanager
def store_errors() -> Iterator[None]:
    """Turn whatever a lost or failing database raises into the errors of the store contract."""
    try:
        yield
    except asyncpg.DiskFullError as error:
        raise StoreFull from error
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        raise StoreError from error
    except ValueError as error:  # not every wrong URL has an error of its own
        raise StoreError from error


async def _leave(_connection: asyncpg.Connection) -> None:
    """Nobody here leaves anything behind in a connection; to reset it would take a round trip."""


async def open_pool(url: str, size: int, options: PostgresOptions) -> asyncpg.Pool:
    """Connections to the database at this URL, made when they are needed. Raises asyncpg's errors,
    OSError, ValueError."""
    idle = str(int(options.idle_seconds * 1000))
    return await asyncpg.create_pool(
        url,
        min_size=0,
        max_size=size,
        timeout=options.command_seconds,
        command_timeout=options.command_seconds,
        max_inactive_connection_lifetime=0,
        ssl=options.tls,
        reset=_leave,
        server_settings={
            "application_name": "volok",
            "idle_in_transaction_session_timeout": idle,
            "lock_timeout": idle,
            "jit": "off",
        },
    )


def ends(event: Event) -> int:
    """When the event expires, in Unix seconds; NEVER when it does not."""
    end = expiration(event)
    return NEVER if end is None else min(end, NEVER)


def shelf(event: Event) -> int:
    """The partition of an event, which follows from the event alone."""
    end = ends(event)
    if end - event.created_at <= _LONGEST:
        return 1 + end // _WEEK
    return -1 - min(max(0, event.created_at - _FIRST_YEAR) // _YEAR, _MOST_YEARS)


def is_over(number: int, now: int) -> bool:
    """Whether everything that may lie on this shelf has expired."""
    return number > 0 and number * _WEEK <= now


def rank(event: Event) -> int:
    """Where an event stands among those of one second: the order of ids, in four bytes."""
    return int(event.id[:8], 16) - 2**31


def shelf_sql(number: int) -> str:
    """The statements that make a partition."""
    name = shelf_name(number)
    return (
        f"CREATE TABLE IF NOT EXISTS events_{name} PARTITION OF events FOR VALUES IN ({number:d})"
        # Most events fit into a page: beside their row they are found at once.
        " WITH (toast_tuple_target = 8160);"
        f"CREATE TABLE IF NOT EXISTS tags_{name} PARTITION OF tags FOR VALUES IN ({number:d});"
    )


def shelf_name(number: int) -> str:
    """What a partition is called, after `events_` and `tags_`."""
    return f"week_{number:d}" if number > 0 else f"year_{-number:d}"


async def prepare(connection: asyncpg.Connection, database: bytes) -> bool:
    """Make the tables if there are none. Returns whether the tables belong to this key file.

    Raises StoreError for tables of another version, and asyncpg's errors.
    """
    async with connection.transaction():
        # Two relays may start at the same moment.
        await connection.execute("SELECT pg_advisory_xact_lock(hashtext(current_schema()))")
        if await connection.fetchval("SELECT to_regclass('store')") is None:
            await connection.execute(SCHEMA)
            await connection.execute(
                "INSERT INTO store VALUES ($1, $2, 0, 0, 0)", VERSION, database
            )
        version, owner = await connection.fetchrow("SELECT version, database FROM store")
        if version != VERSION:
            raise StoreError
        return bool(owner == database)
