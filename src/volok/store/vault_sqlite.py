"""The vault on a computer: an encrypted SQLite file, one writer thread, one reader thread.

1. The writer takes every transaction that waits, runs one after the other, and commits once: the
   price of a sync is shared. Callers hear of it only after the commit.
2. An error of one transaction rolls back that one alone: then the group is run once more, each
   transaction inside its own savepoint. An error of the commit, a full disk above all, fails every
   transaction of the group; none of them happened. A schema must therefore not have deferred
   constraints, which SQLite checks at the commit.
3. After a quiet moment the log is written back and cut to nothing, so that no file holds what was
   deleted. SQLite overwrites it in the main file (PRAGMA secure_delete); a full-text index needs
   its own option 'secure-delete', which whoever creates the table sets. Copies that rebalancing a
   tree leaves in the gaps of pages, under the vault's own encryption, go with `compact`.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

import apsw

from volok.store.vault import Transaction, Vault, VaultError, VaultLocked
from volok.store.vault_connection import (
    Migration,
    SqliteTransaction,
    abandon,
    connect,
    cut_log,
    prepare_reader,
    prepare_writer,
    sqlite_errors,
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class VaultSettings:
    """How a vault behaves."""

    group_limit: int = 256
    """The most transactions in one commit."""
    quiet_seconds: float = 1.0
    """How long nothing must be written before the log is cut."""
    commits_between_cuts: int = 200
    """After so many commits the log is cut even if it never gets quiet."""
    pages_limit: int | None = None
    """The most pages of 4 KiB that the file may have; None for no limit but the disk's."""


@dataclass(slots=True, eq=False)
class _Job:
    """A function that waits for its turn on a thread, and what came of it."""

    run: Callable[[apsw.Connection], Any]
    future: asyncio.Future[Any]
    alone: bool = False
    """Whether it must run outside every transaction."""
    result: Any = None
    error: BaseException | None = None


_Queue = SimpleQueue[_Job | None]


class SqliteVault(Vault):
    """A vault in one file. Made by `open`; every method belongs to the event loop that opened it.

    A call that is cancelled before its turn does not happen; later, it may have happened.
    """

    def __init__(
        self, writer: apsw.Connection, reader: apsw.Connection, settings: VaultSettings
    ) -> None:
        """For `open` alone."""
        self._loop = asyncio.get_running_loop()
        self._settings = settings
        self._closed = False
        self._writes: _Queue = SimpleQueue()
        self._reads: _Queue = SimpleQueue()
        self._writing = threading.Thread(
            target=self._write_loop, args=(writer,), name="vault-writer", daemon=True
        )
        self._reading = threading.Thread(
            target=self._read_loop, args=(reader,), name="vault-reader", daemon=True
        )
        self._writing.start()
        self._reading.start()

    @classmethod
    async def open(
        cls,
        path: Path,
        key: bytes | None,
        migrations: Sequence[Migration],
        settings: VaultSettings | None = None,
    ) -> SqliteVault:
        """Open the vault at `path`, or create it, and bring its schema up to date.

        `key` is 32 bytes; None leaves the file unencrypted, which only tests may want. Whoever
        calls holds the HomeLock. Raises WrongPassphrase, VaultTooNew (then nothing was changed),
        VaultDamaged, VaultFull, VaultError.
        """
        settings = settings or VaultSettings()
        writer, reader = await asyncio.to_thread(_connect, path, key, migrations, settings)
        return cls(writer, reader, settings)

    async def transact(self, work: Callable[[Transaction], T]) -> T:
        """See Vault. Raises VaultFull, VaultLocked, VaultError, and whatever `work` raises."""
        return await self._submit(self._writes, lambda writer: work(SqliteTransaction(writer)))

    async def read(self, work: Callable[[Transaction], T]) -> T:
        """See Vault. Raises VaultLocked, VaultError, and whatever `work` raises."""
        return await self._submit(self._reads, lambda reader: _look(reader, work))

    async def snapshot(self, path: Path) -> None:
        """Write a consistent copy, compacted and encrypted under the same key, to a new file.

        Writing goes on meanwhile. Raises VaultFull, VaultLocked, VaultError (also when `path`
        exists); what was begun at `path` must then be removed by the caller.
        """
        await self._submit(self._reads, lambda reader: _copy(reader, path))

    async def compact(self) -> None:
        """Write the whole file anew, so that nothing is left of what was deleted.

        Takes time and free space in proportion to the vault. Raises VaultFull, VaultLocked,
        VaultError; then everything is as it was.
        """
        await self._submit(self._writes, _rewrite, alone=True)

    async def flush(self) -> None:
        """Return at once: what `transact` returned for is durable. Raises VaultLocked."""
        if self._closed:
            raise VaultLocked

    async def close(self) -> None:
        """Finish what waits, cut the log, forget the key. Harmless when called twice."""
        if not self._closed:
            self._closed = True
            self._reads.put(None)
            self._writes.put(None)
        # The reader goes first: the log can be cut only when nobody reads from it.
        await asyncio.to_thread(self._reading.join)
        await asyncio.to_thread(self._writing.join)

    async def _submit(
        self, queue: _Queue, run: Callable[[apsw.Connection], T], *, alone: bool = False
    ) -> T:
        if self._closed:
            raise VaultLocked
        future: asyncio.Future[T] = self._loop.create_future()
        queue.put(_Job(run, future, alone))
        return await future

    def _write_loop(self, connection: apsw.Connection) -> None:
        uncut = 0
        open_ = True
        while open_:
            try:
                first = self._writes.get(timeout=self._settings.quiet_seconds if uncut else None)
            except Empty:
                uncut = 0 if cut_log(connection) else uncut
                continue
            group, open_ = self._gather(self._writes, first)
            if group:
                _commit(connection, [job for job in group if not job.alone])
                for job in group:
                    if job.alone:
                        _attempt(connection, job)
                self._settle(group)
                uncut += 1
            if uncut >= self._settings.commits_between_cuts and cut_log(connection):
                uncut = 0
        self._reading.join()
        cut_log(connection)
        connection.close(True)

    def _gather(self, queue: _Queue, first: _Job | None) -> tuple[list[_Job], bool]:
        """All jobs that wait, and whether the queue stays open."""
        group: list[_Job] = []
        job = first
        while job is not None:
            if not job.future.cancelled():
                group.append(job)
            if len(group) >= self._settings.group_limit:
                return group, True
            try:
                job = queue.get_nowait()
            except Empty:
                return group, True
        return group, False

    def _read_loop(self, connection: apsw.Connection) -> None:
        open_ = True
        while open_:
            group, open_ = self._gather(self._reads, self._reads.get())
            for job in group:
                _attempt(connection, job)
            if group:
                self._settle(group)
        connection.close(True)

    def _settle(self, jobs: Sequence[_Job]) -> None:
        # A loop that is gone has nobody waiting.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(_resolve, jobs)


def _connect(
    path: Path, key: bytes | None, migrations: Sequence[Migration], settings: VaultSettings
) -> tuple[apsw.Connection, apsw.Connection]:
    writer = connect(path, key)
    try:
        prepare_writer(writer, migrations, encrypted=key is not None)
        if settings.pages_limit is not None:
            writer.execute(f"PRAGMA max_page_count = {settings.pages_limit:d}").fetchall()
        # From here on only a reader can be in the way, and only of cutting the log.
        writer.set_busy_timeout(50)
        reader = connect(path, key)
        prepare_reader(reader)
    except BaseException:
        writer.close(True)
        raise
    return writer, reader


def _commit(connection: apsw.Connection, group: Sequence[_Job]) -> None:
    """Run the jobs of a group in one transaction; never raises."""
    try:
        with sqlite_errors():
            connection.execute("BEGIN IMMEDIATE")
            if not _together(connection, group):
                abandon(connection)
                if len(group) == 1:
                    return
                connection.execute("BEGIN IMMEDIATE")
                _apart(connection, group)
            connection.execute("COMMIT")
    except BaseException as error:  # whatever it was, each caller must hear of it
        kind = type(error) if isinstance(error, VaultError) else VaultError
        for job in group:
            if job.error is None:
                job.error = kind()
                job.error.__cause__ = error
        with contextlib.suppress(apsw.Error):
            abandon(connection)


def _together(connection: apsw.Connection, group: Sequence[_Job]) -> bool:
    """Run all without a savepoint for each; False as soon as one fails."""
    for job in group:
        _attempt(connection, job)
        if job.error is not None:
            return False
    return True


def _apart(connection: apsw.Connection, group: Sequence[_Job]) -> None:
    """Run all once more, so that an error rolls back its own job alone."""
    for job in group:
        job.result = job.error = None
        connection.execute("SAVEPOINT job")
        _attempt(connection, job)
        if job.error is not None:
            # After a full disk SQLite may have rolled back the whole transaction.
            if not connection.in_transaction and isinstance(job.error, VaultError):
                raise job.error
            connection.execute("ROLLBACK TO job")
        connection.execute("RELEASE job")


def _look(connection: apsw.Connection, work: Callable[[Transaction], T]) -> T:
    with sqlite_errors():
        connection.execute("BEGIN")
        try:
            return work(SqliteTransaction(connection))
        finally:
            abandon(connection)


def _rewrite(connection: apsw.Connection) -> None:
    with sqlite_errors():
        connection.execute("VACUUM").fetchall()
    cut_log(connection)


def _copy(connection: apsw.Connection, path: Path) -> None:
    # VACUUM INTO rather than SQLite's backup interface, which can write damaged copies with this
    # cipher (SQLite3 Multiple Ciphers before 2.7.0, its issue 280).
    with sqlite_errors():
        connection.execute("PRAGMA query_only = OFF").fetchall()
        try:
            connection.execute("VACUUM INTO ?", (str(path),)).fetchall()
        finally:
            connection.execute("PRAGMA query_only = ON").fetchall()


def _attempt(connection: apsw.Connection, job: _Job) -> None:
    try:
        job.result = job.run(connection)
    except StopIteration as error:  # a future cannot carry it, and its caller would wait for ever
        job.error = VaultError("A transaction raised StopIteration.")
        job.error.__cause__ = error
    except BaseException as error:
        job.error = error


def _resolve(jobs: Sequence[_Job]) -> None:
    for job in jobs:
        if job.future.done():
            continue
        if job.error is not None:
            job.future.set_exception(job.error)
        else:
            job.future.set_result(job.result)
