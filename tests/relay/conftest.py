"""A relay on a real socket and a client that speaks to it in decoded messages."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import websockets
from tests.own_time import pytest_asyncio_loop_factories

from volok.model.auth import auth_event
from volok.model.event import Event, sign_event
from volok.native import NativeCrypto
from volok.relay.asgi import create_app
from volok.relay.metrics import Metrics
from volok.relay.server import Address, serve
from volok.relay.settings import RelaySettings
from volok.relay.uploads import Uploads
from volok.store.file_blobs import FileBlobs
from volok.store.memory_store import MemoryStore
from volok.store.store import Store

__all__ = ["pytest_asyncio_loop_factories"]

NOW = 1_800_000_000
CRYPTO = NativeCrypto()


@dataclass(frozen=True)
class Person:
    """A key that signs."""

    secret: bytes

    @property
    def pubkey(self) -> str:
        return CRYPTO.public_key(self.secret).hex()

    def event(self, kind: int = 1, content: str = "", tags: Any = (), at: int = NOW) -> Event:
        return sign_event(CRYPTO, self.secret, at, kind, tags, content)


class Client:
    """One websocket; messages are JSON values."""

    def __init__(self, socket: websockets.ClientConnection, challenge: str, url: str) -> None:
        self.socket = socket
        self.challenge = challenge
        self.url = url
        self.hints: list[str] | None = None

    async def send(self, *message: Any) -> None:
        await self.socket.send(json.dumps(message))

    async def receive(self) -> list[Any]:
        """The next message. The hints of EOSE (NIP-67) are put aside, in `hints`."""
        async with asyncio.timeout(10):
            message = json.loads(await self.socket.recv())
        if message[0] == "EOSE":
            self.hints = message[2] if len(message) > 2 else None
            return message[:2]
        return message

    async def ask(self, *message: Any) -> list[Any]:
        await self.send(*message)
        return await self.receive()

    async def publish(self, event: Event) -> list[Any]:
        return await self.ask("EVENT", json.loads(event.to_json()))

    async def fetch(self, *filters: Any) -> list[str]:
        """Ids of stored events; ends the subscription."""
        await self.send("REQ", "fetch", *filters)
        ids = []
        while (message := await self.receive())[0] == "EVENT":
            ids.append(message[2]["id"])
        assert message == ["EOSE", "fetch"], message
        await self.send("CLOSE", "fetch")
        return ids

    async def authenticate(self, person: Person, url: str | None = None) -> list[Any]:
        event = auth_event(CRYPTO, person.secret, url or self.url, self.challenge, NOW)
        return await self.ask("AUTH", json.loads(event.to_json()))


@dataclass
class Clock:
    """Time that stands still until a test moves it."""

    now: float = NOW

    def __call__(self) -> float:
        return self.now


@dataclass
class Relay:
    """A running relay and its parts."""

    address: Address
    store: Store
    blobs: FileBlobs
    uploads: Uploads
    metrics: Metrics
    clock: Clock
    _stack: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)

    async def connect(self, **options: Any) -> Client:
        url = self.address.websocket_url
        socket = await self._stack.enter_async_context(websockets.connect(url, **options))
        name, challenge = json.loads(await socket.recv())
        assert name == "AUTH"
        return Client(socket, challenge, url)


@pytest.fixture
def people() -> list[Person]:
    """Four keys."""
    return [Person(bytes([number]) * 32) for number in range(1, 5)]


@pytest.fixture
def make_store() -> Callable[[Path], Awaitable[Store]]:
    """Opens the store of a relay, given its folder."""

    async def make_store(_folder: Path) -> Store:
        return MemoryStore()

    return make_store


@pytest.fixture
def start(tmp_path, make_store) -> Callable[..., Any]:
    """A context manager that runs a relay with changed settings."""

    @contextlib.asynccontextmanager
    async def start(
        origin_allowed=lambda origin: True, folder: Path = tmp_path, **changes: Any
    ) -> AsyncIterator[Relay]:
        settings = replace(RelaySettings(), **changes)
        store, blobs, uploads = await make_store(folder), FileBlobs(folder / "blobs"), Uploads(None)
        metrics, clock = Metrics(), Clock()
        app = create_app(
            store,
            CRYPTO,
            settings,
            blobs=blobs,
            uploads=uploads,
            clock=clock,
            metrics=metrics,
            origin_allowed=origin_allowed,
        )
        async with serve(app, "127.0.0.1", 0, settings) as address:
            relay = Relay(address, store, blobs, uploads, metrics, clock)
            async with relay._stack:
                yield relay
            assert metrics.failures == 0
        await store.close()

    return start


@pytest.fixture
async def relay(start) -> AsyncIterator[Relay]:
    """A relay with the default settings."""
    async with start() as running:
        yield running
