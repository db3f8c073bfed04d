"""The profiles that are about whole hosts and networks; see test_raw_probes.py."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from lab.ground import ANA, BORIS, CENSOR, CLARA, RELAY1, RELAY2, WEB_ABROAD, WEB_INSIDE, Host
from lab.services import web
from lab.services.relay import Relay
from lab.world import World
from tests.lab.raw import ARRIVED, OPEN, SILENCE, Lab, making

from lab import censor, ground

pytestmark = pytest.mark.asyncio(loop_scope="module")

MOST_PROBING = 25.0
"""Seconds within which the prober has gone through its catalogue."""
LOOK = 0.1
"""Seconds between two looks at what the prober has brought about."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lab() -> AsyncIterator[Lab]:
    async with making(*web.ordinary(), Relay(RELAY1, hidden=False)) as made:
        yield made


async def answers(world: World, server: Host, client: Host = ANA) -> bool:
    """Whether a real server completes a TLS handshake with a client."""
    context = ssl.create_default_context(cafile=str(world.authority.certificate))
    try:
        async with asyncio.timeout(1.0):
            sock = await world.connect(client.name, server.address, 443)
            _, writer = await asyncio.open_connection(
                sock=sock, ssl=context, server_hostname=server.names[0]
            )
    except TimeoutError:
        return False
    writer.transport.abort()
    return True


async def being_probed(world: World, server: Host) -> bool:
    """Whether the prober is connected to a server at this moment."""
    table = (await world.done(CENSOR.name, ["cat", "/proc/net/tcp"])).decode()
    number = "".join(f"{int(part):02X}" for part in reversed(server.address.split(".")))
    states = re.findall(rf" {number}:01BB ([0-9A-F]{{2}}) ", table)
    return any(state in {"01", "02"} for state in states)


async def test_probe_blocks_a_relay_that_reveals_itself_but_no_website(lab: Lab) -> None:
    world = lab.world
    assert await answers(world, RELAY1)
    assert await answers(world, WEB_ABROAD)
    async with lab.under("probe", delay_seconds=lambda seconds: seconds < 1):
        assert await answers(world, WEB_ABROAD)
        assert await answers(world, RELAY1)
        async with asyncio.timeout(MOST_PROBING):
            while not await being_probed(world, WEB_ABROAD):
                await answers(world, WEB_ABROAD)  # a packet carries the suspicion to the prober
                await asyncio.sleep(LOOK)
            while await answers(world, RELAY1):
                await asyncio.sleep(LOOK)
            quiet = 0
            while quiet < 3:
                quiet = 0 if await being_probed(world, WEB_ABROAD) else quiet + 1
                await asyncio.sleep(LOOK)
        assert await answers(world, WEB_ABROAD)
        assert await lab.opening(WEB_ABROAD, 9000) == OPEN
        assert await lab.opening(RELAY1, 9000) == SILENCE
        assert not await answers(world, RELAY1, client=BORIS)
        assert await answers(world, RELAY1, client=CLARA)
        assert await lab.opening(RELAY2) == OPEN
    assert await answers(world, RELAY1)


@pytest.mark.parametrize(("name", "lost"), [("seizure", 1), ("outage", 2)])
async def test_seizure_and_outage_take_relays_away(lab: Lab, name: str, lost: int) -> None:
    async def found() -> list[str]:
        words = await asyncio.gather(
            *(lab.opening(relay, 9000, client) for client in (ANA, CLARA) for relay in relays)
        )
        return list(words)

    relays = ground.RELAYS
    assert censor.profile(name).relays_lost == lost
    taken = [relay.name for relay in relays[:lost]]
    async with lab.under(name):
        assert await found() == [OPEN] * 6
        try:
            for host in taken:
                await lab.world.unplug(host)
            assert await found() == ([SILENCE] * lost + [OPEN] * (3 - lost)) * 2
            assert await answers(lab.world, WEB_ABROAD)
        finally:
            for host in taken:
                await lab.world.plug(host)
    assert await found() == [OPEN] * 6


async def crossing(lab: Lab) -> list[str]:
    """What becomes of connections and datagrams across the border, both ways."""
    return [
        *await asyncio.gather(
            lab.opening(RELAY2), lab.opening(WEB_ABROAD, 9000), lab.opening(BORIS, 443, CLARA)
        ),
        *await lab.datagrams(b"out", b"<in", server=RELAY2),
        *await lab.datagrams(b"in", server=BORIS, client=CLARA),
    ]


async def test_shutdown_closes_the_border_alone(lab: Lab) -> None:
    async def inside() -> list[str]:
        return [
            await lab.opening(BORIS),
            await lab.opening(WEB_INSIDE, 9000, BORIS),
            *await lab.datagrams(b"near", server=BORIS),
        ]

    free, closed = await lab.compare("shutdown", lambda: crossing(lab))
    assert free == [OPEN] * 3 + [ARRIVED] * 3
    assert closed == [SILENCE] * 6
    async with lab.under("shutdown"):
        assert await inside() == [OPEN, OPEN, ARRIVED]
        assert await answers(lab.world, WEB_INSIDE)
        assert await lab.opening(RELAY2, client=CLARA) == OPEN


async def test_island_leaves_people_no_network(lab: Lab) -> None:
    async def near() -> list[str]:
        return [
            *await asyncio.gather(lab.opening(BORIS), lab.opening(WEB_INSIDE, 9000)),
            *await lab.datagrams(b"near", server=BORIS),
        ]

    free, closed = await lab.compare("island", lambda: crossing(lab))
    assert free == [OPEN] * 3 + [ARRIVED] * 3
    assert closed == [SILENCE] * 6
    free, closed = await lab.compare("island", near)
    assert free == [OPEN, OPEN, ARRIVED]
    assert closed == [SILENCE] * 3
    async with lab.under("island"):
        assert await lab.opening(WEB_INSIDE, 9000, ground.MAIL_INSIDE) == OPEN
        assert await lab.opening(RELAY2, client=CLARA) == OPEN


async def test_an_open_connection_freezes_when_the_border_closes(lab: Lab) -> None:
    async with lab.connected(RELAY2) as connection:
        assert await connection.say(b"before") == ARRIVED
        async with lab.under("shutdown"):
            assert await connection.say(b"during") == SILENCE
        # What was lost in between is repeated, and so nothing is missing.
        assert await connection.hear(b"after") == ARRIVED
