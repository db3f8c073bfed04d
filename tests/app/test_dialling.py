"""Connections of drops: straight, or by what the person added."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pproxy
import pytest
from tests.end_to_end.nodes import Person

from volok.app.dialling import Dialler


@pytest.fixture
async def ana(tmp_path: Path) -> AsyncIterator[Person]:
    """Somebody without relays, whose node does nothing by itself."""
    person = Person(tmp_path, "Ana")
    person.background = False
    await person.come_back()
    await person.node.create("Ana", [], None)
    yield person
    await person.leave()


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """Of a server that says from which port it was called."""

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"%d\n" % writer.get_extra_info("peername")[1])
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def called_from(dialler: Dialler, port: int) -> tuple[int, int]:
    """Our port of a connection, and that from which the server was called."""
    connection = await dialler("127.0.0.1", port)
    ours = connection.getsockname()[1]
    reader, writer = await asyncio.open_connection(sock=connection)
    said = int(await reader.readline())
    writer.close()
    return ours, said


async def test_straight_where_nothing_was_added(ana: Person, port: int) -> None:
    ours, said = await called_from(ana.node.drops.dial, port)
    assert ours == said
    with pytest.raises(ConnectionRefusedError):
        await ana.node.drops.dial("127.0.0.1", 1)


async def test_by_the_proxy_alone_where_it_is_to_be_the_only_way(ana: Person, port: int) -> None:
    proxy = await pproxy.Server("socks5://127.0.0.1:0").start_server(
        {"rserver": [pproxy.Connection("direct://")], "authtime": -1}
    )
    try:
        at = proxy.sockets[0].getsockname()[1]
        await ana.node.paths.add(f"socks5://127.0.0.1:{at}", only=True)
        ours, said = await called_from(ana.node.drops.dial, port)
        assert ours != said
    finally:
        proxy.close()
    with pytest.raises(OSError, match="proxy"):
        await ana.node.drops.dial("127.0.0.1", port)


async def test_straight_first_where_a_proxy_is_one_more_way(ana: Person, port: int) -> None:
    proxy = await pproxy.Server("socks5://127.0.0.1:0").start_server(
        {"rserver": [pproxy.Connection("direct://")], "authtime": -1}
    )
    try:
        await ana.node.paths.add(f"socks5://127.0.0.1:{proxy.sockets[0].getsockname()[1]}")
        ours, said = await called_from(ana.node.drops.dial, port)
        assert ours == said
    finally:
        proxy.close()
