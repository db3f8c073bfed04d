"""What contacts name leads to the public internet alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from volok.paths.direct import DirectPath
from volok.paths.guard import Guard, PrivateAddress
from volok.paths.live import PathError
from volok.paths.names import Names

OWN = "relay.example"


@asynccontextmanager
async def neighbour() -> AsyncIterator[tuple[int, list[int]]]:
    """Something of our own that listens, and the connections that were made to it."""
    knocks: list[int] = []

    async def knocked(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        knocks.append(1)
        writer.close()

    server = await asyncio.start_server(knocked, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], knocks


def guarded() -> Guard:
    guard = Guard()
    guard.own_relays([OWN])
    return guard


def test_what_the_person_chose_is_free() -> None:
    guard = guarded()
    guard.own_drop("cloud.example")
    for host in (OWN, "cloud.example", "Relay.Example"):
        assert not guard.covers(host)
        guard.check(host, "127.0.0.1")
    assert guard.covers("other.example")
    guard.check("other.example", "203.0.113.5")
    for address in ("127.0.0.1", "::1", "192.168.1.1", "::ffff:10.0.0.1", "fe80::1%eth0"):
        with pytest.raises(PrivateAddress):
            guard.check("other.example", address)


def test_transports_of_relays_that_others_chose() -> None:
    guard, pin = guarded(), "A" * 22
    other = f"wss://other.example/x#{pin}"
    assert guard.allows_transports(other)
    assert guard.allows_transports(f"{other}&pt=obfs4;:4443;cert=a")
    assert not guard.allows_transports(f"{other}&pt=obfs4;:4443;cert=a&pt=obfs4;127.0.0.1:4443")
    assert not guard.allows_transports(f"{other}&pt=obfs4;router:4443")
    assert not guard.allows_transports(f"{other}&pt=nonsense")
    assert guard.allows_transports(f"wss://{OWN}/x#{pin}&pt=obfs4;127.0.0.1:4443")


@pytest.mark.parametrize("own", [(), ("127.0.0.1",), (OWN, "nas.local"), ("localhost",)])
def test_where_the_persons_own_relays_are_local_everything_is_free(own: tuple[str, ...]) -> None:
    guard = guarded()
    guard.own_relays(own)
    assert not guard.covers("other.example")


async def test_a_name_is_looked_up_and_not_followed() -> None:
    async with neighbour() as (port, knocks):
        names = Names(guard=guarded(), servers=lambda: ())
        try:
            with pytest.raises(PrivateAddress):
                await names.dial("localhost", port)
            with pytest.raises(PrivateAddress):
                await names.dial("127.0.0.1", port)
            assert not knocks
            names.guard.own_relays(())
            (await names.dial("127.0.0.1", port)).close()
        finally:
            names.close()


@pytest.mark.parametrize("scheme", ["ws", "wss"])
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_no_websocket_and_no_request_gets_there(scheme: str, host: str) -> None:
    async with neighbour() as (port, knocks):
        path = DirectPath(guard=guarded())
        try:
            with pytest.raises(PathError, match="local network"):
                await path.websocket(f"{scheme}://{host}:{port}")
            with pytest.raises(PathError):
                async with path.request("GET", f"http{scheme[2:]}://{host}:{port}/x", {}):
                    pass
            assert not knocks
        finally:
            await path.close()


async def test_without_a_guard_it_does() -> None:
    """The test above could not fail otherwise."""
    async with neighbour() as (port, knocks):
        path = DirectPath()
        try:
            for scheme in ("ws", "wss"):
                with pytest.raises(PathError):
                    await path.websocket(f"{scheme}://127.0.0.1:{port}")
        finally:
            await path.close()
        assert len(knocks) == 2
