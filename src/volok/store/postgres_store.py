"""A store in PostgreSQL that any number of relays on any number of machines share."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import asyncpg  # type: ignore[import-untyped]

from volok.model.event import Event, is_hex32
from volok.model.filters import Filter
from volok.store import postgres_query
from volok.store.bus import Bus
from volok.store.key_file import KEY_FILE, KeyFile, WrongKeyFile
from volok.store.postgres_forgetting import Forgetting
from volok.store.postgres_ledger import PostgresLedger
from volok.store.postgres_live import (
    Batch,
    InvalidMessage,
    Order,
    parse_message,
    to_messages,
)
from volok.store.postgres_query import Asking
from volok.store.postgres_rows import Cipher, Rows
from volok.store.postgres_schema import PostgresOptions, open_pool, prepare, store_errors
from volok.store.postgres_writer import Job, Writer
from volok.store.settle import settle
from volok.store.store import Entry, Outcome, Store, StoreError, Visibility, stamp
from volok.store.tail import CATCH_UP, Tail

T = TypeVar("T")

_NOTHING_EXPIRED = -1
_RETRY_SECONDS = 0.5


class PostgresStore(Store):
    """The `Store` contract over one PostgreSQL, for many processes. Use from the event loop that
    opened it.

    Ephemeral events take numbers like all others; they reach the followers of other processes by
    the bus alone, and without a bus not at all. `head` may lag behind what others have committed,
    and a follower misses ephemeral events when messages are lost, never stored ones.

    What is erased cannot be read any more because its key is gone (`key_file`): on this machine
    when `delete`, `expire` and `flush` return, on others within `poll_seconds`.
    """

    def __init__(
        self,
        readers: asyncpg.Pool,
        writing: asyncpg.Pool,
        keys: KeyFile,
        cipher: Cipher,
        bus: Bus | None,
        state: tuple[int, int, str],
        options: PostgresOptions,
    ) -> None:
        """Use `open`. `state`: head, last number, schema."""
        head, last, schema = state
        self._readers, self._writing, self._keys, self._bus = readers, writing, keys, bus
        self._cipher = cipher
        self._options = options
        self._rows = Rows(keys, cipher)
        self._channel = f'"volok {schema}"'.replace("\0", "")
        self._subject = f"volok.{keys.secrets.database.hex()}"
        self._order = Order(last)
        self._tail = Tail(head, options.backlog)
        self._forgetting = Forgetting(keys, self._read)
        self._woken = asyncio.Event()
        self._closed = False
        self.invalid_messages = 0
        """Messages on the bus that no relay of this store has sent."""
        self._writer = Writer(
            writing,
            self._rows,
            None if bus else self._channel,
            options,
            self._committed,
            self._forgetting.run,
        )
        self._telling: asyncio.Queue[Batch] = asyncio.Queue(1000)
        self._tasks = [
            asyncio.create_task(work)
            for work in (self._writer.run(), self._watch(), self._tell(), self._listen())
        ]

    @classmethod
    async def open(
        cls,
        url: str,
        folder: Path,
        cipher: Cipher,
        bus: Bus | None = None,
        options: PostgresOptions | None = None,
    ) -> PostgresStore:
        """Open the store at this postgresql:// URL; make it if there is none.

        `folder` holds the key file, and is used by one process at a time. `bus` is closed together
        with the store. Raises WrongKeyFile when the key file there is not that of the database,
        StoreError when the database cannot be reached, OSError for the folder.
        """
        options = options or PostgresOptions()
        with contextlib.ExitStack() as undo:
            keys = await asyncio.to_thread(KeyFile.open, folder / KEY_FILE, cipher.random)
            undo.callback(keys.close)
            with store_errors():
                readers = await open_pool(url, options.readers + 1, options)
                undo.callback(readers.terminate)
                writing = await open_pool(url, 1, options)
                undo.callback(writing.terminate)
                async with writing.acquire() as connection:
                    if not await prepare(connection, keys.secrets.database):
                        raise WrongKeyFile
                    row = await connection.fetchrow(
                        "SELECT head, last, current_schema()::text FROM store"
                    )
            store = cls(readers, writing, keys, cipher, bus, tuple(row), options)
            undo.pop_all()
        try:
            await store._forgetting.run()
        except BaseException:
            await store.close()
            raise
        return store

    @property
    def head(self) -> int:
        """See Store."""
        return self._tail.head

    async def add(self, events: Sequence[Event], now: int) -> list[Outcome]:
        """See Store. When StoreError is raised, the events may have been taken in nevertheless."""

        def work(ledger: PostgresLedger) -> list[Outcome]:
            return [settle(ledger, event, now) for event in events]

        self._check_open()
        return await self._submit(Job(work, events, now=now)) if events else []

    async def query(
        self,
        filters: Sequence[Filter],
        limit: int,
        now: int,
        visible: Visibility | None = None,
    ) -> list[Entry]:
        """See Store."""
        asking = Asking(self._rows, now, visible)
        found = await self._read(lambda c: postgres_query.newest(c, asking, filters, limit))
        return [one.entry for one in found]

    async def count(
        self, filters: Sequence[Filter], now: int, visible: Visibility | None = None
    ) -> int:
        """See Store; `limit` is no condition here."""
        asking = Asking(self._rows, now, visible)
        return await self._read(lambda c: postgres_query.count(c, asking, filters))

    async def stamps(
        self,
        filters: Sequence[Filter],
        limit: int,
        now: int,
        visible: Visibility | None = None,
    ) -> list[bytes]:
        """See Store."""
        asking = Asking(self._rows, now, visible)
        whole = [replace(wanted, limit=None) for wanted in filters]
        found = await self._read(lambda c: postgres_query.newest(c, asking, whole, limit + 1))
        return [b"".join(sorted(stamp(one.created_at, one.id) for one in found))]

    async def log(self, after: int, limit: int, now: int) -> list[Entry]:
        """See Store."""
        return await self._log(after, 2**62, limit, now)

    def follow(self, after: int) -> AsyncIterator[Sequence[Entry]]:
        """See Store; what has expired but was not erased is shown. Ends with StoreError when the
        store is closed or cannot be read."""

        bound = -1

        async def read(start: int, limit: int) -> list[Entry]:
            # What is newer than the head when a follower begins to read comes live, together with
            # the ephemeral events in between.
            nonlocal bound
            if start >= bound:
                bound = self._tail.head
            found = await self._log(start, bound, limit, _NOTHING_EXPIRED)
            if not found and bound < self._tail.head:
                bound = self._tail.head
                found = await self._log(start, bound, limit, _NOTHING_EXPIRED)
            return found

        return self._tail.follow(after, read)

    async def delete(self, ids: Sequence[str]) -> int:
        """See Store. Their keys are gone on return."""
        names = [name for name in ids if is_hex32(name)]
        job = Job(lambda ledger: ledger.delete(names), ids=names, clean=True)
        return int(await self._submit(job))

    async def expire(self, now: int) -> int:
        """See Store: their keys are gone on return."""
        total = 0
        while True:
            job = Job(lambda ledger: ledger.expire(now), expired_by=now, now=now, clean=True)
            erased = await self._submit(job)
            if not erased:
                break
            total += erased
        with contextlib.suppress(StoreError):  # it only takes up room until the next time
            await self._writer.drop_old(now)
        return total

    async def flush(self) -> None:
        """See Store. Also, the keys of all that was erased so far are gone here on return."""
        self._check_open()
        await self._forgetting.run()

    async def close(self) -> None:
        """See Store. Harmless when called twice."""
        if self._closed:
            return
        self._closed = True
        self._tail.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._bus is not None:
            await self._bus.close()
        for pool in (self._readers, self._writing):
            with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                pool.terminate()
        await self._forgetting.close()

    async def _submit(self, job: Job) -> Any:
        self._check_open()
        return await self._writer.submit(job)

    async def _read(self, work: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
        self._check_open()
        with store_errors():
            async with self._readers.acquire() as connection:
                return await work(connection)

    async def _log(self, after: int, until: int, limit: int, now: int) -> list[Entry]:
        return await self._read(
            lambda c: postgres_query.log(c, self._rows, after, until, limit, now)
        )

    def _committed(self, ledger: PostgresLedger) -> None:
        if ledger.last != ledger.before:
            batch = Batch(ledger.before, ledger.last, ledger.head, ledger.entries())
            self._publish(self._order.offer(batch))
            # What does not fit is read from the database by the others.
            with contextlib.suppress(asyncio.QueueFull):
                self._telling.put_nowait(batch)
        if ledger.erased or self._order.has_gap:
            self._woken.set()

    def _heard(self, message: bytes) -> None:
        try:
            batch = parse_message(message, self._cipher, self._keys.secrets.bus)
        except InvalidMessage:
            self.invalid_messages += 1
            return
        self._publish(self._order.offer(batch))
        if self._order.has_gap:
            self._woken.set()

    def _publish(self, batches: Sequence[Batch]) -> None:
        for batch in batches:
            self._tail.publish(batch.entries, max(self._tail.head, batch.head))

    async def _tell(self) -> None:
        while True:
            batch = await self._telling.get()
            if self._bus is not None:
                key = self._keys.secrets.bus
                for message in to_messages(batch, self._cipher, key, self._bus.most):
                    await self._bus.tell(self._subject, message)

    async def _listen(self) -> None:
        """Hear of what others commit: by the bus, or from the database itself."""
        if self._bus is not None:
            await self._bus.listen(self._subject, self._heard)
            return
        channel = self._channel.strip('"')

        def heard(*_: object) -> None:
            self._woken.set()

        while True:
            ended = asyncio.Event()
            with contextlib.suppress(StoreError), store_errors():
                async with self._readers.acquire() as connection:
                    connection.add_termination_listener(partial(_set, ended))
                    await connection.add_listener(channel, heard)
                    try:
                        self._woken.set()
                        await ended.wait()
                    finally:
                        await connection.remove_listener(channel, heard)
            await asyncio.sleep(_RETRY_SECONDS)

    async def _watch(self) -> None:
        """Look for what no message has told of."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._options.poll_seconds):
                    await self._woken.wait()
            self._woken.clear()
            try:
                await self._look()
            except StoreError:
                await asyncio.sleep(_RETRY_SECONDS)

    async def _look(self) -> None:
        _, last, erased = await self._state()
        if last > self._order.position or self._order.has_gap:
            if self._bus is not None:
                # A message on its way also brings ephemeral events.
                await asyncio.sleep(self._options.patience_seconds)
            while self._order.position < last:
                await self._fill()
        if erased != self._keys.position:
            await self._forgetting.run()

    async def _state(self) -> tuple[int, int, int]:
        async def work(connection: asyncpg.Connection) -> tuple[int, int, int]:
            head, last, erased = await connection.fetchrow("SELECT head, last, erased FROM store")
            return head, last, erased

        return await self._read(work)

    async def _fill(self) -> None:
        head, last, _ = await self._state()
        # What this process has just committed may be read before the commit is known here to have
        # succeeded; and the database does not hold its ephemeral events.
        await self._writer.settled()
        start = self._order.position
        if last <= start:
            return
        entries = await self._log(start, last, CATCH_UP, _NOTHING_EXPIRED)
        if len(entries) == CATCH_UP:
            last = head = entries[-1].number
        self._publish(self._order.fill(Batch(start, last, min(head, last), entries)))

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError


def _set(event: asyncio.Event, *_: object) -> None:
    event.set()
