"""The pocket relay of a node that is up, seen by an ordinary Nostr client."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from volok.app.node import Node
from volok.app.serving import serve_node
from volok.model.event import sign_event
from volok.native import NativeCrypto

NOW = 1_800_000_000
CRYPTO = NativeCrypto()


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    """A node that is up."""
    node = Node(tmp_path / "home", background=True, now=lambda: float(NOW))
    await node.start()
    await node.create("Alice", [], None)
    async with serve_node(node, 0, lambda: float(NOW)):
        yield node
    await node.stop()


def port(node: Node) -> int:
    run = node.home.read_run()
    assert run is not None
    return run.port


async def ask(socket: ClientConnection, *frame: Any) -> list[Any]:
    await socket.send(json.dumps(frame))
    return list(json.loads(await socket.recv()))


async def test_a_client_publishes_and_reads(node: Node) -> None:
    event = json.loads(sign_event(CRYPTO, CRYPTO.random(32), NOW, 1, [], "hi").to_json())
    async with connect(f"ws://127.0.0.1:{port(node)}") as socket:
        assert json.loads(await socket.recv())[0] == "AUTH"
        assert (await ask(socket, "EVENT", event))[2] is True
        assert await ask(socket, "REQ", "x", {"kinds": [1]}) == ["EVENT", "x", event]


async def test_sealed_events_are_served_to_nobody(node: Node) -> None:
    await node.chat.invite()  # lies in the store, sealed
    async with connect(f"ws://127.0.0.1:{port(node)}") as socket:
        await socket.recv()
        assert (await ask(socket, "REQ", "x", {"kinds": [1059]}))[0] == "CLOSED"
        assert (await ask(socket, "REQ", "y", {}))[0] == "EOSE"


async def test_the_information_document(node: Node) -> None:
    async with httpx.AsyncClient() as client:
        url, accept = f"http://127.0.0.1:{port(node)}/", "application/nostr+json"
        answer = await client.get(url, headers={"Accept": accept})
        assert answer.json()["name"] == "Volok pocket relay"
        page = await client.get(url, headers={"Accept": "text/html"})
        assert "nostr" not in page.headers["content-type"]


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1"])
async def test_web_pages_are_refused(node: Node, origin: str) -> None:
    with pytest.raises(InvalidStatus):
        await connect(f"ws://127.0.0.1:{port(node)}", origin=origin)  # type: ignore[arg-type]


async def test_other_host_names_are_refused(node: Node) -> None:
    with pytest.raises(InvalidStatus):
        await connect("ws://rebound.example", host="127.0.0.1", port=port(node), proxy=None)


async def test_locking_ends_it_and_unlocking_brings_it_back(node: Node) -> None:
    url = f"ws://127.0.0.1:{port(node)}"
    async with connect(url) as socket:
        await socket.recv()
        await node.lock()
        with pytest.raises(ConnectionClosed):
            await socket.recv()
    with pytest.raises(InvalidStatus):
        await connect(url)
    await node.unlock(None)
    for _ in range(100):
        try:
            async with connect(url) as socket:
                assert json.loads(await socket.recv())[0] == "AUTH"
                return
        except InvalidStatus:
            continue
    raise AssertionError("It did not come back.")
