"""Where a relay does not see who is there, nothing done there shows what belongs together."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tests.sync.world import CRYPTO, MemoryDeliveries, Node, envelope, inbox_key
from websockets.asyncio.client import connect

from volok.paths.direct import DirectPath
from volok.paths.live import Socket
from volok.store.deliveries import MarkState
from volok.store.file_blobs import FileBlobs
from volok.store.memory_store import MemoryStore
from volok.sync.dialogue import InboxKey
from volok.sync.engine import Engine, RelayScope
from volok.sync.settings import SyncSettings

pytestmark = pytest.mark.own_time

STAY, REST = 0.8, 0.2
KEYS = (inbox_key(1), inbox_key(2), inbox_key(3))


class Listening(Socket):
    """A socket that notes what it sends."""

    def __init__(self, inner: Socket) -> None:
        self.inner = inner
        self.began = asyncio.get_running_loop().time()
        self.ended: float | None = None
        self.sent: list[list[Any]] = []

    async def send(self, text: str) -> None:
        self.sent.append(json.loads(text))
        await self.inner.send(text)

    async def receive(self) -> str:
        return await self.inner.receive()

    async def ping(self) -> None:
        await self.inner.ping()

    async def close(self) -> None:
        self.ended = self.ended or asyncio.get_running_loop().time()
        await self.inner.close()

    @property
    def shows(self) -> set[str]:
        """The inboxes asked for, the keys shown and the events published: what the relay could put
        together."""
        found: set[str] = set()
        for frame in self.sent:
            match frame:
                case ["REQ", _, *filters]:
                    found |= {key for one in filters for key in one.get("#p", ())}
                case ["AUTH", event]:
                    found.add(event["pubkey"])
                case ["EVENT", event]:
                    found.add(event["id"])
        return found


class ListeningPath(DirectPath):
    """The direct path, which may say that it hides the address."""

    def __init__(self, hides: bool) -> None:
        super().__init__()
        self.hides = hides
        self.sockets: list[Listening] = []

    def separates(self, url: str) -> bool:
        return self.hides

    async def websocket(self, url: str) -> Socket:
        self.sockets.append(Listening(await super().websocket(url)))
        return self.sockets[-1]


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    path = ListeningPath(hides=True)
    store, deliveries = MemoryStore(), MemoryDeliveries()
    blobs = FileBlobs(tmp_path / "blobs")
    settings = SyncSettings(rota_spread=0.3, rota_stay=STAY, rota_rest=REST)
    engine = Engine(store, blobs, deliveries, path, CRYPTO, time.time, settings)
    yield Node(engine, store, blobs, deliveries, path)
    await path.close()


async def test_an_inbox_or_an_event_for_each_connection(node: Node, our_relay: Any) -> None:
    assert isinstance(node.path, ListeningPath)
    now = int(time.time())
    events = [envelope(KEYS[n % 3], f"message {n}", now - n) for n in range(6)]
    async with our_relay.running() as url, node.running():
        node.engine.set_scopes([RelayScope(url, KEYS)])
        await node.publish(url, *events)
        await node.deliveries.settled()
        assert len(node.deliveries.items(MarkState.TAKEN)) == 6
        # What is published comes back to the inboxes, so reading works beside it.
        await node.until(lambda: all(one.in_step for one in node.engine.status()))
        assert sorted(await node.contents(6)) == sorted(event.content for event in events)
    for socket in node.path.sockets:
        assert len(socket.shows) <= 1, socket.sent
    shown = set().union(*(socket.shows for socket in node.path.sockets))
    assert shown == {key.public for key in KEYS} | {event.id for event in events}


async def test_inboxes_are_read_on_a_rota(node: Node, our_relay: Any) -> None:
    """Each is left and read again, at moments of its own, and nothing that comes is missed."""
    assert isinstance(node.path, ListeningPath)
    path = node.path

    def turns(key: InboxKey) -> list[Listening]:
        return [socket for socket in path.sockets if key.public in socket.shows]

    async with our_relay.running() as url, node.running(), connect(url) as sender:
        node.engine.set_scopes([RelayScope(url, KEYS)])
        sent = 0
        while min(len(turns(key)) for key in KEYS) < 4:
            sent += 1
            event = envelope(KEYS[sent % 3], f"message {sent}", int(time.time()))
            await sender.send(f'["EVENT",{event.to_json().decode()}]')
            assert f"message {sent}" in await node.contents(sent)
            begun = len(path.sockets)
            await node.until(lambda begun=begun: len(path.sockets) > begun)
    assert all(one.ended is not None for one in path.sockets)
    lives = [[(one.began, one.ended or 0.0) for one in turns(key)[:3]] for key in KEYS]
    for mine in lives:
        assert all(end - start <= 1.5 * STAY + 0.3 for start, end in mine)
        assert all(start >= end for (_, end), (start, _) in pairwise(mine))
    ends = sorted(end for mine in lives for _, end in mine)
    assert max(later - sooner for sooner, later in pairwise(ends)) > 0.02


async def test_a_relay_that_is_no_longer_seen_is_dealt_with_anew(
    node: Node, our_relay: Any
) -> None:
    assert isinstance(node.path, ListeningPath)
    node.path.hides = False
    async with our_relay.running() as url, node.running():
        await node.in_step(RelayScope(url, KEYS))
        assert len(node.path.sockets) == 1
        node.path.hides = True
        node.engine.replan()
        await node.until(lambda: len(node.path.sockets) == 4)
        await node.until(lambda: all(one.in_step for one in node.engine.status()))
    assert len(node.path.sockets[0].shows) == 3
    assert sorted(len(one.shows) for one in node.path.sockets[1:]) == [1, 1, 1]


async def test_a_refused_event_does_not_hold_up_the_others(node: Node, our_relay: Any) -> None:
    now = int(time.time())
    far = envelope(KEYS[0], "from the future", now + 86_400)
    async with our_relay.running() as url, node.running():
        await node.publish(url, far, envelope(KEYS[0], "now", now))
        await node.deliveries.settled()
    assert node.deliveries.items(MarkState.REFUSED) == [far.id]
    assert len(node.deliveries.items(MarkState.TAKEN)) == 1
