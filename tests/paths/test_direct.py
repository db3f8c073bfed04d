"""The direct path: real sockets, no proxy, no redirect, nothing that names the program."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from websockets.asyncio.server import ServerConnection, serve

from volok.paths.direct import DirectPath, DirectSettings
from volok.paths.live import FrameTooBig, PathError

pytestmark = pytest.mark.own_time

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
async def path() -> AsyncIterator[DirectPath]:
    settings = DirectSettings(open_timeout=1.0, read_timeout=0.5, max_frame=100_000)
    made = DirectPath(settings)
    yield made
    await made.close()


@contextlib.asynccontextmanager
async def http_server(answer: Callable[[bytes], bytes]) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that answers the head of each request with the bytes of `answer`."""
    heads: list[bytes] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            head = await reader.readuntil(b"\r\n\r\n")
            for line in head.lower().split(b"\r\n"):
                if line.startswith(b"content-length:"):
                    head += await reader.readexactly(int(line.partition(b":")[2]))
            heads.append(head)
            writer.write(answer(head))
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", heads


@contextlib.asynccontextmanager
async def websocket_server(
    handle: Callable[[ServerConnection], Awaitable[None]],
) -> AsyncIterator[str]:
    async with serve(handle, "127.0.0.1", 0) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Thing: Yes\r\n\r\nhello"


async def test_text_frames_both_ways(path: DirectPath) -> None:
    async def echo(socket: ServerConnection) -> None:
        async for text in socket:
            await socket.send(text)
            await socket.send(b"\xff binary")

    async with websocket_server(echo) as url:
        socket = await path.websocket(url)
        await socket.send("Привет")
        assert await socket.receive() == "Привет"
        assert await socket.receive() == "\ufffd binary"
        await socket.close()
        with pytest.raises(PathError):
            await socket.receive()
        with pytest.raises(PathError):
            await socket.send("gone")
        await socket.close()


async def test_nothing_names_the_program(path: DirectPath, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    async with http_server(lambda _: OK) as (place, heads):
        async with path.request("GET", f"http://{place}/x", {"accept": "text/x"}) as response:
            assert response.status == 200
        with pytest.raises(PathError):
            await path.websocket(f"ws://{place}")
    plain, upgrade = (head.decode().lower() for head in heads)
    assert plain.splitlines() == [
        "get /x http/1.1",
        f"host: {place}",
        "connection: keep-alive",
        "accept: text/x",
        "",
    ]
    for word in ("user-agent", "python", "httpx", "websockets/", "volok", "extensions", "cookie"):
        assert word not in plain + upgrade


async def test_an_answer_and_a_body_in_pieces(path: DirectPath) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"abc"
        yield b"def"

    async with http_server(lambda _: OK) as (place, heads):
        url, headers = f"http://{place}/upload", {"content-length": "6"}
        async with path.request("PUT", url, headers, pieces()) as response:
            assert response.headers["x-thing"] == "Yes"
            assert b"".join([piece async for piece in response.body]) == b"hello"
    assert heads[0].endswith(b"\r\n\r\nabcdef")
    assert b"transfer-encoding" not in heads[0].lower()


async def test_redirects_are_not_followed(path: DirectPath) -> None:
    async with http_server(lambda _: OK) as (other, visits):
        moved = f"HTTP/1.1 302 Found\r\nLocation: http://{other}/\r\nContent-Length: 0\r\n\r\n"
        async with http_server(lambda _: moved.encode()) as (place, heads):
            async with path.request("GET", f"http://{place}/", {}) as response:
                assert response.status == 302
            with pytest.raises(PathError, match="does not behave like a relay"):
                await path.websocket(f"ws://{place}")
            assert len(heads) == 2
    assert visits == []


@pytest.mark.parametrize(
    "url", ["ws://127.0.0.1:1", "ws://relay.invalid", "nonsense", "http://127.0.0.1", "ws://"]
)
async def test_no_websocket_is_a_path_error(path: DirectPath, url: str) -> None:
    with pytest.raises(PathError) as caught:
        await path.websocket(url)
    # The sentence may be logged, so it names nobody.
    assert "127.0.0.1" not in str(caught.value)
    assert "invalid" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "nonsense", "http://[", "ftp://x/"])
async def test_no_answer_is_a_path_error(path: DirectPath, url: str) -> None:
    with pytest.raises(PathError):
        async with path.request("GET", url, {}):
            pass


async def test_a_server_that_says_nothing(path: DirectPath) -> None:
    async with http_server(lambda _: b"") as (place, _):
        with pytest.raises(PathError):
            async with path.request("GET", f"http://{place}/", {}):
                pass
    quiet = asyncio.Event()

    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await quiet.wait()
        writer.close()

    async with await asyncio.start_server(wait, "127.0.0.1", 0) as server:
        place = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(PathError, match="in time"):
            async with path.request("GET", f"http://{place}/", {}):
                pass
        with pytest.raises(PathError, match="in time"):
            await path.websocket(f"ws://{place}")
        quiet.set()


async def test_a_body_that_breaks_off(path: DirectPath) -> None:
    cut = b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello"
    async with (
        http_server(lambda _: cut) as (place, _),
        path.request("GET", f"http://{place}/", {}) as response,
    ):
        with pytest.raises(PathError):
            _ = [piece async for piece in response.body]


async def test_compressed_bytes_come_as_they_are(path: DirectPath) -> None:
    """So that a small answer cannot become a large one."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc"
    async with (
        http_server(lambda _: answer) as (place, _),
        path.request("GET", f"http://{place}/", {}) as response,
    ):
        assert [piece async for piece in response.body] == [b"abc"]


async def test_frames_that_are_too_large(path: DirectPath) -> None:
    async def send_much(socket: ServerConnection) -> None:
        await socket.send("x" * 100_001)

    async with websocket_server(send_much) as url:
        socket = await path.websocket(url)
        with pytest.raises(PathError) as caught:
            await socket.receive()
        assert not isinstance(caught.value, FrameTooBig)

    async def refuse(socket: ServerConnection) -> None:
        await socket.recv()
        await socket.close(1009)

    async with websocket_server(refuse) as url:
        socket = await path.websocket(url)
        await socket.send("something")
        with pytest.raises(FrameTooBig):
            await socket.receive()


async def test_nothing_is_logged(path: DirectPath, caplog: pytest.LogCaptureFixture) -> None:
    async def greet(socket: ServerConnection) -> None:
        await socket.send("hello")

    with caplog.at_level(logging.DEBUG):
        async with websocket_server(greet) as url, http_server(lambda _: OK) as (place, _):
            caplog.clear()
            socket = await path.websocket(url)
            assert await socket.receive() == "hello"
            async with path.request("GET", f"http://{place}/secret", {}):
                pass
            ours = [one for one in caplog.records if not one.name.startswith("websockets.server")]
            assert [one.getMessage() for one in ours if one.name != "asyncio"] == []
