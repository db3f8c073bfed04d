"""The writer of a SqliteStore in a process of its own, so that neither waits for the interpreter's
lock of the other.

When that process is killed, whoever waits hears of it, and another one is started: what was
committed is in the file, and what was acknowledged was committed.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

from volok.store.children import Child
from volok.store.sqlite_changes import Add, Change
from volok.store.sqlite_file import SqliteOptions
from volok.store.sqlite_wire import (
    DONE,
    FAILED,
    OPENED,
    Start,
    change_to_message,
    done_of,
    error_of,
)
from volok.store.sqlite_writing import CatchUp, Publish
from volok.store.store import Entry, StoreError

_PROGRAM = "volok.store.sqlite_process_main"
_SHORTEST, _LONGEST = 0.1, 5.0
"""Seconds before another process is started."""


class WritingProcess:
    """`Writing` by a process of its own. Belongs to the event loop that made it."""

    def __init__(self, start: Start) -> None:
        """Use `open`."""
        self.head = 0
        """See Writing."""
        self._start = start
        self._publish: Publish
        self._catch_up: CatchUp
        self._child: Child | None = None
        """The process that takes changes."""
        self._opened: asyncio.Future[int]
        """The head, once the newest process has opened the file."""
        self._ticket = 0
        self._waiting: dict[int, tuple[Change, asyncio.Future[Any]]] = {}
        self._reviving: asyncio.Task[None] | None = None
        self._closed = False

    @classmethod
    async def open(cls, path: Path, key: bytes | None, options: SqliteOptions) -> WritingProcess:
        """Start the process and have it open the file. Raises StoreFull, StoreError."""
        made = cls(Start(path, key, options))
        made._child, made.head = await made._begin()
        return made

    def start(self, publish: Publish, catch_up: CatchUp) -> None:
        """See Writing."""
        self._publish = publish
        self._catch_up = catch_up

    async def run(self, change: Change) -> Any:
        """See Writing."""
        if self._child is None:
            raise StoreError
        self._ticket += 1
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[self._ticket] = change, future
        self._child.say(change_to_message(self._ticket, change))
        return await future

    async def close(self) -> None:
        """See Writing."""
        self._closed = True
        if self._reviving is not None:
            self._reviving.cancel()
            await asyncio.wait([self._reviving])
        if self._child is not None:
            await self._child.end()

    async def _begin(self) -> tuple[Child, int]:
        self._opened = asyncio.get_running_loop().create_future()
        try:
            child = await Child.begin(_PROGRAM, self._received, self._lost)
        except OSError as error:
            raise StoreError from error
        try:
            child.say(self._start.to_message())
            head = await self._opened
            if child.has_ended:
                raise StoreError
            return child, head
        except BaseException:
            await child.end()
            raise

    async def _revive(self) -> None:
        rest = _SHORTEST
        while self._child is None:
            await asyncio.sleep(rest)
            rest = min(2 * rest, _LONGEST)
            with contextlib.suppress(StoreError):
                child, head = await self._begin()
                try:
                    await self._catch_up(head)
                except BaseException:
                    await child.end()
                    raise
                self._child = None if child.has_ended else child

    def _received(self, message: Any) -> None:
        match message:
            case kind, head, found if kind == DONE:
                self._done(head, found)
            case kind, is_full, tickets if kind == FAILED and self._opened.done():
                self._failed(tickets, error_of(is_full))
            case kind, is_full, _ if kind == FAILED:
                self._opened.set_exception(error_of(is_full))
            case kind, head if kind == OPENED and not self._opened.done():  # not closed meanwhile
                self._opened.set_result(head)

    def _done(self, head: int, found: Any) -> None:
        fresh: list[Entry] = []
        settled: list[tuple[asyncio.Future[Any], Any]] = []
        for one in done_of(found):
            change, future = self._waiting.pop(one.ticket)
            settled.append((future, one.result))
            if isinstance(change, Add):
                fresh += [
                    Entry(number, event.to_json(), event)
                    for number, event in zip(one.numbers, change.events, strict=True)
                    if number
                ]
        self._publish(fresh, head)
        for future, result in settled:
            if not future.done():
                future.set_result(result)

    def _failed(self, tickets: list[int], error: StoreError) -> None:
        for ticket in tickets:
            _, future = self._waiting.pop(ticket)
            if not future.done():
                future.set_exception(error)

    def _lost(self) -> None:
        if not self._opened.done():
            self._opened.set_exception(StoreError())
        elif self._child is not None:
            self._child = None
            self._failed(list(self._waiting), StoreError())
            if not self._closed:
                self._reviving = asyncio.create_task(self._revive())
