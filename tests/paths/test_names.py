"""Looking names up, and connecting where they are forged."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest

from lab import dns
from volok.paths import names
from volok.paths.answers import read_name_servers
from volok.paths.names import Names, NamesSettings

pytestmark = pytest.mark.own_time


async def test_dial_reaches_a_listener_by_name_and_by_address():
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    looking = Names()
    for host in ("localhost", "127.0.0.1"):
        connection = await looking.dial(host, port)
        assert connection.getpeername()[1] == port
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        connection.close()
    server.close()
    await server.wait_closed()
    with pytest.raises(ConnectionRefusedError):
        await looking.dial("127.0.0.1", port)
    looking.close()


async def test_a_name_is_asked_once_at_a_time_and_holds_up_no_other(monkeypatch):
    asked: list[str] = []
    begun, answer = threading.Event(), threading.Event()

    def look_up(host: str, port: int) -> list[names.Address]:
        asked.append(host)
        if host == "dead":
            begun.set()
            answer.wait(20)
            raise socket.gaierror(socket.EAI_AGAIN, "no answer")
        return [(socket.AF_INET, ("127.0.0.1", port))]

    monkeypatch.setattr(names, "_look_up", look_up)
    looking = Names()
    waiting = [asyncio.create_task(looking.addresses("dead", 1)) for _ in range(40)]
    assert await looking.addresses("alive", 2) == [(socket.AF_INET, ("127.0.0.1", 2))]
    assert await asyncio.to_thread(begun.wait, 20)
    assert asked.count("dead") == 1
    waiting[0].cancel()
    answer.set()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert all(isinstance(result, OSError) for result in results[1:])
    with pytest.raises(OSError, match="no answer"):
        await looking.addresses("dead", 1)
    assert asked.count("dead") == 2
    looking.close()


# Forged names: a name server that lies first and is truthful later, and listeners on loopback.


class Resolver(asyncio.DatagramProtocol):
    """Answers every question for an IPv4 address: with a forged answer at once, with the true one
    a little later."""

    def __init__(self, forged: str, true: str, delay: float = 0.1) -> None:
        self._forged = forged
        self._true = true
        self._delay = delay
        self.asked = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.parse_query(data)
        assert query is not None
        self.asked += query.type == dns.A
        self._transport.sendto(b"nonsense", addr)
        self._transport.sendto(dns.answer(query, [self._forged]), addr)
        asyncio.get_running_loop().call_later(
            self._delay, self._transport.sendto, dns.answer(query, [self._true]), addr
        )


class Ground:
    """A port on several addresses of loopback, and a name server that lies about them."""

    TRUE, FORGED, DEAD = "127.0.0.2", "127.0.0.3", "127.0.0.4"

    def __init__(self, monkeypatch: pytest.MonkeyPatch, names_: Names, port: int) -> None:
        self.names = names_
        self.port = port
        self._monkeypatch = monkeypatch
        self.system_says([self.FORGED])

    def system_says(self, addresses: list[str]) -> None:
        def look_up(_: str, port: int) -> list[names.Address]:
            if not addresses:
                raise socket.gaierror(socket.EAI_NONAME, "no such name")
            return [(socket.AF_INET, (address, port)) for address in addresses]

        self._monkeypatch.setattr(names, "_look_up", look_up)

    async def dialled(self, *, proves: str = TRUE) -> str:
        """Where a connection leads; who is there can prove it at one address."""
        connection = await self.names.dial("relay.example", self.port)
        where = str(connection.getpeername()[0])
        if where == proves:
            connection.proved()
        connection.close()
        return where


@pytest.fixture
async def resolver() -> AsyncIterator[tuple[Resolver, tuple[str, int]]]:
    transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: Resolver(Ground.FORGED, Ground.TRUE), local_addr=("127.0.0.1", 0)
    )
    yield protocol, transport.get_extra_info("sockname")
    transport.close()


@pytest.fixture
async def ground(
    resolver: tuple[Resolver, tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Ground]:
    listeners: list[asyncio.Server] = []
    port = 0
    for address in (Ground.TRUE, Ground.FORGED):
        listeners.append(
            await asyncio.start_server(lambda _, writer: writer.close(), address, port)
        )
        port = listeners[0].sockets[0].getsockname()[1]
    looking = Names(NamesSettings(listen=0.3), servers=lambda: [resolver[1]])
    yield Ground(monkeypatch, looking, port)
    looking.close()
    for listener in listeners:
        listener.close()
        await listener.wait_closed()


async def test_after_a_forged_address_showed_itself_the_later_answer_is_taken(ground: Ground):
    assert await ground.dialled() == Ground.FORGED
    assert await ground.dialled() == Ground.TRUE


async def test_a_name_of_which_nothing_is_doubted_is_not_asked_for_twice(
    ground: Ground, resolver: tuple[Resolver, tuple[str, int]]
):
    ground.system_says([ground.TRUE])
    assert await ground.dialled() == Ground.TRUE
    assert resolver[0].asked == 0


async def test_where_nothing_answers_at_a_forged_address_the_later_answer_is_taken(
    ground: Ground,
):
    ground.system_says([ground.DEAD])
    assert await ground.dialled() == Ground.FORGED
    assert await ground.dialled() == Ground.TRUE


async def test_a_name_that_the_system_denies_is_asked_for(ground: Ground):
    ground.system_says([])
    assert {await ground.dialled() for _ in range(2)} == {ground.FORGED, ground.TRUE}


async def test_where_the_right_one_was_before_needs_no_name_server(
    ground: Ground, resolver: tuple[Resolver, tuple[str, int]]
):
    ground.system_says([ground.TRUE])
    assert await ground.dialled() == Ground.TRUE
    ground.system_says([ground.FORGED])
    assert await ground.dialled() == Ground.TRUE
    assert resolver[0].asked == 0


async def test_a_relay_that_moved_is_found_again(ground: Ground):
    ground.system_says([ground.TRUE])
    assert await ground.dialled() == Ground.TRUE
    ground.system_says([ground.FORGED])
    reached = [await ground.dialled(proves=ground.FORGED) for _ in range(5)]
    assert reached[-1] == ground.FORGED


async def test_a_silent_address_holds_up_the_next_for_its_head_start_only(ground: Ground):
    with socket.socket() as silent:  # takes no more connections than wait already
        silent.bind((ground.DEAD, ground.port))
        silent.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex((ground.DEAD, ground.port))
        ground.system_says([ground.DEAD, ground.TRUE])
        async with asyncio.timeout(5):
            assert await ground.dialled() == ground.TRUE
        for one in waiting:
            one.close()


async def test_whoever_gives_up_leaves_nothing_open(ground: Ground):
    ground.system_says([ground.DEAD])
    ground.names = Names(NamesSettings(listen=60), servers=list)
    dialling = asyncio.create_task(ground.dialled())
    await asyncio.sleep(0)
    before = asyncio.all_tasks()
    dialling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await dialling
    assert asyncio.all_tasks() <= before - {dialling}


async def test_an_address_needs_no_name_server(
    ground: Ground, resolver: tuple[Resolver, tuple[str, int]]
):
    ground.system_says([ground.DEAD])
    with pytest.raises(ConnectionRefusedError):
        await ground.names.dial(ground.DEAD, ground.port)
    assert resolver[0].asked == 0


def test_name_servers_are_those_of_the_system(tmp_path: Path):
    path = tmp_path / "resolv.conf"
    assert read_name_servers(path) == ()
    path.write_text(
        "# a comment\nsearch example\nnameserver 192.0.2.53\nnameserver\nnameserver 2001:db8::53\n"
        "nameserver mistyped\nnameserver 192.0.2.53\n"
    )
    assert read_name_servers(path) == (("192.0.2.53", 53), ("2001:db8::53", 53))
