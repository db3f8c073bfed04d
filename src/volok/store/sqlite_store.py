"""The embedded store: one SQLite file, one writer with group commit, several readers."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import AsyncIterator, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import apsw

from volok.model.event import Event, is_hex32
from volok.model.filters import Filter
from volok.store import sqlite_query
from volok.store.sqlite_changes import Add, Change, Delete, Expire, Flush
from volok.store.sqlite_drive import Ask, Rows
from volok.store.sqlite_file import SqliteOptions, open_reader, store_errors
from volok.store.sqlite_process import WritingProcess
from volok.store.sqlite_reading import Reading
from volok.store.sqlite_thread import WritingThread
from volok.store.sqlite_writing import Writing
from volok.store.store import Entry, Outcome, Store, StoreError, Visibility
from volok.store.tail import CATCH_UP, Tail

T = TypeVar("T")

_NOTHING_EXPIRED = -1


class SqliteStore(Store):
    """The `Store` contract over one SQLite file. Use from the event loop that opened it.

    Ephemeral events take numbers like all others, and no number that was shown is ever used again;
    `head` is the number of the newest stored event. A follower that does not keep up misses
    ephemeral events, never stored ones. With a key, the file is encrypted (ChaCha20-Poly1305 of
    SQLite3 Multiple Ciphers), and what it holds can be read only with that key.
    """

    def __init__(
        self, writing: Writing, path: Path, key: bytes | None, options: SqliteOptions
    ) -> None:
        """Use `open`."""
        self._options = options
        self._closed = False
        self._tail = Tail(writing.head, options.backlog)
        self._writing = writing
        writing.start(self._tail.publish, self._catch_up)
        self._connections: queue.SimpleQueue[apsw.Connection] = queue.SimpleQueue()
        for _ in range(options.readers):
            self._connections.put(open_reader(path, key, options))
        self._pool = ThreadPoolExecutor(options.readers, thread_name_prefix="volok-store-reader")

    @classmethod
    async def open(
        cls, path: Path, key: bytes | None = None, options: SqliteOptions | None = None
    ) -> SqliteStore:
        """Open the store in this file; make it if there is none. One process at a time.

        `key` is 32 random bytes; the same one each time. Raises StoreFull, StoreError.
        """
        options = options or SqliteOptions()
        kind = WritingProcess if options.own_process else WritingThread
        writing = await kind.open(path, key, options)
        try:
            return cls(writing, path, key, options)
        except BaseException:
            await writing.close()
            raise

    @property
    def head(self) -> int:
        """See Store."""
        return self._tail.head

    async def add(self, events: Sequence[Event], now: int) -> list[Outcome]:
        """See Store."""
        outcomes: list[Outcome] = await self._write(Add(events, now))
        return outcomes

    async def query(
        self,
        filters: Sequence[Filter],
        limit: int,
        now: int,
        visible: Visibility | None = None,
    ) -> list[Entry]:
        """See Store."""
        return await self._read(sqlite_query.entries(filters, limit, now, visible))

    async def count(
        self, filters: Sequence[Filter], now: int, visible: Visibility | None = None
    ) -> int:
        """See Store."""
        return await self._read(sqlite_query.count(filters, now, visible))

    async def stamps(
        self,
        filters: Sequence[Filter],
        limit: int,
        now: int,
        visible: Visibility | None = None,
    ) -> list[bytes]:
        """See Store."""
        return await self._read(sqlite_query.stamps(filters, limit, now, visible))

    async def log(self, after: int, limit: int, now: int) -> list[Entry]:
        """See Store."""
        return await self._read(sqlite_query.log(after, limit, now))

    def follow(self, after: int) -> AsyncIterator[Sequence[Entry]]:
        """See Store; what has expired but was not erased is shown. Ends with StoreError when the
        store is closed."""

        async def read(start: int, limit: int) -> list[Entry]:
            return await self.log(start, limit, _NOTHING_EXPIRED)

        return self._tail.follow(after, read)

    async def delete(self, ids: Sequence[str]) -> int:
        """See Store. Their bytes are gone from the files on return."""
        erased: int = await self._write(Delete([name for name in ids if is_hex32(name)]))
        return erased

    async def expire(self, now: int) -> int:
        """See Store."""
        total = 0
        while erased := await self._write(Expire(now)):
            total += erased
        await self.flush()
        return total

    async def flush(self) -> None:
        """See Store. Also, what was erased so far is gone from the files on return."""
        await self._write(Flush())

    async def close(self) -> None:
        """See Store. Harmless when called twice."""
        if self._closed:
            return
        self._closed = True
        self._tail.close()
        # The last connection to close would copy the log without what `Log.cut` does.
        await asyncio.to_thread(self._close_readers)
        await self._writing.close()

    async def _write(self, change: Change) -> Any:
        self._check_open()
        return await self._writing.run(change)

    async def _catch_up(self, head: int) -> None:
        while self._tail.head < head:
            missed = await self.log(self._tail.head, CATCH_UP, _NOTHING_EXPIRED)
            self._tail.publish(missed, missed[-1].number if missed else head)

    async def _read(self, asking: Generator[Ask, Rows, T]) -> T:
        """Run a read in turns, so that a long one delays the others by little."""
        self._check_open()
        loop = asyncio.get_running_loop()
        read = Reading(asking, self._options.turn_seconds)
        while not await loop.run_in_executor(self._pool, self._turn, read):
            self._check_open()
        return read.result

    def _turn(self, read: Reading[T]) -> bool:
        connection = self._connections.get()
        try:
            with store_errors():
                connection.execute("BEGIN")
                try:
                    return read.go_on(connection)
                finally:
                    connection.execute("COMMIT")
        finally:
            self._connections.put(connection)

    def _close_readers(self) -> None:
        self._pool.shutdown()
        while not self._connections.empty():
            self._connections.get().close()

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError
