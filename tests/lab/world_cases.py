"""What a world is, tried inside the lab: `test_raw_probes.py` runs this file there.

Run as a module with the word `stay`, it makes a world, says so, and stays until it is killed.
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from functools import partial

import pytest
import pytest_asyncio
from lab.services import catalogue, mail, names, web
from lab.world import World, WorldBroken

from lab import ground, hosts

SOON = 30.0
"""Seconds in which what is expected must have happened."""
FREEZE = 1.5
"""Seconds without a byte that count as a freeze: a download here takes hundredths of one."""


@pytest_asyncio.fixture
async def world() -> AsyncIterator[World]:
    async with World.make() as made:
        yield made


@pytest_asyncio.fixture
async def site() -> AsyncIterator[World]:
    async with World.make(web.ordinary()) as made:
        yield made


def computing() -> float:
    """Seconds that this process and those that it has seen end have computed."""
    return sum(os.times()[:4])


async def transfer(world: World, size: int) -> float:
    """Seconds for sending `size` bytes from a relay to ana."""
    loop = asyncio.get_running_loop()
    with world.open_socket("relay1") as listener:
        listener.bind((ground.RELAY1.address, 80))
        listener.listen()
        accepting = asyncio.create_task(loop.sock_accept(listener))
        with await world.connect("ana", ground.RELAY1.address, 80) as client:
            server, _ = await accepting
            with server:
                began = time.perf_counter()
                sending = asyncio.create_task(loop.sock_sendall(server, bytes(size)))
                got = 0
                while got < size:
                    got += len(await loop.sock_recv(client, 1 << 18))
                await sending
                return time.perf_counter() - began


async def fetch(world: World, host: ground.Host, patience: float = SOON) -> bytes:
    """The front page of a website, asked for by ana. Raises OSError when the connection breaks,
    TimeoutError after `patience` seconds without a byte."""
    trust = ssl.create_default_context(cafile=str(world.authority.certificate))
    trust.check_hostname = False
    async with asyncio.timeout(patience):
        connected = await world.connect("ana", host.address, 443)
        reader, writer = await asyncio.open_connection(
            sock=connected, ssl=trust, server_hostname=host.names[0]
        )
    request = f"GET / HTTP/1.1\r\nHost: {host.names[0]}\r\nConnection: close\r\n\r\n"
    writer.write(request.encode())
    got = b""
    try:
        while True:
            async with asyncio.timeout(patience):
                if not (more := await reader.read(65_536)):
                    return got.partition(b"\r\n\r\n")[2]
            got += more
    finally:
        writer.transport.abort()


async def test_two_hosts_exchange_bytes_over_the_wire(world: World) -> None:
    await transfer(world, 100_000)
    seen = await world.report()
    assert seen.addresses == {ground.RELAY1.address}
    assert seen.bytes_in > 100_000 > seen.bytes_out > 0


async def test_how_fast_the_wire_is(world: World) -> None:
    size = 20_000_000
    bare = size / await transfer(world, size) / 1e6
    await world.lists(listed_names=[], listed_addresses=[])
    await world.censor(["throttle", "sni-rst"])
    judged = size / await transfer(world, size) / 1e6
    print(f"\nthe wire carries {bare:.0f} MB/s, {judged:.0f} MB/s with two censors")


async def test_twelve_hosts_come_up_in_under_two_seconds() -> None:
    began, computed = time.perf_counter(), computing()
    async with World.make(made=ground.HOSTS[:12]):
        # On an idle machine; of the clock a busy one may take more.
        assert computing() - computed < 2
        assert time.perf_counter() - began < 10


async def test_a_host_knows_its_resolver_and_gets_true_names() -> None:
    async with World.make(names.ordinary()) as world:
        for person in ("ana", "clara"):
            for name, host in (("relay1.example", ground.RELAY1), ("news.inside.example", None)):
                said = (await world.done(person, ["getent", "ahostsv4", name])).decode()
                assert said.split()[0] == (host or ground.WEB_INSIDE).address
        with pytest.raises(WorldBroken, match="getent"):
            await world.done("ana", ["getent", "ahostsv4", "nothing.example"])
        assert "relay1.example" in (await world.report()).names


async def test_an_unplugged_host_is_gone_until_it_is_plugged_in(site: World) -> None:
    await site.unplug("web-abroad")
    with pytest.raises(TimeoutError):
        await fetch(site, ground.WEB_ABROAD, FREEZE)
    await site.plug("web-abroad")
    assert len(await fetch(site, ground.WEB_ABROAD)) == web.PAGE_BYTES


async def test_a_profile_that_there_is_not_is_refused(world: World) -> None:
    with pytest.raises(WorldBroken, match="no profile"):
        await world.censor(["kindness"])
    assert await world.counts()


async def test_everything_an_ordinary_world_offers() -> None:
    async with World.make(catalogue.ordinary()) as world:
        curl = partial(_curl, world)
        assert len(world.relays) == 3
        for url in world.relays:
            secret = "https" + url.partition("#")[0].removeprefix("wss")
            document = await curl("ana", "-H", "Accept: application/nostr+json", secret)
            assert 42 in json.loads(document)["supported_nips"]
        folder = "https://drop.inside.example/note"
        await curl("ana", "-u", "ana:ana-dav", "--data-binary", "hello", "-X", "PUT", folder)
        assert await curl("boris", "-u", "boris:boris-dav", folder) == b"hello"
        with pytest.raises(WorldBroken):
            await curl("boris", "-u", "boris:wrong", folder)
        ana, clara = mail.ACCOUNTS["ana"], mail.ACCOUNTS["clara"]
        letter = world.home("ana") / "letter"
        letter.write_text(f"From: {ana.address}\nTo: {clara.address}\nSubject: hello\n\nhello\n")
        await curl(
            *("ana", "--url", "smtps://mail.inside.example", "--upload-file", str(letter)),
            *("--mail-from", ana.address, "--mail-rcpt", clara.address),
            *("-u", f"{ana.address}:{ana.password}"),
        )
        box = "imaps://mail.abroad.example/INBOX;MAILINDEX=1"
        assert b"Subject: hello" in await _once(
            lambda: curl("clara", "-u", f"{clara.address}:{clara.password}", box)
        )
        assert ground.MAIL_ABROAD.address in (await world.report()).addresses


async def _once(attempt: Callable[[], Awaitable[bytes]]) -> bytes:
    """What an attempt gives as soon as it succeeds."""
    async with asyncio.timeout(SOON):
        while True:
            with suppress(WorldBroken):
                return await attempt()
            await asyncio.sleep(0.1)


async def _curl(world: World, host: str, *options: str) -> bytes:
    return await world.done(host, ["curl", "-sS", "--fail", "--max-time", "10", *options])


async def test_nothing_is_left_of_a_world() -> None:
    async with World.make(web.ordinary()) as world:
        sleeper = await world.run("ana", ["sleep", "600"])
        assert hosts.processes(ground.HOSTS)
    await sleeper.wait()
    links = subprocess.run(["ip", "-br", "link"], capture_output=True, text=True, check=True)
    assert [line.split()[0] for line in links.stdout.splitlines()] == ["lo"]
    assert not list(hosts.NAMESPACES.iterdir())
    assert not world.folder.exists()


async def stay() -> None:
    async with World.make() as world:
        for person in ground.PEOPLE:
            waits = ["sh", "-c", "echo; exec sleep 600"]
            process = await world.run(person.name, waits, stdout=subprocess.PIPE)
            assert process.stdout is not None
            await process.stdout.readline()  # it is in its network by now
        print("ready", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    assert sys.argv[1:] == ["stay"]
    asyncio.run(stay())
