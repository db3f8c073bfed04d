"""What the system tells of real connections."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import uvloop

from volok.paths.tcp import hold, is_stuck, socket_of, traffic

pytestmark = pytest.mark.skipif(not hasattr(socket, "TCP_INFO"), reason="Only Linux tells.")


@asynccontextmanager
async def pair() -> AsyncIterator[tuple[socket.socket, socket.socket]]:
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        with socket.socket() as client:
            client.setblocking(False)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop.sock_connect(client, server.getsockname())
            accepted, _ = await loop.sock_accept(server)
            with accepted:
                yield client, accepted


async def test_bytes_and_packets_are_counted() -> None:
    async with pair() as (client, server):
        loop = asyncio.get_running_loop()
        before = traffic(client)
        await loop.sock_sendall(client, bytes(1000))
        assert len(await loop.sock_recv(server, 2000)) == 1000
        await loop.sock_sendall(server, bytes(500))
        assert len(await loop.sock_recv(client, 2000)) == 500
        after = traffic(client)
        assert before is not None
        assert after is not None
        assert after[0] - before[0] == 1500
        assert 2 <= after[1] - before[1] <= 4
        assert after[2] == 0
        assert is_stuck(client) is False


async def test_small_writes_share_a_packet_while_held_back() -> None:
    async with pair() as (client, server):
        loop = asyncio.get_running_loop()
        before = traffic(client)
        hold(client, True)
        for _ in range(5):
            await loop.sock_sendall(client, bytes(100))
        hold(client, False)
        received = 0
        while received < 500:
            received += len(await loop.sock_recv(server, 2000))
        after = traffic(client)
        assert before is not None
        assert after is not None
        assert after[1] - before[1] <= 2


async def test_of_what_is_no_tcp_nothing_is_known() -> None:
    one, other = socket.socketpair()
    with one, other:
        for thing in (one, None, "nonsense"):
            hold(thing, True)
            assert traffic(thing) is None
            assert is_stuck(thing) is None
    closed = socket.socket()
    closed.close()
    assert traffic(closed) is None


def test_a_connection_that_is_gone_has_no_socket() -> None:
    async def main() -> None:
        listener = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        async with listener:
            port = listener.sockets[0].getsockname()[1]
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            assert is_stuck(socket_of(writer.transport)) is False
            writer.transport.abort()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert is_stuck(socket_of(writer.transport)) is None

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
