"""The one connection by which a process changes a PostgresStore: it commits what waits, together.

1. A transaction first takes the row of `store`, which all processes write by: so numbers are dense
   and in the order of commits. It holds it for four round trips and one sync, however many events
   there are; the next group gathers meanwhile.
2. What a group needs to know is read after that, by one statement; what it changes is written by
   one more, unless something is erased.
3. When the connection is lost in the middle of a commit, nobody knows whether it took place: then
   nobody is told that it did.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import asyncpg  # type: ignore[import-untyped]

from volok.model.event import Event
from volok.model.supersession import GIFT_WRAP, VANISH, Version, address
from volok.store.postgres_ledger import PostgresLedger, Questions
from volok.store.postgres_rows import Rows
from volok.store.postgres_schema import (
    DAY,
    PostgresOptions,
    is_over,
    shelf,
    shelf_name,
    shelf_sql,
    store_errors,
)
from volok.store.store import StoreError

T = TypeVar("T")

_LOOK = """
SELECT 0 AS what, name AS key, 0::bigint AS number, NULL::bytea AS value
    FROM events WHERE name = ANY($1)
UNION ALL SELECT 1, mark, 0, NULL FROM tombstones WHERE mark = ANY($2)
UNION ALL SELECT 2, name, number, sealed FROM events WHERE name = ANY($3)
UNION ALL SELECT 2, place, number, sealed FROM events WHERE place = ANY($4)
UNION ALL SELECT 3, place, created_at, id FROM floors WHERE place = ANY($4)
UNION ALL (SELECT 2, name, number, sealed FROM events WHERE ends <= $5 ORDER BY ends LIMIT $6)
UNION ALL SELECT 7, author, until, NULL FROM vanished WHERE author = ANY($7)
UNION ALL SELECT 4, NULL, head, NULL FROM store
UNION ALL SELECT 5, NULL, last, NULL FROM store
UNION ALL SELECT 6, NULL, erased, NULL FROM store
"""
_INSERT = """
WITH written AS (
    INSERT INTO events
    SELECT number, name, shelf, ends, created_at, rank, kind, author, place, tokens::bigint[],
        sealed
    FROM unnest(
        $1::bigint[], $2::bytea[], $3::int[], $4::bigint[], $5::bigint[],
        $6::int[], $7::int[], $8::bytea[], $9::bytea[], $10::text[], $11::bytea[]
    ) AS new (number, name, shelf, ends, created_at, rank, kind, author, place, tokens, sealed)
), tagged AS (
    INSERT INTO tags SELECT * FROM unnest(
        $12::bytea[], $13::bigint[], $14::int[], $15::int[], $16::bytea[])
)
UPDATE store SET head = $17, last = $18
"""
_ERASE_EVENTS = """
DELETE FROM events e USING unnest($1::bytea[], $2::int[]) AS gone (name, shelf)
WHERE e.name = gone.name AND e.shelf = gone.shelf
"""
_ERASE_TAGS = """
DELETE FROM tags t USING unnest($1::bytea[], $2::bigint[], $3::int[], $4::int[], $5::bytea[])
    AS gone (key, created_at, rank, shelf, name)
WHERE t.key = gone.key AND t.created_at = gone.created_at AND t.rank = gone.rank
    AND t.shelf = gone.shelf AND t.name = gone.name
"""
_BURY = "INSERT INTO tombstones SELECT unnest($1::bytea[]) ON CONFLICT DO NOTHING"
_VANISH = """
INSERT INTO vanished SELECT * FROM unnest($1::bytea[], $2::bigint[])
ON CONFLICT (author) DO UPDATE SET until = greatest(vanished.until, excluded.until)
"""
_LEAVING = """
SELECT number, sealed FROM events WHERE author = $1 AND created_at <= $3 AND kind <> $4
UNION ALL
SELECT e.number, e.sealed FROM tags t JOIN events e ON e.name = t.name AND e.shelf = t.shelf
    WHERE t.key = $2 AND t.created_at <= $3 AND e.kind = $5
"""
_FLOORS = """
INSERT INTO floors SELECT * FROM unnest($1::bytea[], $2::bigint[], $3::bytea[])
ON CONFLICT (place) DO UPDATE SET created_at = excluded.created_at, id = excluded.id
"""


@dataclass(slots=True)
class Job:
    """A piece of work that waits for its commit."""

    work: Callable[[PostgresLedger], Any]
    events: Sequence[Event] = ()
    """What the work will settle."""
    ids: Sequence[str] = ()
    """What the work will ask for by id."""
    expired_by: int = -1
    """The work is told of events that have expired by this second."""
    now: int = 0
    """Unix seconds."""
    clean: bool = False
    """Whether the keys of what it erases must be gone before it is done."""
    future: asyncio.Future[Any] = field(init=False)
    result: Any = field(default=None, init=False)


EXPIRE_AT_ONCE = 1000
"""Expired events that one commit erases, so that others need not wait for all."""


class Writer:
    """Owns the writing connection. Belongs to one event loop; `run` works until cancelled."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        rows: Rows,
        channel: str | None,
        options: PostgresOptions,
        committed: Callable[[PostgresLedger], None],
        forget: Callable[[], Any],
    ) -> None:
        """`pool` has one connection. `channel` is notified of commits. `committed` is told of each
        commit. `forget` is awaited once something was erased, and erases the keys here; it raises
        StoreError."""
        self._pool = pool
        self._rows = rows
        self._commit = f"NOTIFY {channel}; COMMIT" if channel else "COMMIT"
        self._options = options
        self._committed = committed
        self._forget = forget
        self._queue: asyncio.Queue[Job] = asyncio.Queue()
        self._shelves: set[int] = set()
        self._running: asyncio.Event | None = None

    async def submit(self, job: Job) -> Any:
        """Carry out a job inside a transaction; durable on return. Raises StoreFull, StoreError."""
        job.future = asyncio.get_running_loop().create_future()
        self._queue.put_nowait(job)
        return await job.future

    async def run(self) -> None:
        """Commit what waits, until cancelled; what waits then fails."""
        jobs: list[Job] = []
        try:
            while True:
                jobs = await self._gather()
                await self._carry_out(jobs)
        finally:
            while not self._queue.empty():
                jobs.append(self._queue.get_nowait())
            _fail(jobs, StoreError())

    async def _gather(self) -> list[Job]:
        jobs = [await self._queue.get()]
        events = len(jobs[0].events)
        while events < self._options.group_events and not self._queue.empty():
            job = self._queue.get_nowait()
            jobs.append(job)
            events += len(job.events)
        return jobs

    async def settled(self) -> None:
        """Wait until the transaction that runs now, if any, has ended and been told of."""
        running = self._running
        if running is not None:
            await running.wait()

    async def _carry_out(self, jobs: list[Job]) -> None:
        self._running = running = asyncio.Event()
        try:
            await self._commit_all(jobs)
        finally:
            self._running = None
            running.set()
        clean = [job for job in jobs if job.clean and not job.future.done()]
        if clean:
            try:
                await self._forget()
            except StoreError as error:
                _fail(clean, error)
        _finish(clean)

    async def _commit_all(self, jobs: list[Job]) -> None:
        """Commit, and tell of it; settles all jobs that failed, and those that need no more."""
        try:
            with store_errors():
                ledger = await self._transact(jobs)
        except Exception as error:  # whatever it was, each caller must hear of it
            self._shelves.clear()
            failure = error if isinstance(error, StoreError) else StoreError()
            failure.__cause__ = error if failure is not error else error.__cause__
            _fail(jobs, failure)
            return
        self._committed(ledger)
        _finish([job for job in jobs if not job.clean])

    async def _transact(self, jobs: list[Job]) -> PostgresLedger:
        async with self._transaction() as connection:
            ledger, erased = await self._read(connection, jobs)
            for job in jobs:
                job.result = job.work(ledger)
            await self._write(connection, ledger, erased, max(job.now for job in jobs))
        return ledger

    @contextlib.asynccontextmanager
    async def _transaction(self) -> AsyncIterator[asyncpg.Connection]:
        async with self._pool.acquire() as connection:
            try:
                await connection.execute("BEGIN; SELECT 1 FROM store FOR UPDATE")
                yield connection
                await connection.execute(self._commit)
            except BaseException:
                # What cannot be rolled back from here, the server rolls back.
                with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                    await connection.execute("ROLLBACK")
                raise

    async def _read(
        self, connection: asyncpg.Connection, jobs: Sequence[Job]
    ) -> tuple[PostgresLedger, int]:
        """A ledger that knows all that these jobs may ask, and the number of the last erasure."""
        events = [event for job in jobs for event in job.events]
        asked = Questions(self._rows, events, (name for job in jobs for name in job.ids))
        until = max(job.expired_by for job in jobs)
        found = await connection.fetch(
            _LOOK,
            *(list(each) for each in (asked.names, asked.marks, asked.targets, asked.places)),
            until,
            EXPIRE_AT_ONCE if until >= 0 else 0,
            list(asked.people),
        )
        facts = {what: number for what, _, number, _ in found if 4 <= what <= 6}
        ledger = PostgresLedger(self._rows, facts[4], facts[5])
        whole = self._learn(ledger, asked, found)
        for key, until in asked.leaving.items():
            await self._learn_leaving(connection, ledger, key, until)
        places = {place for event in whole if (place := address(event)) is not None}
        missing = {
            self._rows.place(place): place for place in places if not ledger.knows_place(place)
        }
        if missing:
            more = Questions(self._rows, (), ())
            more.places = missing
            none: list[bytes] = []
            self._learn(
                ledger,
                more,
                await connection.fetch(_LOOK, none, none, none, list(missing), -1, 0, none),
            )
        return ledger, facts[6]

    def _learn(self, ledger: PostgresLedger, asked: Questions, found: Iterable[Any]) -> list[Event]:
        """Tell the ledger what was found; returns the events that were read whole."""
        whole: list[tuple[int, Event]] = []
        floors: dict[str, Version] = {}
        deleters: dict[str, set[str]] = {}
        for what, key, number, value in found:
            if what == 0:
                ledger.learn_here([asked.names[key]])
            elif what == 1:
                name, deleter = asked.marks[key]
                deleters.setdefault(name, set()).add(deleter)
            elif what == 2:
                entry = self._rows.entry(number, value)
                if entry is not None:
                    whole.append((number, entry.event))
            elif what == 3:
                floors[asked.places[key]] = Version(number, value.hex())
            elif what == 7:
                ledger.learn_vanished(asked.people[key], number)
        for place in asked.places.values():
            ledger.learn_place(place, floors.get(place))
        for name, keys in deleters.items():
            ledger.learn_deleters(name, frozenset(keys))
        for number, event in whole:
            ledger.learn_event(number, event)
        return [event for _, event in whole]

    async def _learn_leaving(
        self, connection: asyncpg.Connection, ledger: PostgresLedger, key: str, until: int
    ) -> None:
        """Tell the ledger all that a request to vanish takes away (`vanishing_keys`)."""
        found = await connection.fetch(
            _LEAVING, self._rows.author(key), self._rows.tag("p", key), until, VANISH, GIFT_WRAP
        )
        for number, sealed in found:
            entry = self._rows.entry(number, sealed)
            if entry is not None:
                ledger.learn_event(number, entry.event)

    async def _write(
        self, connection: asyncpg.Connection, ledger: PostgresLedger, erased: int, now: int
    ) -> None:
        if ledger.erased:
            await self._erase(connection, ledger, erased + 1, now)
        if ledger.marks:
            await connection.execute(_BURY, list(ledger.marks))
        if ledger.vanishing:
            people = [self._rows.author(key) for key in ledger.vanishing]
            await connection.execute(_VANISH, people, list(ledger.vanishing.values()))
        if ledger.floors:
            floors = [
                (self._rows.place(place), floor.created_at, bytes.fromhex(floor.id))
                for place, floor in ledger.floors.items()
            ]
            await connection.execute(_FLOORS, *map(list, zip(*floors, strict=True)))
        if ledger.last != ledger.before:
            rows, tags = ledger.event_rows(), ledger.tag_rows()
            for number in {row.shelf for row in rows} - self._shelves:
                await connection.execute(shelf_sql(number))
                self._shelves.add(number)
            events = _columns(rows, 11)
            await connection.execute(_INSERT, *events, *_columns(tags, 5), ledger.head, ledger.last)

    async def _erase(
        self, connection: asyncpg.Connection, ledger: PostgresLedger, seq: int, now: int
    ) -> None:
        gone = [event for _, event in ledger.erased.values()]
        names = [self._rows.name(event.id) for event in gone]
        await connection.execute(_ERASE_EVENTS, names, list(map(shelf, gone)))
        tags = [row for event in gone for row in self._rows.tag_rows(event)]
        await connection.execute(_ERASE_TAGS, *_columns(tags, 5))
        numbers = [number for number, _ in ledger.erased.values()]
        await connection.execute("INSERT INTO erasures VALUES ($1, $2, $3)", seq, now, numbers)
        await connection.execute("UPDATE store SET erased = $1", seq)

    async def drop_old(self, now: int) -> None:
        """Drop the partitions of weeks that are over, and erasures that all have had time to see.
        Raises StoreError."""
        with store_errors():
            async with self._transaction() as connection:
                await connection.execute("SET LOCAL lock_timeout = '2s'")
                oldest = now - self._options.erasures_days * DAY
                await connection.execute("DELETE FROM erasures WHERE at < $1", oldest)
                for number in await _old_shelves(connection, now):
                    name = shelf_name(number)
                    # Empty: whatever expired was erased one by one.
                    if not await connection.fetchval(f"SELECT EXISTS (SELECT FROM events_{name})"):  # noqa: S608
                        await connection.execute(f"DROP TABLE events_{name}, tags_{name}")
                        self._shelves.discard(number)


async def _old_shelves(connection: asyncpg.Connection, now: int) -> list[int]:
    tables = await connection.fetch(
        "SELECT c.relname FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid"
        " WHERE inhparent = 'events'::regclass AND c.relname LIKE 'events_week_%'"
    )
    numbers = [int(name.removeprefix("events_week_")) for (name,) in tables]
    return [number for number in numbers if is_over(number, now)]


def _columns(rows: Sequence[Sequence[Any]], width: int) -> list[list[Any]]:
    return [[row[n] for row in rows] for n in range(width)]


def _finish(jobs: Sequence[Job]) -> None:
    for job in jobs:
        if not job.future.done():
            job.future.set_result(job.result)


def _fail(jobs: Sequence[Job], error: StoreError) -> None:
    for job in jobs:
        if not job.future.done():
            job.future.set_exception(error)
