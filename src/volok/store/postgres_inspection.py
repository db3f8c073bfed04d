"""Looking at a store in PostgreSQL: how much is in it, and what is wrong with it. Both read one
state of the database, while relays go on.

`verify` reads everything twice, as the one of a file does (`volok.store.inspection`): from the
events to what is kept of them, and back by counting.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]

from volok.model.event import Event
from volok.model.supersession import (
    DELETION,
    Version,
    address,
    may_have_deleted,
    vanishing_keys,
    version,
)
from volok.store.key_file import KEY_FILE, KeyFile, WrongKeyFile
from volok.store.postgres_rows import Cipher, EventRow, Rows, TagRow
from volok.store.postgres_schema import NEVER, VERSION, PostgresOptions, store_errors
from volok.store.soundness import GRACE, Stats, Verified, is_true, of_kinds
from volok.store.store import StoreError

_AT_ONCE = 2000

_EVENTS = (
    "SELECT number, name, shelf, ends, created_at, rank, kind, author, place, tokens, sealed"
    " FROM events WHERE number > $1 ORDER BY number LIMIT $2"
)
_TAGS = (
    "SELECT t.key, t.created_at, t.rank, t.shelf, t.name"
    " FROM unnest($1::bytea[], $2::bigint[], $3::int[], $4::int[])"
    " AS w (key, created_at, rank, shelf) JOIN tags t ON t.key = w.key"
    " AND t.created_at = w.created_at AND t.rank = w.rank AND t.shelf = w.shelf"
)
_MARKS = "SELECT mark FROM tombstones WHERE mark = ANY($1)"
_FLOORS = "SELECT place, created_at, id FROM floors WHERE place = ANY($1)"
_VANISHED = "SELECT author, until FROM vanished WHERE author = ANY($1)"
_SHARED_PLACES = (
    "SELECT count(*) FROM (SELECT 1 FROM events WHERE place IS NOT NULL"
    " GROUP BY place HAVING count(*) > 1) AS shared"
)
_BYTES = (
    "SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint FROM pg_class"
    " WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'"
)


async def stats(url: str, options: PostgresOptions | None = None) -> Stats:
    """Count what the store at this postgresql:// URL holds. Raises StoreError."""
    async with _reading(url, options or PostgresOptions()) as connection:
        kinds = dict(await connection.fetch("SELECT kind, count(*) FROM events GROUP BY kind"))
        oldest, newest = await connection.fetchrow(
            "SELECT min(created_at), max(created_at) FROM events"
        )
        return Stats(
            **of_kinds(kinds),
            expiring=await connection.fetchval(
                "SELECT count(*) FROM events WHERE ends < $1::bigint", NEVER
            ),
            deletions=await connection.fetchval("SELECT count(*) FROM tombstones"),
            vanished=await connection.fetchval("SELECT count(*) FROM vanished"),
            oldest=oldest,
            newest=newest,
            bytes_on_disk=await connection.fetchval(_BYTES),
            free_bytes=None,
            unsearched=0,
        )


async def verify(
    url: str, folder: Path, now: int, cipher: Cipher, options: PostgresOptions | None = None
) -> Verified:
    """Look at everything in the store at this postgresql:// URL. `now` is in Unix seconds; `folder`
    holds its key file, and no other process uses it.

    Says of each event whether its key is there, it can be read, its id is its hash, its row and its
    tags say what it says and nothing that was remembered forbids it; and whether there is anything
    else. What has expired more than a minute ago and is still there is a problem. Raises
    WrongKeyFile when the key file is missing or another database's, StoreError, OSError.
    """
    if not (folder / KEY_FILE).is_file():
        raise WrongKeyFile
    keys = await asyncio.to_thread(KeyFile.open, folder / KEY_FILE, cipher.random)
    try:
        async with _reading(url, options or PostgresOptions()) as connection:
            database = await connection.fetchval("SELECT database FROM store")
            if database != keys.secrets.database:
                raise WrongKeyFile
            return await _Verifying(connection, Rows(keys, cipher), now).run()
    finally:
        keys.close()


@asynccontextmanager
async def _reading(url: str, options: PostgresOptions) -> AsyncIterator[asyncpg.Connection]:
    """One state of the database, to be read for as long as it takes. Raises StoreError."""
    with store_errors():
        connection = await asyncpg.connect(
            url,
            timeout=options.command_seconds,
            ssl=options.tls,
            server_settings={"application_name": "volok", "jit": "off"},
        )
        try:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                if await connection.fetchval("SELECT to_regclass('store')") is None:
                    raise StoreError
                if await connection.fetchval("SELECT version FROM store") != VERSION:
                    raise StoreError
                yield connection
        finally:
            await connection.close(timeout=options.command_seconds)


@dataclass(slots=True)
class _Page:
    """Events that were read, and what else is to be asked about them."""

    tags: Counter[TagRow] = field(default_factory=Counter)
    numbers: dict[bytes, int] = field(default_factory=dict)
    """By the hashes of ids."""
    marks: dict[bytes, int] = field(default_factory=dict)
    """Deletions that would have kept an event out."""
    places: list[tuple[bytes, Version, int]] = field(default_factory=list)
    people: list[tuple[bytes, int, int]] = field(default_factory=list)
    """Whose request to vanish, if it is as new as this second, would have kept an event out."""


class _Verifying:
    def __init__(self, connection: asyncpg.Connection, rows: Rows, now: int) -> None:
        self._connection = connection
        self._rows = rows
        self._now = now
        self._found = Verified()
        self._tags = 0

    async def run(self) -> Verified:
        # The few tags of a page are looked up, however many there are.
        await self._connection.execute("SET LOCAL enable_hashjoin = off")
        await self._connection.execute("SET LOCAL enable_mergejoin = off")
        after = -1
        while rows := await self._connection.fetch(_EVENTS, after, _AT_ONCE):
            after = rows[-1]["number"]
            page = await asyncio.to_thread(self._read, [tuple(row) for row in rows])
            await self._ask(page)
        for table, expected in (("events", self._found.events), ("tags", self._tags)):
            there = await self._connection.fetchval(f"SELECT count(*) FROM {table}")  # noqa: S608
            if there != expected:
                self._found.add(f"{table} holds {there} rows, not {expected}")
        if await self._connection.fetchval(_SHARED_PLACES):
            self._found.add("an address has several events")
        if after > await self._connection.fetchval("SELECT head FROM store"):
            self._found.add("the head is lower than an entry", after)
        return self._found

    def _read(self, rows: Iterable[Sequence[Any]]) -> _Page:
        page = _Page()
        for values in rows:
            self._found.events += 1
            row = EventRow(*values)._replace(tokens=None)
            words: Sequence[int] | None = values[EventRow._fields.index("tokens")]
            try:
                entry = self._rows.entry(row.number, row.sealed)
                event = None if entry is None else entry.event
            except StoreError:
                self._found.add("an event cannot be read", row.number)
                continue
            if entry is None or event is None:
                self._found.add("the key of an event is gone", row.number)
                continue
            self._compare(row, event, entry.raw)
            self._compare_words(row.number, event, words)
            self._note(page, row, event)
        return page

    def _compare(self, row: EventRow, event: Event, raw: bytes) -> None:
        if not is_true(event, raw):
            self._found.add("an id is not the hash of its event", row.number)
        expected = self._rows.event_row(row.number, event)
        if row != expected._replace(tokens=None, sealed=row.sealed):
            self._found.add("columns differ from their event", row.number)
        if row.ends + GRACE <= self._now:
            self._found.add("an event is there that has expired", row.number)

    def _compare_words(self, number: int, event: Event, words: Sequence[int] | None) -> None:
        expected = self._rows.tokens(event)
        self._found.searched += bool(expected)
        if (expected is None) != (words is None) or set(expected or ()) != set(words or ()):
            self._found.add("the index of words differs from the event", number)

    def _note(self, page: _Page, row: EventRow, event: Event) -> None:
        page.numbers[row.name] = row.number
        page.tags.update(self._rows.tag_rows(event))
        if event.kind != DELETION:
            page.marks.update(
                (self._rows.mark(event.id, key), row.number) for key in may_have_deleted(event)
            )
        place = address(event)
        if place is not None:
            page.places.append((self._rows.place(place), version(event), row.number))
        page.people += [
            (self._rows.author(key), event.created_at, row.number) for key in vanishing_keys(event)
        ]

    async def _ask(self, page: _Page) -> None:
        self._tags += page.tags.total()
        places = {(tag.key, tag.created_at, tag.rank, tag.shelf) for tag in page.tags}
        columns = list(zip(*places, strict=True)) or [()] * 4
        found = Counter(TagRow(*row) for row in await self._connection.fetch(_TAGS, *columns))
        for tag, many in page.tags.items():
            if found[tag] < many:
                self._found.add("an index lacks an entry", page.numbers[tag.name])
        marks = await self._connection.fetch(_MARKS, list(page.marks))
        floors = {
            place: Version(created_at, name.hex())
            for place, created_at, name in await self._connection.fetch(
                _FLOORS, [place for place, _, _ in page.places]
            )
        }
        vanished: Mapping[bytes, int] = dict(
            await self._connection.fetch(_VANISHED, [author for author, _, _ in page.people])
        )
        forbidden = {page.marks[mark] for (mark,) in marks}
        forbidden |= {
            number
            for place, here, number in page.places
            if (floor := floors.get(place)) is not None and not here.newer_than(floor)
        }
        forbidden |= {
            number
            for author, created_at, number in page.people
            if created_at <= vanished.get(author, -1)
        }
        for number in sorted(forbidden):
            self._found.add("an event is there that was deleted", number)
