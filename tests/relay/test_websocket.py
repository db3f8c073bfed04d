"""Websockets on real sockets, spoken by hand: what no client library would send."""

from __future__ import annotations

import asyncio
import contextlib
import json

import pytest
import websockets
from websockets.frames import Frame, Opcode

from volok.relay import websocket
from volok.relay.frames import BINARY, CLOSE, PING, PONG, TEXT

pytestmark = pytest.mark.own_time

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
"""The key and its answer of RFC 6455, section 1.3."""


def upgrade(**changes: str) -> bytes:
    headers = {
        "Host": "127.0.0.1",
        "Upgrade": "websocket",
        "Connection": "keep-alive, Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": KEY,
    }
    headers |= {name.replace("_", "-"): value for name, value in changes.items()}
    lines = [f"{name}: {value}" for name, value in headers.items() if value]
    return ("\r\n".join(["GET / HTTP/1.1", *lines]) + "\r\n\r\n").encode()


def masked(opcode: int, payload: bytes, **options: bool) -> bytes:
    return Frame(Opcode(opcode), payload, **options).serialize(mask=True)


def reserved(frame: bytes, bit: int) -> bytes:
    return bytes([frame[0] | bit]) + frame[1:]


class Bare:
    """A connection without a websocket library."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def head(self) -> bytes:
        async with asyncio.timeout(10):
            return await self.reader.readuntil(b"\r\n\r\n")

    async def frame(self) -> tuple[int, bytes]:
        async with asyncio.timeout(10):
            first, length = await self.reader.readexactly(2)
            if length == 126:
                length = int.from_bytes(await self.reader.readexactly(2))
            return first & 0x0F, await self.reader.readexactly(length)

    async def ended(self) -> None:
        """Until the other side is gone; what it still sent is dropped."""
        async with asyncio.timeout(10):
            with contextlib.suppress(ConnectionError):
                await self.reader.read(-1)


@contextlib.asynccontextmanager
async def bare(relay, request: bytes | None = None):
    reader, writer = await asyncio.open_connection("127.0.0.1", relay.address.port)
    try:
        client = Bare(reader, writer)
        writer.write(upgrade() if request is None else request)
        if request is None:
            head = await client.head()
            assert head.startswith(b"HTTP/1.1 101 ")
            assert b"Sec-WebSocket-Accept: " + ACCEPT in head
            assert b"extensions" not in head.lower()
            opcode, challenge = await client.frame()
            assert (opcode, json.loads(challenge)[0]) == (TEXT, "AUTH")
        yield client
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"Sec_WebSocket_Key": ""}, 400),
        ({"Sec_WebSocket_Key": "short"}, 400),
        ({"Sec_WebSocket_Version": "8"}, 400),
        ({"Origin": "http://strange.example"}, 403),
    ],
)
async def test_a_request_that_is_no_good_is_refused(start, changes, status):
    async with (
        start(origin_allowed=lambda origin: origin is None) as relay,
        bare(relay, upgrade(**changes)) as client,
    ):
        assert (await client.head()).startswith(b"HTTP/1.1 %d " % status)
        await client.ended()


async def test_compression_is_not_agreed_on(relay):
    request = upgrade(Sec_WebSocket_Extensions="permessage-deflate; client_max_window_bits")
    async with bare(relay, request) as client:
        assert b"extensions" not in (await client.head()).lower()
    socket = await websockets.connect(relay.address.websocket_url, compression="deflate")
    assert not socket.protocol.extensions
    await socket.close()


async def test_fragments_and_pings_between_them(relay):
    async with bare(relay) as client:
        client.writer.write(
            masked(TEXT, b'["REQ",', fin=False)
            + masked(PING, b"there?")
            + masked(0, b'"a",{}', fin=False)
            + masked(0, b"]")
        )
        assert await client.frame() == (PONG, b"there?")
        opcode, payload = await client.frame()
        assert (opcode, json.loads(payload)[:2]) == (TEXT, ["EOSE", "a"])


@pytest.mark.parametrize(
    ("wire", "code"),
    [
        (masked(TEXT, b'["REQ","\xff",{}]'), 1007),
        (reserved(masked(TEXT, b"deflated"), 0x40), 1002),
        (masked(TEXT, b"x" * 300_000), 1009),
        (Frame(Opcode.TEXT, b"[]").serialize(mask=False), 1002),
    ],
    ids=lambda value: value if isinstance(value, int) else "frame",  # masks are random
)
async def test_who_breaks_the_protocol_hears_the_code(relay, wire, code):
    async with bare(relay) as client:
        client.writer.write(wire)
        opcode, payload = await client.frame()
        assert (opcode, int.from_bytes(payload[:2])) == (CLOSE, code)
        client.writer.write(masked(CLOSE, payload[:2]))
        client.writer.write_eof()
        await client.ended()
        while relay.metrics.connections:
            await asyncio.sleep(0.01)


async def test_a_close_is_answered_and_ends_it(relay):
    async with bare(relay) as client:
        client.writer.write(masked(CLOSE, (1000).to_bytes(2) + b"bye"))
        assert await client.frame() == (CLOSE, (1000).to_bytes(2))
        await client.ended()


async def test_who_answers_no_ping_is_given_up(start):
    async with start(ping_seconds=0.1) as relay, bare(relay) as client:
        assert await client.frame() == (PING, b"")
        client.writer.write(masked(PONG, b""))
        assert await client.frame() == (PING, b"")
        await client.ended()
        while relay.metrics.connections:
            await asyncio.sleep(0.01)


async def test_who_answers_no_close_is_given_up(start, monkeypatch):
    monkeypatch.setattr(websocket, "GRACE_SECONDS", 0.1)
    async with start() as relay, bare(relay) as client:
        client.writer.write(masked(TEXT, b"x" * 300_000))
        assert (await client.frame())[0] == CLOSE
        while relay.metrics.connections:
            client.writer.write(b"x")
            await asyncio.sleep(0.01)


async def test_reading_pauses_while_much_waits_and_nothing_is_lost(start, people):
    async with start(max_pending=4) as relay, bare(relay) as client:
        events = [people[0].event(content=str(number)) for number in range(150)]
        client.writer.write(
            b"".join(masked(TEXT, b'["EVENT",%b]' % event.to_json()) for event in events)
        )
        answers = [json.loads((await client.frame())[1]) for _ in events]
        assert {answer[1] for answer in answers if answer[2]} == {event.id for event in events}
        assert await relay.store.count([], 0) == 0
        assert len(await relay.store.log(0, 1000, 0)) == len(events)


async def test_what_follows_an_auth_waits_for_it(relay, people):
    sealed = people[0].event(1059, tags=[["p", people[1].pubkey]])
    client = await relay.connect()
    await client.publish(sealed)
    answer = asyncio.create_task(client.authenticate(people[1]))
    await asyncio.sleep(0)
    await client.send("REQ", "mine", {"kinds": [1059]})
    assert (await answer)[2] is True
    assert (await client.receive())[2]["id"] == sealed.id


FLOODS = {
    "pings": masked(PING, b"x" * 100),
    "empty fragments": masked(0, b"", fin=False),
    "no JSON": masked(TEXT, b"x"),
    "bytes": masked(BINARY, b"x"),
}


@pytest.mark.parametrize("name", FLOODS)
async def test_a_flood_keeps_nobody_out(relay, people, name):
    begin = masked(TEXT, b"[", fin=False) if name == "empty fragments" else b""
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(4):
            flood = await stack.enter_async_context(bare(relay))
            flood.writer.write(begin + FLOODS[name] * 100_000)
        async with asyncio.timeout(5):
            client = await relay.connect()
            events = [people[0].event(content=f"{name} {number}") for number in range(20)]
            for event in events:
                assert (await client.publish(event))[2] is True


async def test_each_ping_of_a_reader_is_answered_in_order(relay):
    count = 1_000
    async with bare(relay) as client:
        client.writer.write(b"".join(masked(PING, b"%d" % number) for number in range(count)))
        for number in range(count):
            assert await client.frame() == (PONG, b"%d" % number)


async def test_what_a_flood_said_before_is_still_answered(relay):
    count = 3_000
    async with bare(relay) as client:
        client.writer.write(masked(TEXT, b"x") * count + masked(TEXT, b'["REQ","a",{}]'))
        for _ in range(count):
            assert json.loads((await client.frame())[1])[0] == "NOTICE"
        assert json.loads((await client.frame())[1])[:2] == ["EOSE", "a"]
