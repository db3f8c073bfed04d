"""Blobs over connections that freeze early: in parts, resumed, and true in the end."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.paths.freezing import Detour, border_to
from tests.sync.test_transfer import Server
from tests.sync.world import CRYPTO, MemoryDeliveries, Node, free_port

from volok.paths.asking import AskingSettings
from volok.paths.budget import BudgetSettings
from volok.paths.choice import ChoiceSettings
from volok.paths.ground import Candidate
from volok.paths.many import ManyPaths, ManySettings
from volok.paths.watch import WatchSettings
from volok.store.deliveries import ItemKind, MarkState
from volok.store.file_blobs import FileBlobs
from volok.store.memory_store import MemoryStore
from volok.sync.engine import Engine
from volok.sync.settings import SyncSettings

pytestmark = pytest.mark.own_time

DATA = os.urandom(150_000)
NAME = hashlib.sha256(DATA).hexdigest()
LIMIT = 16_000
QUICK = ManySettings(
    choice=ChoiceSettings(retry_first=0.2),
    watch=WatchSettings(silence=0.3, quiet=0.2, ping_wait=0.3, latency_factor=0.0, slowest=1e6),
    budget=BudgetSettings(drain=0.1),
    asking=AskingSettings(head_wait=0.4, body_wait=0.4, next_wait=0.4, slowest=1e6),
)
SECRET = bytes(32)
Make = Callable[..., Node]


@pytest.fixture
async def confined(tmp_path: Path) -> AsyncIterator[Make]:
    """Make a node all of whose connections lead to this port of loopback."""
    made: list[ManyPaths] = []

    def make(port: int, many: ManySettings = QUICK) -> Node:
        store, deliveries = MemoryStore(), MemoryDeliveries()
        candidates = [Candidate("direct", Detour(port, 1.0), lambda _: True)]
        clock = asyncio.get_running_loop().time
        path = ManyPaths(candidates, lambda: "here", clock, lambda: 0.0, many)
        made.append(path)
        blobs = FileBlobs(tmp_path / "blobs")
        around = SyncSettings(retry_first=(0.05,), retry_max=0.1)
        engine = Engine(store, blobs, deliveries, path, CRYPTO, time.time, around, SECRET)
        return Node(engine, store, blobs, deliveries, path)  # type: ignore[arg-type]

    yield make
    for path in made:
        await path.close()


async def fetched(node: Node) -> None:
    async with asyncio.timeout(25):
        while node.deliveries.wants:
            await node.engine.changed()


async def test_an_upload_gets_through_in_parts(our_relay: Any, confined: Make) -> None:
    async with our_relay.running() as url, border_to(our_relay.port, LIMIT) as border:
        node = confined(border.port)
        await node.blobs.put(DATA)
        async with node.running():
            node.deliveries.queue(url, NAME, kind=ItemKind.BLOB)
            await node.deliveries.settled()
        assert node.deliveries.items(MarkState.TAKEN) == [NAME]
        assert border.connections > 9
        assert await FileBlobs(our_relay.folder).get(NAME) == DATA


async def test_a_download_gets_through_in_parts_and_goes_on_after_a_restart(
    make_node: Any, our_relay: Any, confined: Make, tmp_path: Path
) -> None:
    async with our_relay.running() as url, border_to(our_relay.port, LIMIT) as border:
        abroad = make_node()
        await abroad.blobs.put(DATA)
        async with abroad.running():
            abroad.deliveries.queue(url, NAME, kind=ItemKind.BLOB)
            await abroad.deliveries.settled()
        border.total = len(DATA) // 2
        first = confined(border.port)
        unfinished = tmp_path / "blobs" / "unfinished"
        async with first.running(), asyncio.timeout(20):
            first.deliveries.want(NAME, len(DATA), url)
            while not sum(path.stat().st_size for path in unfinished.iterdir()):
                await asyncio.sleep(0.01)
        began = sum(path.stat().st_size for path in unfinished.iterdir())
        assert 0 < began < len(DATA)
        border.total = None
        again = confined(border.port)
        again.deliveries.want(NAME, len(DATA), url)
        before = sum(border.carried)
        async with again.running():
            await fetched(again)
        assert await again.blobs.get(NAME) == DATA
        assert list(unfinished.iterdir()) == []
        # What had arrived did not come again; each connection costs some bytes of its own.
        connections = len(border.carried)
        assert sum(border.carried) - before < len(DATA) - began + 1500 * connections


async def test_without_a_limit_a_blob_goes_whole_over_few_connections(
    our_relay: Any, confined: Make
) -> None:
    async with our_relay.running() as url, border_to(our_relay.port) as border:
        node = confined(border.port, ManySettings())
        names = [(await node.blobs.put(os.urandom(50_000)))[0] for _ in range(8)]
        async with node.running():
            node.deliveries.queue(url, *names, kind=ItemKind.BLOB)
            await node.deliveries.settled()
        assert len(node.deliveries.items(MarkState.TAKEN)) == 8
        # One is the websocket's, two are asked at once.
        assert border.connections <= 4


async def test_where_a_server_takes_no_parts_small_files_are_given_back(confined: Make) -> None:
    """A whole upload is tried a few times, and then left to those who can send it otherwise."""
    server = Server({"PUT": [(200, b"{}")], "OPTIONS": [(204, b"")]})
    async with server.running() as url, border_to(server.port, LIMIT) as border:
        node = confined(border.port)
        await node.blobs.put(DATA)
        async with node.running():
            node.deliveries.queue(url, NAME, kind=ItemKind.BLOB)
            await node.deliveries.settled()
    (mark,) = node.deliveries.done
    assert (mark.state, mark.reason) == (MarkState.REFUSED, "cut-short")
    assert "PUT" not in server.methods
    assert "OPTIONS" in server.methods
    assert border.connections < 40


async def test_a_server_that_ignores_ranges_gives_the_whole(confined: Make) -> None:
    server = Server({"GET": [(200, DATA)]})
    async with server.running() as url:
        node = confined(server.port)
        await node.blobs.unfinished.extend(f"{NAME} {url}", 0, _once(DATA[:5000]), len(DATA))
        node.deliveries.want(NAME, len(DATA), url)
        async with node.running():
            await fetched(node)
        assert await node.blobs.get(NAME) == DATA
        assert server.requests[-1][1]["range"] == "bytes=5000-"


async def test_damaged_beginnings_are_fetched_anew(
    make_node: Any, our_relay: Any, confined: Make
) -> None:
    async with our_relay.running() as url:
        abroad = make_node()
        await abroad.blobs.put(DATA)
        async with abroad.running():
            abroad.deliveries.queue(url, NAME, kind=ItemKind.BLOB)
            await abroad.deliveries.settled()
        node = confined(our_relay.port)
        await node.blobs.unfinished.extend(f"{NAME} {url}", 0, _once(bytes(5000)), len(DATA))
        node.deliveries.want(NAME, len(DATA), url)
        async with node.running():
            await fetched(node)
        assert await node.blobs.get(NAME) == DATA


@pytest.mark.parametrize(
    "fields",
    [
        "Content-Range: bytes 0-9/99",
        "Content-Range: bytes 5000-5009/5",
        "Content-Range: nonsense",
        "X: y",
    ],
)
async def test_ranges_that_make_no_sense(confined: Make, fields: str) -> None:
    async def lie(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            head = f"HTTP/1.1 206 X\r\n{fields}\r\nContent-Length: 10\r\nConnection: close\r\n\r\n"
            writer.write(head.encode() + b"0123456789")
            await writer.drain()
        writer.close()

    async with await asyncio.start_server(lie, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        node = confined(port)
        url = f"ws://127.0.0.1:{port}"
        await node.blobs.unfinished.extend(f"{NAME} {url}", 0, _once(DATA[:5000]), len(DATA))
        node.deliveries.want(NAME, len(DATA), url)
        async with node.running(), asyncio.timeout(10):
            while not node.engine._transfers.problems and node.deliveries.wants[NAME][1]:
                await node.engine.changed()
    assert await node.blobs.names() == []


async def test_a_silent_relay_holds_up_no_picture(make_node: Any, our_relay: Any) -> None:
    """Both ways the relay that answers is not kept waiting for the one that does not."""

    async def swallow(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await reader.read()

    node = make_node(transfer_patience=0.2)
    names = [(await node.blobs.put(os.urandom(1000)))[0] for _ in range(3)]
    async with (
        await asyncio.start_server(swallow, "127.0.0.1", 0) as server,
        our_relay.running() as url,
        node.running(),
    ):
        silent = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        for relay in (silent, url):
            node.deliveries.queue(relay, *names, kind=ItemKind.BLOB)
        async with asyncio.timeout(5):
            while len(node.deliveries.items(MarkState.TAKEN)) < 3:
                await node.engine.changed()
        other = make_node(transfer_patience=0.2)
        async with other.running():
            for name in names:
                other.deliveries.want(name, 1000, silent, url)
            async with asyncio.timeout(5):
                while other.deliveries.wants:
                    await other.engine.changed()
        assert sorted(await other.blobs.names()) == sorted(names)


async def test_a_relay_that_is_gone_keeps_what_waits(confined: Make) -> None:
    node = confined(free_port())
    await node.blobs.put(DATA)
    async with node.running(), asyncio.timeout(10):
        node.deliveries.queue("ws://127.0.0.1:1", NAME, kind=ItemKind.BLOB)
        while not node.engine._transfers.problems:
            await node.engine.changed()
    assert node.deliveries.done == []


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data
