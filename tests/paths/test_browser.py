"""The path that looks like a browser, against real relays, and as the border sees its greeting."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from lab.tls import Hello, HelloReader
from tests.relay.covered import SECRET, Covered, covered
from websockets.asyncio.server import Request, Response, ServerConnection, serve

from volok.app.cli.relay_certificate import kept_certificate
from volok.model.relay_link import split_fragment
from volok.paths.browser import BROWSERS, BrowserPath
from volok.paths.direct import DirectSettings
from volok.paths.live import FrameTooBig, PathError
from volok.paths.names import Names

SETTINGS = DirectSettings(open_timeout=5.0)
SUBSCRIBE = '["REQ","a",{"kinds":[1],"limit":1}]'


@pytest.fixture
async def path() -> AsyncIterator[BrowserPath]:
    made = BrowserPath(Names(servers=list).dial, lambda: 0.0, SETTINGS)
    yield made
    await made.close()


@pytest.fixture
async def relay(tmp_path: Path) -> AsyncIterator[Covered]:
    async with covered(tmp_path / "relay") as made:
        yield made


@contextlib.asynccontextmanager
async def listening() -> AsyncIterator[tuple[str, asyncio.Queue[bytes]]]:
    """A server that takes what comes first and hangs up."""
    came: asyncio.Queue[bytes] = asyncio.Queue()

    async def visit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readexactly(5)
        came.put_nowait(head + await reader.readexactly(int.from_bytes(head[3:], "big")))
        writer.close()

    async with await asyncio.start_server(visit, "127.0.0.1", 0) as server:
        yield f"wss://localhost:{server.sockets[0].getsockname()[1]}/", came


async def greeting(path: BrowserPath) -> Hello:
    """What the border reads of a greeting."""
    async with listening() as (url, came):
        with pytest.raises(PathError):
            await path.websocket(url)
        reader = HelloReader()
        reader.add(await came.get())
        assert isinstance(reader.result, Hello)
        return reader.result


async def test_a_relay_with_a_pinned_key(path: BrowserPath, relay: Covered) -> None:
    socket = await path.websocket(relay.link)
    await socket.ping()
    await socket.send(SUBSCRIBE)
    while not (frame := await socket.receive()).startswith('["EOSE"'):
        assert frame.startswith(('["AUTH"', '["EVENT"'))
    await socket.close()
    with pytest.raises(PathError):
        await socket.receive()


async def test_the_greeting_is_a_browsers_and_changes(path: BrowserPath) -> None:
    seen = [await greeting(path) for _ in BROWSERS]
    assert all(hello.browser_like and hello.name == "localhost" for hello in seen)
    assert len({hello.fingerprint for hello in seen}) >= 3
    assert all(hello.alpn == ("http/1.1",) for hello in seen)


async def test_the_secret_path_is_kept_from_another_key(
    path: BrowserPath, relay: Covered, tmp_path: Path
) -> None:
    _, pin = split_fragment(relay.link)
    asked: list[str] = []

    def note(connection: ServerConnection, request: Request) -> Response:
        asked.append(request.path)
        return connection.respond(200, "hello")

    files = kept_certificate(tmp_path / "other", "localhost", lambda: 1_700_000_000.0)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files)
    async with serve(note_only, "127.0.0.1", 0, ssl=context, process_request=note) as server:
        port = server.sockets[0].getsockname()[1]
        assert pin is not None
        with pytest.raises(PathError, match="not valid"):
            await path.websocket(f"wss://127.0.0.1:{port}/{SECRET}#{pin.to_text()}")
    assert asked == ["/"]


async def note_only(_: ServerConnection) -> None:
    """Nobody gets here."""


async def test_an_unknown_authority_is_refused(path: BrowserPath, relay: Covered) -> None:
    with pytest.raises(PathError, match="not valid"):
        await path.websocket(split_fragment(relay.link)[0])


async def test_requests_and_answers_in_pieces(path: BrowserPath, relay: Covered) -> None:
    url = relay.link.replace("wss:", "https:", 1)

    async def body() -> AsyncIterator[bytes]:
        yield b"some"
        yield b"thing"

    async with path.request("GET", url, {"accept": "application/nostr+json"}) as answer:
        assert answer.status == 200
        assert answer.headers["content-type"].startswith("application/nostr+json")
        assert b"supported_nips" in b"".join([piece async for piece in answer.body])
    upload = url.replace("#", "/upload#", 1)
    async with path.request("PUT", upload, {}, body()) as answer:
        assert answer.status == 401  # no token


async def test_nobody_there(path: BrowserPath) -> None:
    async with listening() as (url, _):
        pass
    with pytest.raises(PathError, match="Nothing answers"):
        await path.websocket(url)
    with pytest.raises(PathError, match="Nothing answers"):
        async with path.request("GET", url.replace("wss:", "https:", 1), {}):
            pass


async def test_silence_ends() -> None:
    made = BrowserPath(Names().dial, lambda: 0.99, DirectSettings(open_timeout=0.3))
    quiet = asyncio.Event()

    async def visit(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await quiet.wait()
        writer.close()

    async with await asyncio.start_server(visit, "127.0.0.1", 0) as server:
        with pytest.raises(PathError, match="in time"):
            await made.websocket(f"wss://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
        quiet.set()
        await made.close()


@pytest.mark.parametrize("url", ["ws://localhost/", "wss://", "wss://x:99999/", "wss://x/#pin"])
async def test_what_it_is_not_for(path: BrowserPath, url: str) -> None:
    with pytest.raises(PathError):
        await path.websocket(url)


async def test_a_message_that_is_too_large(path: BrowserPath, relay: Covered) -> None:
    socket = await path.websocket(relay.link)
    with pytest.raises(FrameTooBig):
        await send_and_listen(socket, "x" * 3_000_000)
    await socket.close()


async def send_and_listen(socket: object, text: str) -> None:
    """Until the connection ends."""
    await socket.send(text)  # type: ignore[attr-defined]
    while True:
        await socket.receive()  # type: ignore[attr-defined]
