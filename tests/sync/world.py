"""What the tests of sync share: a delivery log in memory, a node's parts, and a relay."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from volok.model.event import Event, sign_event
from volok.native import NativeCrypto
from volok.paths.direct import DirectPath
from volok.relay.asgi import create_app
from volok.relay.server import serve
from volok.relay.settings import RelaySettings
from volok.relay.uploads import Uploads
from volok.store.deliveries import (
    Deliveries,
    Delivery,
    ItemKind,
    Mark,
    MarkState,
    RelayFacts,
    WantedBlob,
)
from volok.store.file_blobs import FileBlobs
from volok.store.memory_store import MemoryStore
from volok.sync.dialogue import InboxKey
from volok.sync.engine import Engine, RelayScope

CRYPTO = NativeCrypto()


def inbox_key(number: int) -> InboxKey:
    """A key of ours, the same on every run."""
    secret = bytes([number]) * 32
    return InboxKey(CRYPTO.public_key(secret).hex(), secret)


def envelope(to: InboxKey, content: str, at: int, kind: int = 1059) -> Event:
    """A sealed envelope as far as relays can tell."""
    return sign_event(CRYPTO, os.urandom(32), at, kind, [("p", to.public)], content)


class MemoryDeliveries(Deliveries):
    """The delivery log in memory."""

    def __init__(self) -> None:
        self.queued: list[Delivery] = []
        self.done: list[Mark] = []
        self.wants: dict[str, tuple[int, list[str]]] = {}
        self.cursors: dict[tuple[str, str], int] = {}
        self.known: dict[str, RelayFacts] = {}
        self._number = 0
        self._queued = asyncio.Event()
        self._done = asyncio.Condition()

    def queue(self, relay: str, *items: str, kind: ItemKind = ItemKind.EVENT) -> None:
        for item in items:
            self._number += 1
            self.queued.append(Delivery(self._number, item, kind, relay))
        self._queued.set()

    def want(self, name: str, size: int, *relays: str) -> None:
        self.wants[name] = (size, list(relays))
        self._queued.set()

    def items(self, state: MarkState) -> list[str]:
        return [mark.item for mark in self.done if mark.state is state]

    async def settled(self) -> None:
        """Return when nothing waits or is wanted any more."""
        async with asyncio.timeout(30), self._done:
            await self._done.wait_for(lambda: not self.queued and not self.wants)

    async def pending(self, relay: str, limit: int, kind: ItemKind | None = None) -> list[Delivery]:
        found = [one for one in self.queued if one.relay == relay and kind in (None, one.kind)]
        return found[:limit]

    async def relays(self) -> list[str]:
        return sorted({one.relay for one in self.queued})

    async def mark(self, marks: Sequence[Mark]) -> None:
        async with self._done:
            for mark in marks:
                left = [o for o in self.queued if (o.item, o.relay) != (mark.item, mark.relay)]
                if len(left) < len(self.queued):
                    self.queued = left
                    self.done.append(replace(mark, number=len(self.done) + 1))
            self._done.notify_all()

    async def marks(self, after: int, limit: int) -> list[Mark]:
        return self.done[after : after + limit]

    async def wanted(self) -> list[WantedBlob]:
        wants = self.wants.items()
        return [WantedBlob(name, size, tuple(relays)) for name, (size, relays) in wants]

    async def missing(self, name: str, relay: str) -> None:
        async with self._done:
            self.wants[name][1].remove(relay)
            self._done.notify_all()

    async def arrived(self, name: str) -> None:
        async with self._done:
            del self.wants[name]
            self._done.notify_all()

    async def cursor(self, relay: str, inbox: str) -> int:
        return self.cursors.get((relay, inbox), 0)

    async def set_cursor(self, relay: str, inbox: str, until: int) -> None:
        self.cursors[relay, inbox] = max(until, self.cursors.get((relay, inbox), 0))

    async def facts(self, relay: str) -> RelayFacts:
        return self.known.get(relay, RelayFacts(relay))

    async def set_facts(self, facts: RelayFacts) -> None:
        news = {name: value for name, value in asdict(facts).items() if value is not None}
        self.known[facts.url] = replace(await self.facts(facts.url), **news)

    async def changed(self) -> None:
        await self._queued.wait()
        self._queued.clear()


@dataclass
class Node:
    """The parts of a node that sync works with."""

    engine: Engine
    store: MemoryStore
    blobs: FileBlobs
    deliveries: MemoryDeliveries
    path: DirectPath
    stack: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)

    async def contents(self, count: int) -> list[str]:
        """The contents of everything received, once there are so many."""
        found: list[str] = []
        async with asyncio.timeout(30):
            async for entries in self.store.follow(0):
                found += [entry.event.content for entry in entries]
                if len(found) >= count:
                    return found
        raise AssertionError

    async def publish(self, url: str, *events: Event) -> None:
        """Put events into the store and queue them for a relay."""
        await self.store.add(events, int(time.time()))
        self.deliveries.queue(url, *(event.id for event in events))

    async def in_step(self, *scopes: RelayScope) -> None:
        """Set scopes, and return when the engine says that it is in step with all relays."""
        self.engine.set_scopes(scopes)
        await self.until(
            lambda: (
                len(self.engine.status()) >= len(scopes)
                and all(one.in_step for one in self.engine.status())
            )
        )

    async def until(self, true: Callable[[], bool]) -> None:
        """Return when a condition over the status holds."""
        async with asyncio.timeout(30):
            while not true():
                await self.engine.changed()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.engine.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@dataclass
class OurRelay:
    """A relay of ours that keeps its store when it is stopped and started again."""

    folder: Path
    store: MemoryStore = field(default_factory=MemoryStore)
    settings: RelaySettings = field(default_factory=RelaySettings)
    port: int = 0

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        app = create_app(
            self.store,
            CRYPTO,
            self.settings,
            blobs=FileBlobs(self.folder),
            uploads=Uploads(None),
            clock=time.time,
        )
        async with serve(app, "127.0.0.1", self.port, self.settings) as address:
            self.port = address.port
            yield address.websocket_url


def free_port() -> int:
    """A port that nothing listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
