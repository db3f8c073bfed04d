"""Blobs to and from servers that behave in all the ways that servers do."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.sync.world import CRYPTO, Node, envelope, free_port, inbox_key

from volok.model.event import parse_event, verify_event
from volok.store.deliveries import ItemKind, MarkState
from volok.sync.engine import RelayScope

pytestmark = pytest.mark.own_time

BOB = inbox_key(2)
DATA = b"the bytes of a file" * 1000
NAME = hashlib.sha256(DATA).hexdigest()


@dataclass
class Server:
    """An HTTP server with one answer for each method, in turn; the last one stays."""

    answers: dict[str, list[tuple[int, bytes]]]
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    @property
    def methods(self) -> list[str]:
        return [line.split()[0] for line, _, _ in self.requests]

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        async with await asyncio.start_server(self._handle, "127.0.0.1", self.port) as server:
            self.port = server.sockets[0].getsockname()[1]
            yield self.url

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            line, *fields = head.strip().split("\r\n")
            headers = {
                name.lower(): value for name, _, value in (f.partition(": ") for f in fields)
            }
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            self.requests.append((line, headers, body))
            queue = self.answers.get(line.split()[0], [(404, b"")])
            status, answer = queue.pop(0) if len(queue) > 1 else queue[0]
            if status:
                length = f"HTTP/1.1 {status} X\r\nContent-Length: {len(answer)}\r\n"
                writer.write(f"{length}Connection: close\r\n\r\n".encode())
                writer.write(b"" if line.startswith("HEAD") else answer)
                await writer.drain()
        writer.close()


async def upload(node: Node, server: Server) -> tuple[MarkState, str]:
    async with server.running() as url, node.running():
        await node.blobs.put(DATA)
        node.deliveries.queue(url, NAME, kind=ItemKind.BLOB)
        await node.deliveries.settled()
    (mark,) = node.deliveries.done
    return mark.state, mark.reason


@pytest.mark.parametrize(
    ("status", "expected", "blossom"),
    [
        (200, (MarkState.TAKEN, ""), True),
        (201, (MarkState.TAKEN, ""), True),
        (404, (MarkState.REFUSED, "no-blossom"), False),
        (405, (MarkState.REFUSED, "no-blossom"), False),
        (501, (MarkState.REFUSED, "no-blossom"), False),
        (413, (MarkState.REFUSED, "too-large"), None),
        (401, (MarkState.REFUSED, "restricted"), None),
        (402, (MarkState.REFUSED, "restricted"), None),
        (415, (MarkState.REFUSED, "invalid"), None),
    ],
)
async def test_what_an_upload_ends_with(
    make_node: Any, status: int, expected: object, blossom: bool | None
) -> None:
    node, server = make_node(), Server({"PUT": [(status, b"")]})
    assert await upload(node, server) == expected
    assert (await node.deliveries.facts(server.url)).blossom is blossom
    assert [one for one in server.methods if one != "GET"] == ["HEAD", "PUT"]


async def test_an_upload_carries_a_token_of_a_key_used_once(make_node: Any) -> None:
    authors = set()
    for _ in range(2):
        server = Server({"PUT": [(200, b"{}")]})
        await upload(make_node(), server)
        ((line, headers, body),) = [one for one in server.requests if one[0].startswith("PUT")]
        assert line == "PUT /upload HTTP/1.1"
        assert body == DATA
        assert headers["x-sha-256"] == NAME
        scheme, token = headers["authorization"].split()
        event = parse_event(json.loads(base64.b64decode(token)))
        assert scheme == "Nostr"
        assert verify_event(event, CRYPTO)
        assert event.kind == 24242
        assert (event.tag("t"), event.tag("x")) == ("upload", NAME)
        assert time.time() < int(event.tag("expiration") or 0) < time.time() + 86_400
        authors.add(event.pubkey)
    assert len(authors) == 2


async def test_what_is_there_is_not_sent(make_node: Any) -> None:
    server = Server({"HEAD": [(200, b"")]})
    assert await upload(make_node(), server) == (MarkState.TAKEN, "")
    assert "PUT" not in server.methods


async def test_a_server_in_trouble_is_asked_again(make_node: Any) -> None:
    node = make_node(retry_first=(0.01,), retry_max=0.05)
    server = Server({"PUT": [(503, b""), (429, b""), (0, b""), (200, b"")]})
    assert await upload(node, server) == (MarkState.TAKEN, "")
    assert server.methods.count("PUT") == 4


async def test_a_blob_that_is_gone(make_node: Any) -> None:
    node, server = make_node(), Server({})
    async with server.running() as url, node.running():
        node.deliveries.queue(url, NAME, kind=ItemKind.BLOB)
        await node.deliveries.settled()
    assert [(mark.state, mark.reason) for mark in node.deliveries.done] == [
        (MarkState.REFUSED, "missing")
    ]


async def test_a_relay_that_cannot_be_reached_keeps_its_uploads(make_node: Any) -> None:
    """Only a relay whose websocket works is known to lack Blossom."""
    node = make_node(retry_first=(0.01,), retry_max=0.02)
    server = Server({"PUT": [(200, b"")]}, port=free_port())
    async with node.running():
        await node.blobs.put(DATA)
        node.deliveries.queue(server.url, NAME, kind=ItemKind.BLOB)
        await node.until(lambda: any(one.problem for one in node.engine.status()))
        for _ in range(20):
            await node.engine.changed()
        assert node.deliveries.done == []
        async with server.running():
            await node.deliveries.settled()
    assert node.deliveries.items(MarkState.TAKEN) == [NAME]


async def download(node: Node, *servers: Server, size: int = len(DATA)) -> None:
    async with contextlib.AsyncExitStack() as stack:
        urls = [await stack.enter_async_context(server.running()) for server in servers]
        node.deliveries.want(NAME, size, *urls)
        async with asyncio.timeout(10), node.running():
            while any(relays for _, relays in node.deliveries.wants.values()):
                await node.engine.changed()


@pytest.mark.parametrize(
    "answer",
    [
        (404, b""),
        (410, b""),
        (403, b""),
        (200, b"other bytes"),
        (200, DATA + b"more"),
        (200, DATA[:-1] + b"!"),
    ],
)
async def test_a_server_without_the_true_bytes(make_node: Any, answer: tuple[int, bytes]) -> None:
    node, server = make_node(absence_limit=0.0), Server({"GET": [answer]})
    await download(node, server)
    assert node.deliveries.wants == {NAME: (len(DATA), [])}
    assert await node.blobs.names() == []


async def test_what_is_still_on_its_way_to_the_server_is_asked_for_again(make_node: Any) -> None:
    node, server = make_node(), Server({"GET": [(404, b""), (404, b""), (200, DATA)]})
    await download(node, server)
    assert await node.blobs.get(NAME) == DATA
    assert server.methods.count("GET") >= 3


async def test_what_never_comes_is_left_alone(make_node: Any) -> None:
    node, server = make_node(absence_limit=0.1), Server({"GET": [(404, b"")]})
    await download(node, server)
    assert node.deliveries.wants == {NAME: (len(DATA), [])}
    assert server.methods.count("GET") > 1


async def test_another_server_has_it(make_node: Any) -> None:
    node = make_node()
    liar, busy = Server({"GET": [(200, b"lies")]}), Server({"GET": [(500, b"")]})
    honest = Server({"GET": [(200, DATA)]})
    await download(node, liar, busy, honest)
    assert await node.blobs.get(NAME) == DATA
    assert node.deliveries.wants == {}


async def test_a_server_that_wants_a_token_for_reading(make_node: Any) -> None:
    node, server = make_node(), Server({"GET": [(401, b""), (200, DATA)]})
    await download(node, server)
    assert await node.blobs.get(NAME) == DATA
    assert "authorization" not in server.requests[0][1]
    assert "authorization" in server.requests[1][1]


async def test_a_slow_blob_does_not_delay_messages(make_node: Any, our_relay: Any) -> None:
    alice, bob = make_node(), make_node()
    stuck, asked = asyncio.Event(), asyncio.Event()

    async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await stuck.wait()
        writer.close()

    async with (
        await asyncio.start_server(stall, "127.0.0.1", 0) as server,
        our_relay.running() as url,
        alice.running(),
        bob.running(),
    ):
        slow = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await bob.in_step(RelayScope(url, (BOB,)))
        for number in range(60):
            name, _ = await alice.blobs.put(f"blob {number}".encode())
            alice.deliveries.queue(slow, name, kind=ItemKind.BLOB)
        async with asyncio.timeout(10):
            await asked.wait()
        await alice.publish(url, envelope(BOB, "quick", int(time.time())))
        assert await bob.contents(1) == ["quick"]
        assert len(alice.deliveries.queued) >= 60
        stuck.set()
