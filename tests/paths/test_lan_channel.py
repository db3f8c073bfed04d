"""Connections on the local network, over real sockets: what they carry, and whom they turn away."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from ipaddress import IPv4Interface

import pytest

from volok.app.lan_certificate import throwaway_context
from volok.paths import lan_channel
from volok.paths.lan_channel import Channel, ChannelSettings, Listener, NeighbourLost, dial
from volok.paths.lan_interfaces import Interface, dialable

pytestmark = pytest.mark.own_time

HERE = Interface("lo", 1, (IPv4Interface("127.0.0.1/8"),))
QUICK = ChannelSettings(handshake=0.5, stall=0.5, strangers=3, from_one=2, attempts=5)


@pytest.fixture(autouse=True)
def _loopback_is_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lan_channel, "dialable", lambda addresses, _: list(addresses))


class Host:
    """Somebody who listens and keeps the channels that come."""

    def __init__(self, settings: ChannelSettings) -> None:
        context, self.certificate = throwaway_context("0123456789ab.local", time.time())
        self.listener = Listener(HERE, context, self.certificate, self._came, settings)
        self.port = self.listener.open()
        self.channels: asyncio.Queue[tuple[Channel, Callable[[], None]]] = asyncio.Queue()

    async def _came(self, channel: Channel, known: Callable[[], None]) -> None:
        await self.channels.put((channel, known))
        await asyncio.Event().wait()


@asynccontextmanager
async def host(settings: ChannelSettings = QUICK) -> AsyncIterator[Host]:
    made = Host(settings)
    try:
        yield made
    finally:
        await made.listener.close()


async def is_let_in(port: int) -> bool:
    """Whether a bare connection is kept: who is turned away reads the end at once."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(0.2):
            return bool(await reader.read(1))
    except TimeoutError:
        return True
    except ConnectionError:
        return False
    finally:
        writer.close()


async def test_both_ends_read_what_the_other_wrote_and_see_one_certificate() -> None:
    async with host() as listening:
        one = await dial("127.0.0.1", listening.port, QUICK)
        other, _ = await listening.channels.get()
        assert one.certificate == other.certificate == listening.certificate
        assert (one.dialled, other.dialled) == (True, False)
        large = bytes(3_000_000)
        reading = asyncio.create_task(other.read(len(large)))
        await one.write(large)
        assert await reading == large
        await other.write(b"yes", b"no")
        assert await one.read(5) == b"yesno"
        other.close()
        with pytest.raises(NeighbourLost):
            await one.read(1, patient=True)


async def test_certificates_have_nothing_in_common() -> None:
    (_, one), (_, other) = (throwaway_context(name, time.time()) for name in ("a.local", "b.local"))
    runs = {one[at : at + 24] for at in range(len(one) - 24)}
    shared = {other[at : at + 24] for at in range(len(other) - 24)} & runs
    # The algorithm and the days are the same for everybody; no key, number or name is.
    assert len(shared) < 120


async def test_only_tls_1_3_is_spoken() -> None:
    async with host() as listening:
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises((ssl.SSLError, OSError)):
            await asyncio.open_connection("127.0.0.1", listening.port, ssl=old)


async def test_whoever_says_nothing_or_garbage_is_put_out_and_others_come_in() -> None:
    async with host() as listening:
        for garbage in (b"", b"GET / HTTP/1.1\r\n\r\n", bytes(70_000)):
            reader, writer = await asyncio.open_connection("127.0.0.1", listening.port)
            writer.write(garbage)
            async with asyncio.timeout(3):
                with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                    await reader.readexactly(1_000)
            writer.close()
        assert listening.channels.empty()
        one = await dial("127.0.0.1", listening.port, QUICK)
        await listening.channels.get()
        one.close()


async def test_from_one_address_only_so_many_strangers_come_in_at_once() -> None:
    async with host() as listening:
        one, two = [await dial("127.0.0.1", listening.port, QUICK) for _ in range(2)]
        first, known = await listening.channels.get()
        assert not await is_let_in(listening.port)
        assert listening.listener.turned_away == 1
        known()  # recognised: no stranger any more
        assert await is_let_in(listening.port)
        for each in (one, two, first):
            each.close()


async def test_a_flood_of_connections_is_turned_away_unread() -> None:
    async with host() as listening:
        let_in = 0
        for _ in range(30):
            try:
                let_in += await is_let_in(listening.port)
            except ConnectionError:
                continue
        assert let_in <= QUICK.attempts
        assert listening.listener.turned_away >= 30 - QUICK.attempts


async def test_from_all_addresses_together_only_so_many_come_in() -> None:
    crowded = replace(QUICK, attempts=100, attempts_in_all=4)
    async with host(crowded) as listening:
        let_in = [await is_let_in(listening.port) for _ in range(8)]
        assert let_in.count(True) <= 4
        assert listening.listener.turned_away >= 4


async def test_what_was_announced_must_come_in_time() -> None:
    async with host() as listening:
        one = await dial("127.0.0.1", listening.port, QUICK)
        other, _ = await listening.channels.get()
        await one.write(b"ab")
        began = time.monotonic()
        with pytest.raises(NeighbourLost):
            await other.read(5, patient=True)
        assert time.monotonic() - began < 5 * QUICK.stall


async def test_whoever_does_not_read_is_given_up() -> None:
    async with host() as listening:
        one = await dial("127.0.0.1", listening.port, QUICK)
        other, _ = await listening.channels.get()
        with pytest.raises(NeighbourLost):
            await one.write(bytes(64 << 20))
        other.close()


async def test_nobody_there_is_lost_at_once() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(NeighbourLost):
            await dial("127.0.0.1", unused.getsockname()[1], QUICK)


async def test_who_is_not_on_the_network_is_turned_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lan_channel, "dialable", dialable)
    async with host() as listening:
        assert not await is_let_in(listening.port)
        assert listening.channels.empty()
