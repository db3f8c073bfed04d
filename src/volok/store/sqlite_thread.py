"""The writer of a SqliteStore in a thread of this process."""

from __future__ import annotations

import asyncio
import contextlib
import queue
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Thread
from typing import Any

from volok.store.sqlite_changes import Change, Job, events_in
from volok.store.sqlite_file import SqliteOptions
from volok.store.sqlite_writer import Writer
from volok.store.sqlite_writing import CatchUp, Publish
from volok.store.store import Entry, StoreError


class WritingThread:
    """`Writing` by a thread of its own. Belongs to the event loop that made it."""

    def __init__(self, writer: Writer) -> None:
        """Use `open`."""
        self.head = writer.head
        """See Writing."""
        self._publish: Publish
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._thread = Thread(
            target=writer.run, args=(self,), name="volok-store-writer", daemon=True
        )

    @classmethod
    async def open(cls, path: Path, key: bytes | None, options: SqliteOptions) -> WritingThread:
        """Open the file. Raises StoreFull, StoreError."""
        return cls(await asyncio.to_thread(Writer.open, path, key, options))

    def start(self, publish: Publish, catch_up: CatchUp) -> None:
        """See Writing."""
        self._publish = publish
        self._thread.start()

    async def run(self, change: Change) -> Any:
        """See Writing."""
        future: asyncio.Future[Any] = self._loop.create_future()
        self._queue.put(Job(change, future))
        return await future

    async def close(self) -> None:
        """See Writing."""
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    # What `volok.store.sqlite_changes.Callers` promises; called by the thread.

    def gather(self, events: int, seconds: float | None) -> tuple[list[Job], bool]:
        """See Callers."""
        jobs: list[Job] = []
        held = 0
        with contextlib.suppress(queue.Empty):
            job = self._queue.get(timeout=seconds)
            while job is not None:
                jobs.append(job)
                held += len(events_in(job))
                if held >= events:
                    break
                job = self._queue.get_nowait()
            return jobs, job is not None
        return jobs, True

    def done(self, jobs: Sequence[Job], fresh: Sequence[Entry], head: int) -> None:
        """See Callers."""
        self._on_loop(self._finish, jobs, fresh, head)

    def failed(self, jobs: Sequence[Job], error: StoreError) -> None:
        """See Callers."""
        self._on_loop(self._fail, jobs, error)

    def _on_loop(self, call: Callable[..., None], *arguments: object) -> None:
        # A loop that was closed has nobody left who waits.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(call, *arguments)

    def _finish(self, jobs: Sequence[Job], fresh: Sequence[Entry], head: int) -> None:
        self._publish(fresh, head)
        for job in jobs:
            if not job.ticket.done():
                job.ticket.set_result(job.result)

    def _fail(self, jobs: Sequence[Job], error: StoreError) -> None:
        for job in jobs:
            if not job.ticket.done():
                job.ticket.set_exception(error)
