"""Many paths as one: races, freezes, falling back and returning; over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest
from tests.paths.freezing import Detour, border_to
from websockets.asyncio.server import ServerConnection, serve

from volok.paths.asking import AskingSettings
from volok.paths.budget import BudgetSettings
from volok.paths.choice import ChoiceSettings, Place
from volok.paths.ground import Candidate, relay_of
from volok.paths.live import LivePath, NoPath, PathError, Resumable, Socket
from volok.paths.many import ManyPaths, ManySettings
from volok.paths.watch import WatchSettings

pytestmark = pytest.mark.own_time

QUICK = ManySettings(
    choice=ChoiceSettings(head_start=0.05, head_start_most=0.2, patience=0.3, retry_first=0.2),
    watch=WatchSettings(silence=0.15, quiet=0.15, ping_wait=0.15, latency_factor=0.0, slowest=1e6),
    budget=BudgetSettings(drain=0.1),
    asking=AskingSettings(head_wait=0.4, body_wait=0.4),
    trial_wait=0.5,
    return_after=0.05,
)


Make = Callable[..., ManyPaths]


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    made: list[ManyPaths] = []

    def make_one(settings: ManySettings = QUICK, **paths: LivePath) -> ManyPaths:
        clock = asyncio.get_running_loop().time
        candidates = [Candidate(name, path, lambda _: True) for name, path in paths.items()]
        made.append(ManyPaths(candidates, lambda: "here", clock, lambda: 0.0, settings))
        return made[-1]

    yield make_one
    for one in made:
        await one.close()


@contextlib.asynccontextmanager
async def echo() -> AsyncIterator[int]:
    async def answer(connection: ServerConnection) -> None:
        async for text in connection:
            await connection.send(text)

    async with serve(answer, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


URL = "ws://relay.example:80"
PLACE = Place("here", "relay.example:80")


async def says(socket: Socket, text: str = "hello") -> None:
    await socket.send(text)
    assert await socket.receive() == text


def test_the_relay_of_a_url() -> None:
    assert relay_of("wss://Relay.Example/x#pin") == relay_of("https://relay.example:443")
    assert relay_of("ws://a") == "a:80"
    with pytest.raises(PathError):
        relay_of("ws://a:99999")


async def test_the_cheapest_that_works_is_taken_and_kept(make: Make) -> None:
    async with echo() as port:
        cheap, dear = Detour(1, 1.0), Detour(port, 2.0)
        rests = replace(QUICK.choice, retry_first=50.0)
        many = make(replace(QUICK, choice=rests), dear=dear, cheap=cheap)
        for _ in range(3):
            socket = await many.websocket(URL)
            await says(socket)
            assert many.in_use == {"relay.example:80": ("dear",)}
            await socket.close()
            assert many.in_use == {}
        assert (cheap.tried, dear.tried) == (1, 3)
        # Its rest is over and it works again.
        cheap.port = port
        many.memory.failed(PLACE, "cheap", asyncio.get_running_loop().time() - 100, 0.0)
        socket = await many.websocket(URL)
        await says(socket)
        assert many.in_use == {"relay.example:80": ("cheap",)}
        await socket.close()


async def test_a_silent_path_costs_its_head_start(make: Make) -> None:
    async with echo() as port:
        silent, open_ = Detour(None, 1.0), Detour(port, 2.0)
        many = make(silent=silent, open=open_)
        async with asyncio.timeout(1):
            socket = await many.websocket(URL)
        await says(socket)
        assert many.in_use == {"relay.example:80": ("open",)}
        await socket.close()


async def test_never_more_than_three_handshakes(make: Make) -> None:
    async with echo() as port:
        silent, open_ = Detour(None, 1.0), Detour(port, 2.0)
        many = make(silent=silent, more=silent, open=open_)
        Detour.most = 0
        urls = [f"ws://relay{number}.example" for number in range(6)]
        sockets = await asyncio.gather(*map(many.websocket, urls))
        for socket in sockets:
            await says(socket)
            await socket.close()
        assert Detour.most == 3


async def test_nothing_works(make: Make) -> None:
    many = make(first=Detour(1, 1.0), second=Detour(1, 2.0))
    with pytest.raises(PathError, match="Nothing answers"):
        await many.websocket(URL)
    with pytest.raises(PathError, match="Nothing answers"):
        async with many.request("GET", "http://relay.example/", {}):
            pass
    with pytest.raises(PathError, match="No path"):
        await make().websocket(URL)
    with pytest.raises(PathError, match="No path"):
        async with make().request("GET", "http://relay.example/", {}):
            pass


async def test_cancelling_leaves_nothing_behind(make: Make) -> None:
    silent = Detour(None, 1.0)
    many = make(silent=silent)
    attempt = asyncio.create_task(many.websocket(URL))
    while not silent.at_once:
        await asyncio.sleep(0)
    attempt.cancel()
    await asyncio.gather(attempt, return_exceptions=True)
    await many.close()
    assert silent.at_once == 0


async def test_a_freeze_is_noticed_within_seconds_and_the_way_around_is_taken(make: Make) -> None:
    async with echo() as port, border_to(port) as border:
        direct, around = Detour(border.port, 1.0), Detour(port, 2.0)
        many = make(direct=direct, around=around)
        socket = await many.websocket(URL)
        await says(socket)
        border.limit = 0
        await socket.send("is anybody there?")
        async with asyncio.timeout(2):
            with pytest.raises(PathError, match="stopped carrying"):
                await socket.receive()
        await socket.close()
        # Next to nothing passed, so that no allowance could help.
        many.memory.failed(PLACE, "direct", asyncio.get_running_loop().time(), 0.0)
        socket = await many.websocket(URL)
        await says(socket)
        assert many.in_use == {"relay.example:80": ("around",)}
        # The cheap one is back: the socket ends itself so that its user returns.
        border.limit = None
        async with asyncio.timeout(3):
            with pytest.raises(Resumable):
                await socket.receive()
        await socket.close()
        socket = await many.websocket(URL)
        await says(socket)
        assert many.in_use == {"relay.example:80": ("direct",)}
        await socket.close()


async def test_a_frozen_download_is_noticed(make: Make) -> None:
    sent = asyncio.Event()

    async def pour(connection: ServerConnection) -> None:
        await connection.recv()
        await connection.send("some")
        await sent.wait()
        with contextlib.suppress(Exception):
            await connection.send("x" * 60_000)
            await connection.wait_closed()

    async with (
        serve(pour, "127.0.0.1", 0) as server,
        border_to(server.sockets[0].getsockname()[1]) as border,
    ):
        many = make(direct=Detour(border.port, 1.0))
        socket = await many.websocket(URL)
        await socket.send("please")
        assert await socket.receive() == "some"
        border.limit = border.carried[0] + 5000
        sent.set()
        async with asyncio.timeout(2):
            with pytest.raises(PathError):
                await socket.receive()
        await socket.close()


async def test_a_busy_relay_that_answers_pings_is_no_freeze(make: Make) -> None:
    async with echo() as port:

        async def slow(connection: ServerConnection) -> None:
            await connection.recv()
            await asyncio.sleep(0.6)
            await connection.send("at last")

        async with serve(slow, "127.0.0.1", 0) as server:
            many = make(direct=Detour(server.sockets[0].getsockname()[1], 1.0))
            socket = await many.websocket(URL)
            await socket.send("hello")
            assert await socket.receive() == "at last"
            await socket.close()
    assert port


async def test_after_a_freeze_connections_end_themselves_in_time(make: Make) -> None:
    """With a border of 16 KB all of 60 messages of 1 KB arrive, serially, and nothing freezes
    twice."""
    async with echo() as port, border_to(port, 16_000) as border:
        many = make(direct=Detour(border.port, 1.0))
        wanted, freezes, renewals = list(range(60)), 0, 0
        async with asyncio.timeout(20):
            while wanted:
                socket = await many.websocket(URL)
                try:
                    while wanted:
                        await socket.send(f"{wanted[0]:05}" + "x" * 1400)
                        wanted.remove(int((await socket.receive())[:5]))
                except Resumable as error:
                    renewals += 1
                    freezes += "stopped" in str(error)
                await socket.close()
        assert freezes == 1
        assert renewals == border.connections - 1 > 5
        assert max(border.carried[1:]) < 16_000


async def test_a_path_that_carries_next_to_nothing_has_failed(make: Make) -> None:
    async with echo() as port, border_to(port, 1500) as border:
        direct, around = Detour(border.port, 1.0), Detour(port, 2.0)
        many = make(direct=direct, around=around)
        async with asyncio.timeout(20):
            for _ in range(8):
                socket = await many.websocket(URL)
                try:
                    await socket.send("y" * 3000)
                    await socket.receive()
                    break
                except PathError:
                    pass
                finally:
                    await socket.close()
            else:
                pytest.fail("never got around")
        assert around.tried


async def test_a_path_that_breaks_before_anything_came_is_blamed(make: Make) -> None:
    async def hang_up(connection: ServerConnection) -> None:
        await connection.recv()
        connection.transport.abort()

    async with serve(hang_up, "127.0.0.1", 0) as server, echo() as port:
        bad, good = Detour(server.sockets[0].getsockname()[1], 1.0), Detour(port, 2.0)
        many = make(bad=bad, good=good)
        socket = await many.websocket(URL)
        await socket.send("hello")
        with pytest.raises(PathError):
            await socket.receive()
        await socket.close()
        socket = await many.websocket(URL)
        await says(socket)
        await socket.close()


@contextlib.asynccontextmanager
async def http_server(answer: bytes, hold: bool = False) -> AsyncIterator[tuple[int, list[bytes]]]:
    bodies: list[bytes] = []
    over = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            size = head.partition(b"content-length:")[2].partition(b"\r\n")[0]
            bodies.append(await reader.readexactly(int(size or b"0")))
            writer.write(answer)
            await writer.drain()
            if hold:
                await over.wait()
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], bodies
    finally:
        over.set()
        server.close()


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


async def test_requests_go_the_way_that_answers(make: Make) -> None:
    async with http_server(b"", hold=True) as (silent, _), http_server(OK) as (port, bodies):
        stuck, around = Detour(silent, 1.0), Detour(port, 2.0)
        many = make(stuck=stuck, around=around)
        for _ in range(2):
            async with many.request("PUT", "http://relay.example/x", {}, b"abc") as response:
                assert response.status == 200
                assert b"".join([piece async for piece in response.body]) == b"hello"
        assert bodies == [b"abc", b"abc"]
        assert stuck.tried == 1


async def test_a_body_that_was_begun_is_not_sent_twice(make: Make) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"abc"

    async with http_server(b"", hold=True) as (silent, _), http_server(OK) as (port, bodies):
        many = make(stuck=Detour(silent, 1.0), around=Detour(port, 2.0))
        url, headers = "http://relay.example/x", {"content-length": "3"}
        with pytest.raises(PathError):
            async with many.request("PUT", url, headers, pieces()):
                pass
        assert bodies == []
        async with many.request("PUT", url, headers, pieces()) as response:
            assert response.status == 200
        assert bodies == [b"abc"]


async def test_a_body_that_freezes_is_a_path_error(make: Make) -> None:
    cut = b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello"
    async with http_server(cut, hold=True) as (port, _):
        many = make(direct=Detour(port, 1.0))
        async with asyncio.timeout(3):
            async with many.request("GET", "http://relay.example/", {}) as response:
                with pytest.raises(PathError, match="stopped carrying"):
                    _ = [piece async for piece in response.body]
    assert not many.memory.record(PLACE, "direct").works


async def test_capabilities_and_candidates(make: Make) -> None:
    first, second = Detour(1, 1.0), Detour(1, 2.0)
    many = make(first=first, second=second)
    assert many.capabilities.cost == 1.0
    assert not many.capabilities.hides_address
    assert make().capabilities.connections == 0
    many.set_candidates([Candidate("second", second, lambda url: url.startswith("ws:"))])
    assert [one.name for one in many.fitting(URL)] == ["second"]
    hidden = Candidate("hidden", NoPath(""), lambda url: "relay" in url)
    many.set_candidates([*many.candidates, hidden])
    # Kept apart only where no path at all shows the address; where none leads, there is nothing.
    assert not many.separates(URL)
    assert many.separates("https://relay.example")
    assert not many.separates("https://other.example")
    many.set_candidates(many.candidates[:1])
    with pytest.raises(PathError):
        many.fitting("https://relay.example")
