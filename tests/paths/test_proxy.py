"""Proxies: the login is used, nothing goes past them, and errors are sentences."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.asyncio.server import ServerConnection, serve

from volok.paths.direct import DirectSettings
from volok.paths.live import PathError
from volok.paths.proxy import ProxyPath
from volok.paths.proxy_address import InvalidProxy, ProxyAddress, parse_proxy

pytestmark = pytest.mark.own_time

pproxy = pytest.importorskip("pproxy")


@contextlib.asynccontextmanager
async def proxy() -> AsyncIterator[int]:
    """A proxy that speaks both protocols and wants the login u:p."""
    # It checks the login of each connection only when it may not remember addresses.
    server = pproxy.Server("socks5+http://127.0.0.1:0/#u:p")
    handler = await server.start_server(
        {"rserver": [pproxy.Connection("direct://")], "authtime": -1, "verbose": lambda _: None}
    )
    try:
        yield handler.sockets[0].getsockname()[1]
    finally:
        handler.close()


@contextlib.asynccontextmanager
async def echo() -> AsyncIterator[tuple[int, list[str]]]:
    hosts: list[str] = []

    async def answer(connection: ServerConnection) -> None:
        assert connection.request is not None
        hosts.append(connection.request.headers["host"])
        async for text in connection:
            await connection.send(text)

    async with serve(answer, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1], hosts


def path_to(port: int, kind: str, login: str = "u:p@", wait: float = 3.0) -> ProxyPath:
    address = parse_proxy(f"{kind}://{login}127.0.0.1:{port}")
    return ProxyPath(address, DirectSettings(open_timeout=wait))


@pytest.mark.parametrize("kind", ["socks5", "http"])
async def test_a_websocket_through_a_proxy(kind: str) -> None:
    async with proxy() as port, echo() as (relay, hosts):
        path = path_to(port, kind)
        # The name is resolved by the proxy.
        socket = await path.websocket(f"ws://localhost:{relay}/x")
        await socket.send("hello")
        assert await socket.receive() == "hello"
        await socket.ping()
        await socket.close()
        assert hosts == [f"localhost:{relay}"]
        await path.close()


@pytest.mark.parametrize("kind", ["socks5", "http"])
@pytest.mark.parametrize("login", ["u:wrong@", ""])
async def test_a_wrong_login(kind: str, login: str) -> None:
    async with proxy() as port, echo() as (relay, hosts):
        path = path_to(port, kind, login)
        with pytest.raises(PathError) as caught:
            await path.websocket(f"ws://127.0.0.1:{relay}")
        assert "127.0.0.1" not in str(caught.value)
        assert hosts == []
        await path.close()


async def test_no_proxy_there_and_one_that_says_nothing() -> None:
    async with echo() as (relay, hosts):
        path = path_to(1, "socks5")
        with pytest.raises(PathError):
            await path.websocket(f"ws://127.0.0.1:{relay}")
        await path.close()
        over = asyncio.Event()

        async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await over.wait()
            writer.close()

        async with await asyncio.start_server(wait, "127.0.0.1", 0) as server:
            path = path_to(server.sockets[0].getsockname()[1], "http", wait=0.3)
            with pytest.raises(PathError):
                await path.websocket(f"ws://127.0.0.1:{relay}")
            over.set()
        await path.close()
        assert hosts == []


async def test_plain_http_is_not_carried_past_the_proxy() -> None:
    async with proxy() as port, echo() as (relay, hosts):
        path = path_to(port, "http")
        with pytest.raises(PathError, match="wss://"):
            async with path.request("GET", f"http://127.0.0.1:{relay}/", {}):
                pass
        with pytest.raises(PathError):
            await path.websocket("nonsense")
        assert hosts == []
        assert path.capabilities.hides_address
        await path.close()


def test_addresses() -> None:
    whole = parse_proxy("socks5h://us%40er:p%3Ass@[2001:db8::1]:1080/")
    assert whole == ProxyAddress("socks5", "2001:db8::1", 1080, "us@er", "p:ss")
    assert parse_proxy(whole.to_url()) == whole
    assert whole.shown == "socks5://[2001:db8::1]:1080"
    assert "p:ss" not in whole.shown
    for wrong in (
        "",
        "socks5://host",
        "socks4://host:1",
        "http://host:1/path",
        "http://host:99999",
        "http://:80",
        "host:1080",
        "http://[::1:80",
        "http://us%0Aer:x@host:1",
        f"socks5://{'u' * 256}:x@host:1",
    ):
        with pytest.raises(InvalidProxy):
            parse_proxy(wrong)


@given(st.text())
def test_no_text_raises_anything_else(text: str) -> None:
    for url in (text, f"socks5://{text}", f"http://{text}:80"):
        with contextlib.suppress(InvalidProxy):
            assert parse_proxy(parse_proxy(url).to_url()) == parse_proxy(url)
