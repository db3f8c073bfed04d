"""What a relay's clients reconcile against: sets of created_at and id, read from the store.

1. A set is read once for everybody who asks the same at the same time. A large one is kept for
   some seconds; whoever asks then gets it with what has come in since. What has left the store
   meanwhile may still stand in it, for those seconds.
2. Two sets at most are read at once, and all sets in memory together have a limit.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Generator
from dataclasses import dataclass, field
from typing import TypeVar

from volok.model.filters import Filter
from volok.relay.settings import RelaySettings
from volok.store.store import Store, Visibility, stamp
from volok.sync.negentropy_records import RECORD_BYTES, Records, assemble

T = TypeVar("T")

_SLICE_SECONDS = 0.001
"""After so much work others get their turn."""
_AT_ONCE = 2
_LARGE = 10_000
"""Records from which a set is worth keeping."""
_FRESH = 5_000
"""New entries up to which a kept set is brought up to date rather than read again."""

_Question = tuple[tuple[Filter, ...], Visibility]


class TooMany(Exception):
    """More records match than are reconciled at once."""


class NoRoom(Exception):
    """There are too many sets in memory at the moment."""


async def in_slices(work: Generator[None, None, T]) -> T:
    """Do something that yields between small slices, and let others have their turn."""
    clock = asyncio.get_running_loop().time
    started = clock()
    while True:
        try:
            next(work)
        except StopIteration as end:
            result: T = end.value
            return result
        if clock() - started > _SLICE_SECONDS:
            await asyncio.sleep(0)
            started = clock()


@dataclass(slots=True)
class _Held:
    records: Records
    head: int
    """The newest entry of the store when the set was read."""
    read_at: float
    users: int = 0


@dataclass(slots=True)
class _Turn:
    """Those who ask the same at the same time."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    askers: int = 0


class Snapshots:
    """The sets of one relay. `now` gives Unix seconds."""

    def __init__(self, store: Store, settings: RelaySettings, now: Callable[[], int]) -> None:
        self._store = store
        self._settings = settings
        self._now = now
        self._held: list[tuple[_Question, _Held]] = []
        self._reading = asyncio.Semaphore(_AT_ONCE)
        self._asking: dict[_Question, _Turn] = {}

    @property
    def records(self) -> int:
        """How many records are in memory."""
        return sum(len(held.records) for _, held in self._held)

    @contextlib.asynccontextmanager
    async def hold(
        self, filters: tuple[Filter, ...], visible: Visibility
    ) -> AsyncIterator[Records]:
        """The set of what matches any of the filters and is shown, for as long as the block lasts.

        Raises TooMany, NoRoom, StoreError.
        """
        question = filters, visible
        turn = self._asking.setdefault(question, _Turn())
        turn.askers += 1
        try:
            async with turn.lock, self._reading:
                held = await self._current(question)
                held.users += 1
        finally:
            turn.askers -= 1
            if not turn.askers:
                del self._asking[question]
        try:
            yield held.records
        finally:
            held.users -= 1
            self._tidy()

    async def _current(self, question: _Question) -> _Held:
        self._tidy()
        head = self._store.head
        for asked, held in self._held:
            if asked == question:
                if held.head == head:
                    return held
                fresh = await self._fresh(question, held)
                if fresh is not None:
                    records = await in_slices(assemble([held.records.packed, fresh]))
                    return self._keep(question, _Held(records, head, held.read_at))
        return self._keep(question, await self._read(question, head))

    async def _read(self, question: _Question, head: int) -> _Held:
        filters, visible = question
        most = min((one.limit for one in filters if one.limit is not None), default=None)
        limit = self._settings.max_reconciled
        read_at = asyncio.get_running_loop().time()
        runs = await self._store.stamps(filters, limit, self._now(), visible)
        if sum(map(len, runs)) > limit * RECORD_BYTES:
            raise TooMany
        records = await in_slices(assemble(runs))
        if most is not None and len(records) > most:
            newest = records.packed[(len(records) - most) * RECORD_BYTES :]
            records = await in_slices(assemble([newest]))
        return _Held(records, head, read_at)

    async def _fresh(self, question: _Question, held: _Held) -> bytes | None:
        """What has come in since; None when the set is to be read again."""
        filters, visible = question
        if any(one.limit is not None for one in filters):
            return None
        entries = await self._store.log(held.head, _FRESH + 1, self._now())
        if len(entries) > _FRESH:
            return None
        events = [entry.event for entry in entries]
        matching = {
            stamp(event.created_at, event.id)
            for event in events
            if visible.shows(event) and any(one.matches(event) for one in filters)
        }
        return b"".join(sorted(matching))

    def _keep(self, question: _Question, held: _Held) -> _Held:
        if len(held.records) > self._settings.max_reconciled:
            raise TooMany
        self._held = [one for one in self._held if one[0] != question or one[1].users]
        if self.records + len(held.records) > self._settings.max_reconciled_total:
            self._held = [one for one in self._held if one[1].users]
        if self.records + len(held.records) > self._settings.max_reconciled_total:
            raise NoRoom
        self._held.insert(0, (question, held))
        if len(held.records) >= _LARGE:
            loop = asyncio.get_running_loop()
            loop.call_at(held.read_at + self._settings.reconciled_seconds, self._tidy)
        return held

    def _tidy(self) -> None:
        """Forget the sets that nobody uses and that are small or old."""
        oldest = asyncio.get_running_loop().time() - self._settings.reconciled_seconds
        self._held = [
            (question, held)
            for question, held in self._held
            if held.users or (len(held.records) >= _LARGE and held.read_at > oldest)
        ]
