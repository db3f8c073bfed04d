"""Checking signatures off the event loop, a batch at a time.

Threads do where little comes: the interpreter's lock is given back for each signature, and waited
for after it. A process of its own waits for nobody; what is urgent goes to threads while it is at
work. One or two that are urgent are checked at once: that takes less than to ask somebody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from volok.model.crypto import Verifier
from volok.model.event import Event, verify_raw
from volok.store.children import Child, Parent

_THREADS = 2
_AT_ONCE = 2
_REST = 1.0
"""Seconds before a process that has ended is started again."""


class Verifying(Protocol):
    """Says which events have the right id and signature. Belongs to one event loop."""

    async def genuine(self, events: Sequence[Event], is_urgent: bool = False) -> Sequence[bool]:
        """For each of these. They come from `parse_event`. The urgent are few and not queued."""

    async def aclose(self) -> None:
        """Release what it holds; what is asked then or later may never be answered."""


class VerifyingThreads:
    """`Verifying` in this process."""

    def __init__(self, verifier: Verifier) -> None:
        self._verifier = verifier
        self._pool = ThreadPoolExecutor(_THREADS, "volok-verify")

    async def genuine(self, events: Sequence[Event], is_urgent: bool = False) -> Sequence[bool]:
        """See Verifying."""
        raws = [event.to_json() for event in events]
        if is_urgent and len(raws) <= _AT_ONCE:
            return _verify(raws, self._verifier)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, _verify, raws, self._verifier)

    async def aclose(self) -> None:
        """See Verifying."""
        await asyncio.to_thread(self._pool.shutdown, cancel_futures=True)


class VerifyingProcesses:
    """`Verifying` in processes of their own; in threads of this one while there is none."""

    def __init__(self, module: str, count: int, verifier: Verifier) -> None:
        """Use `open`."""
        self._threads = VerifyingThreads(verifier)
        self._lines = [_Line(module) for _ in range(count)]

    @classmethod
    async def open(cls, module: str, count: int, verifier: Verifier) -> VerifyingProcesses:
        """Start so many processes; the module named calls `verify_for_parent`. Raises OSError."""
        made = cls(module, count, verifier)
        for line in made._lines:
            await line.begin()
        return made

    async def genuine(self, events: Sequence[Event], is_urgent: bool = False) -> Sequence[bool]:
        """See Verifying."""
        line = min((one for one in self._lines if one.is_up), key=len, default=None)
        found: Sequence[bool] | None = None
        if line is not None and not (is_urgent and (len(line) or len(events) <= _AT_ONCE)):
            found = await line.ask([event.to_json() for event in events])
        return await self._threads.genuine(events, is_urgent) if found is None else found

    async def aclose(self) -> None:
        """See Verifying."""
        for line in self._lines:
            await line.aclose()
        await self._threads.aclose()


class _Line:
    """One process, and what it was asked."""

    def __init__(self, module: str) -> None:
        self._module = module
        self._child: Child | None = None
        self._asked: dict[int, asyncio.Future[list[bool] | None]] = {}
        self._ticket = 0
        self._reviving: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def is_up(self) -> bool:
        """Whether it can be asked."""
        return self._child is not None

    def __len__(self) -> int:
        """How many batches it has not answered."""
        return len(self._asked)

    async def begin(self) -> None:
        """Start the process. Raises OSError."""
        self._child = await Child.begin(self._module, self._received, self._lost)

    async def ask(self, raws: list[bytes]) -> list[bool] | None:
        """What it says of these; None when it has ended."""
        if self._child is None:
            return None
        self._ticket += 1
        future: asyncio.Future[list[bool] | None] = asyncio.get_running_loop().create_future()
        self._asked[self._ticket] = future
        self._child.say((self._ticket, raws))
        return await future

    async def aclose(self) -> None:
        self._closed = True
        if self._reviving is not None:
            self._reviving.cancel()
            await asyncio.wait([self._reviving])
        if self._child is not None:
            await self._child.end()

    def _received(self, message: Any) -> None:
        ticket, found = message
        future = self._asked.pop(ticket)
        if not future.done():
            future.set_result([bool(one) for one in found])

    def _lost(self) -> None:
        self._child = None
        for future in self._asked.values():
            if not future.done():
                future.set_result(None)
        self._asked.clear()
        if not self._closed:
            self._reviving = asyncio.create_task(self._revive())

    async def _revive(self) -> None:
        while self._child is None:
            await asyncio.sleep(_REST)
            try:
                await self.begin()
            except OSError:
                continue  # there is no memory for it, perhaps


def verify_for_parent(parent: Parent, verifier: Verifier) -> None:
    """Answer the parent until it ends."""
    while not parent.has_ended:
        parent.wait(None)
        for ticket, raws in parent.messages():
            parent.say((ticket, bytes(_verify(raws, verifier))))


def _verify(raws: Sequence[bytes], verifier: Verifier) -> list[bool]:
    return [verify_raw(raw, verifier) for raw in raws]
