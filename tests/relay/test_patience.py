"""Clients that mean no good, or are in trouble, over HTTP: what they hold is bounded."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import resource

import httpx
import pytest
from tests.relay.test_blossom import DATA, NAME, token, upload

from volok.relay import patience, reading

pytestmark = pytest.mark.own_time

GET = f"GET /{NAME} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()


@pytest.fixture
async def dial(relay):
    """Opens raw connections."""
    async with contextlib.AsyncExitStack() as stack:

        async def dial():
            reader, writer = await asyncio.open_connection("127.0.0.1", relay.address.port)
            stack.callback(writer.transport.abort)
            return reader, writer

        yield dial


@pytest.fixture
def quick(monkeypatch):
    """What takes a minute takes a moment."""
    monkeypatch.setattr(patience, "HEAD_SECONDS", 0.3)
    monkeypatch.setattr(patience, "STALL_SECONDS", 0.3)
    monkeypatch.setattr(reading, "IDLE_SECONDS", 0.3)


async def ended(reader):
    """Waits for the other side to end the connection; returns what came before."""
    async with asyncio.timeout(10):
        try:
            return await reader.read()
        except ConnectionError:
            return b""


async def status(reader):
    async with asyncio.timeout(10):
        head = await reader.readuntil(b"\r\n\r\n")
    return int(head.split()[1])


def put(person, length, *headers, data=DATA):
    name = hashlib.sha256(data).hexdigest()
    lines = [
        "PUT /upload HTTP/1.1",
        "Host: 127.0.0.1",
        f"Authorization: {token(person, blob=name)['Authorization']}",
        *([f"Content-Length: {length}"] if length is not None else []),
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode()


@pytest.mark.parametrize(
    "begin", [b"", b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ", b"GET / HTTP/1.1\r\n", b"G"]
)
async def test_half_a_request_is_not_waited_for_for_ever(quick, dial, begin):
    reader, writer = await dial()
    writer.write(begin)
    assert await ended(reader) == b""


async def test_bytes_now_and_then_are_no_head(quick, dial):
    reader, writer = await dial()

    async def trickle():
        writer.write(b"GET / HTTP/1.1\r\n")
        while True:
            writer.write(b"X: y\r\n")
            await asyncio.sleep(0.05)

    trickling = asyncio.create_task(trickle())
    assert await ended(reader) == b""
    trickling.cancel()


async def test_after_an_answer_the_next_request_is_waited_for_as_long(quick, dial):
    reader, writer = await dial()
    writer.write(GET)
    assert await status(reader) == 404
    writer.write(GET)
    assert await status(reader) == 404
    writer.write(GET[:20])
    assert await ended(reader) == b""


async def test_whoever_reads_nothing_is_left(quick, relay, people, dial):
    data = os.urandom(20_000_000)
    name = hashlib.sha256(data).hexdigest()
    async with httpx.AsyncClient(base_url=relay.address.http_url) as http:
        await upload(http, people[0], data)
    reader, writer = await dial()
    writer.transport.pause_reading()
    writer.write(GET.replace(NAME.encode(), name.encode()))
    async with asyncio.timeout(10):
        while relay.metrics.blobs_served == 0:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.5)
    writer.transport.resume_reading()
    assert len(await ended(reader)) < len(data)
    assert open_files(name) == 0


def open_files(name):
    links = [f"/proc/self/fd/{one}" for one in os.listdir("/proc/self/fd")]
    found = 0
    for link in links:
        with contextlib.suppress(OSError):
            found += name in os.readlink(link)
    return found


async def test_many_half_open_connections_keep_nobody_out(monkeypatch, relay, people, dial):
    monkeypatch.setattr(patience, "MOST", 20)
    openings = [await dial() for _ in range(60)]
    async with httpx.AsyncClient(base_url=relay.address.http_url, timeout=10) as http:
        assert (await upload(http, people[0])).status_code == 201
        # The oldest have made room.
        assert await ended(openings[0][0]) == b""
        client = await relay.connect()
        assert (await client.publish(people[0].event()))[2]
        await asyncio.gather(*(dial() for _ in range(30)))
        assert (await client.publish(people[0].event(content="a")))[2]


async def test_an_upload_that_stands_still_is_cut(quick, relay, people, dial):
    reader, writer = await dial()
    writer.write(put(people[0], len(DATA)) + DATA[:1000])
    assert await status(reader) == 408
    assert await relay.blobs.names() == []
    assert list(relay.blobs._incoming.iterdir()) == []


async def test_slow_uploads_make_room_for_others(monkeypatch, start, people):
    monkeypatch.setattr(reading, "_SETTLED_SECONDS", 0.2)
    async with (
        start(max_uploads=4) as relay,
        httpx.AsyncClient(base_url=relay.address.http_url, timeout=10) as http,
        contextlib.AsyncExitStack() as stack,
    ):
        slow = []
        for _ in range(4):
            reader, writer = await asyncio.open_connection("127.0.0.1", relay.address.port)
            stack.callback(writer.close)
            writer.write(put(people[1], len(DATA)) + DATA[:100])
            slow.append(reader)
        async with asyncio.timeout(10):
            while len(list(relay.blobs._incoming.iterdir())) < 4:
                await asyncio.sleep(0.01)
        # They were quick to come: nobody is thrown out at once.
        assert (await upload(http, people[0], b"mine")).status_code == 503
        await asyncio.sleep(0.3)
        assert (await upload(http, people[0], b"mine")).status_code == 201
        assert relay.metrics.uploads_cut == 1
        answers = [asyncio.create_task(status(reader)) for reader in slow]
        done, pending = await asyncio.wait(answers, return_when=asyncio.FIRST_COMPLETED)
        assert [task.result() for task in done] == [408]
        for task in pending:
            task.cancel()


@pytest.mark.parametrize("length", ["-1", "1e3", "0x10", "9" * 30, "5, 6", "", "+5"])
async def test_lengths_that_are_none(relay, people, dial, length):
    reader, writer = await dial()
    writer.write(put(people[0], length) + DATA[:10])
    assert await status(reader) in (400, 413)
    assert await relay.blobs.names() == []


async def test_a_body_that_is_shorter_or_longer_than_it_says(quick, relay, people, dial):
    reader, writer = await dial()
    writer.write(put(people[0], 10) + DATA)
    assert await status(reader) == 409
    reader, writer = await dial()
    writer.write(put(people[0], len(DATA) + 10) + DATA)
    writer.write_eof()
    await ended(reader)
    reader, writer = await dial()
    writer.write(put(people[0], None, "Transfer-Encoding: chunked") + b"ffffffffffffffff\r\n")
    assert await status(reader) == 408
    assert await relay.blobs.names() == []
    assert relay.uploads.time(NAME) is None


async def test_two_ways_to_say_where_a_body_ends_are_one_too_many(relay, people, dial):
    reader, writer = await dial()
    smuggled = b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    headers = ("Transfer-Encoding: chunked", "Connection: close")
    writer.write(put(people[0], 5, *headers, data=b"") + smuggled)
    assert (await ended(reader)).count(b"HTTP/1.1") == 1


async def test_heads_have_an_end(dial):
    for head in (
        b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 40_000 + b"\r\n",
    ):
        reader, writer = await dial()
        writer.write(head)
        answer = await ended(reader)
        assert answer.startswith(b"HTTP/1.1 4") or answer == b""


async def test_a_refused_upload_is_not_read_to_its_end(quick, relay, people, dial):
    reader, writer = await dial()
    writer.write(put(people[0], 10**12))
    assert await status(reader) == 413

    async def flood():
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(bytes(65536))
                await writer.drain()

    async with asyncio.timeout(10):
        await flood()


async def test_parallel_uploads_take_bounded_memory(start, people):
    """Eight uploads of 16 MB each at once."""
    async with (
        start(max_uploads=8) as relay,
        httpx.AsyncClient(base_url=relay.address.http_url, timeout=60) as http,
    ):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        blobs = [bytes([number]) * 1_000_000 for number in range(8)]

        def pieces(piece):
            async def send():
                for _ in range(16):
                    yield piece

            return send()

        async def send(piece):
            digest = hashlib.sha256()
            for _ in range(16):
                digest.update(piece)
            headers = token(people[0], blob=digest.hexdigest())
            return await http.put("/upload", content=pieces(piece), headers=headers)

        answers = await asyncio.gather(*map(send, blobs))
        assert {answer.status_code for answer in answers} == {201}
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert grown < 64 * 1024  # kilobytes; both ends of them are in this process
