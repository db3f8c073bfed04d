"""What is tried on a local network of real namespaces; `test_lan.py` runs this file in the lab.

The wire carries multicast among the hosts inside the country, and `shutdown` cuts it off from the
rest: nobody has a relay, and there is no way out.
"""

from __future__ import annotations

import asyncio
import json
import random
import ssl
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from lab.world import World

from lab import ground
from volok.app.lan_certificate import throwaway_context
from volok.paths.lan_discovery import SERVICE, is_service_name

HOSTS = (ground.ANA, ground.BORIS, ground.WEB_INSIDE, ground.CLARA, ground.RESOLVER)
STRANGER = ground.WEB_INSIDE.name
pytestmark = pytest.mark.asyncio(loop_scope="module")

Pair = tuple["Someone", "Someone"]


class Someone:
    """A person whose node runs in a host."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def __call__(self, command: str, *arguments: object) -> Any:
        """Have them do something."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([command, *arguments]).encode() + b"\n")
        answer = json.loads(await self._process.stdout.readline())
        if "error" in answer:
            raise AssertionError(f"{command}: {answer['error']}")
        return answer.get("value")

    async def leave(self) -> None:
        """Go away properly."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()


async def start(world: World, host: str, name: str) -> Someone:
    module = [sys.executable, "-m", "tests.end_to_end.lan_person", str(world.home(host)), name]
    root = {"PYTHONPATH": world.environment["PYTHONPATH"]}
    process = await world.run(host, module, environment=root, stdin=PIPE, stdout=PIPE)
    assert process.stdout is not None
    assert await process.stdout.readline() == b"{}\n"
    return Someone(process)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world() -> AsyncIterator[World]:
    async with World.make(made=HOSTS) as made:
        await made.censor(["shutdown"])
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def friends(world: World) -> AsyncIterator[tuple[Someone, Someone]]:
    """Two people on the network, one of whom accepted the other's link there, at the very moment
    of switching it on."""
    ana, bo = await asyncio.gather(start(world, "ana", "Ana"), start(world, "boris", "Bo"))
    await ana("lan", True)
    await bo("accept_at_once", await ana("invite"))
    yield ana, bo
    await asyncio.gather(ana.leave(), bo.leave())


async def announced(world: World, seconds: float = 0.7) -> dict[str, tuple[str, int]]:
    """What a stranger on the network hears in a while: addresses and ports by service name."""
    code = f"""
import asyncio, json
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf
found, looking = {{}}, []
async def look_up(z, name):
    info = AsyncServiceInfo({SERVICE!r}, name)
    if await info.async_request(z, 1000):
        properties = [str(one) for one in info.properties]
        found[name] = [info.parsed_addresses()[0], info.port, info.server, properties]
def heard(zeroconf, service_type, name, state_change):
    if state_change.name == "Added":
        looking.append(asyncio.ensure_future(look_up(zeroconf, name)))
async def main():
    z = AsyncZeroconf(interfaces=[{ground.WEB_INSIDE.address!r}])
    AsyncServiceBrowser(z.zeroconf, {SERVICE!r}, handlers=[heard])
    await asyncio.sleep({seconds})
    await asyncio.gather(*looking)
    print(json.dumps(found))
    await z.async_close()
asyncio.run(main())
"""
    found = json.loads(await world.done(STRANGER, [sys.executable, "-c", code]))
    for name, (_, _, server, properties) in found.items():
        assert is_service_name(name.removesuffix("." + SERVICE))
        assert is_service_name(server.removesuffix(".local."))
        assert properties == []
    return {name: (address, port) for name, (address, port, _, _) in found.items()}


async def test_a_whole_conversation_without_any_way_out(world: World, friends: Pair) -> None:
    ana, bo = friends
    await asyncio.gather(ana("sees", 1), bo("sees", 1))
    await ana("say", "Bo", "Is the bridge open?")
    await bo("texts", "Ana", "Is the bridge open?")
    await ana("states", "Bo", "delivered", "read")
    await bo("seen", "Ana")
    await ana("states", "Bo", "read")
    await bo("say", "Ana", "No. Take the portage.")
    await ana("texts", "Bo", "No. Take the portage.")
    await bo("picture", "Ana", 1_000_000)
    assert await ana("has_picture", "Bo", 1_000_000)
    await bo("states", "Ana", "delivered", "read")
    seen = await world.report()
    assert seen.bytes_in == seen.bytes_out == 0


async def test_what_was_written_apart_is_there_soon_after_they_meet(
    world: World, friends: Pair
) -> None:
    ana, bo = friends
    await bo("lan", False)
    await ana("sees", 0)
    for number in range(20):
        await ana("say", "Bo", f"{number}")
    began = asyncio.get_running_loop().time()
    await bo("lan", True)
    await bo("texts", "Ana", *(f"{number}" for number in range(20)))
    assert asyncio.get_running_loop().time() - began < 4
    await ana("states", "Bo", "delivered", "read")


async def test_names_are_replaced_and_the_conversation_goes_on(world: World, friends: Pair) -> None:
    ana, bo = friends
    await asyncio.gather(ana("renewed_after", 0.7), bo("renewed_after", 0.7))
    heard = await announced(world, 3.0)
    assert len(heard) >= 4
    assert len({port for _, port in heard.values()}) >= 4
    await ana("say", "Bo", "Who is this?")
    await bo("texts", "Ana", "Who is this?")
    await ana("states", "Bo", "delivered", "read")
    await asyncio.gather(ana("renewed_after", 1200.0), bo("renewed_after", 1200.0))
    assert not set(await announced(world)) & set(heard)


async def ask(world: World, address: str, port: int, data: bytes) -> tuple[bytes, bytes]:
    """Say something as a stranger; gives the certificate and all that was answered."""
    connected = await world.connect(STRANGER, address, port)
    reader, writer = await asyncio.open_connection(
        sock=connected, ssl=trusting(), server_hostname="localhost"
    )
    tls = writer.get_extra_info("ssl_object")
    certificate = tls.getpeercert(binary_form=True)
    writer.write(data)
    answer = b""
    try:
        async with asyncio.timeout(8):
            while more := await reader.read(65_536):
                answer += more
    except ConnectionError:
        pass
    finally:
        writer.transport.abort()
    return certificate, answer


async def say_by(carrier: Someone, sender: Someone, who: str, text: str) -> None:
    """Write something, and wait until the file with it has come to whoever carries it."""
    before = set(await sender("left_for", who))
    await sender("say", who, text)
    async with asyncio.timeout(15):
        while not (set(await sender("left_for", who)) - before) & set(await carrier("carried")):
            await asyncio.sleep(0.1)  # a folder gives no notice


async def test_a_contact_carries_what_two_who_never_meet_have_for_each_other(
    world: World, friends: Pair
) -> None:
    ana, bo = friends
    vera = await start(world, ground.RESOLVER.name, "Vera")
    await vera("lan", True, True)
    link, other = await vera("invite"), await vera("invite")
    await asyncio.gather(ana("accept", link), bo("accept", other))
    await asyncio.gather(ana("lan", True, True), bo("lan", False))
    await vera("sees", 1)
    await say_by(vera, ana, "Bo", "by way of Vera")
    await ana("lan", False)
    await vera("sees", 0)
    await bo("lan", True, True)
    await bo("texts", "Ana", "by way of Vera")
    await say_by(vera, bo, "Ana", "and back")
    await bo("lan", False)
    await ana("lan", True, True)
    await ana("texts", "Bo", "and back")
    await ana("states", "Bo", "delivered", "read")
    await vera("lan", False)
    await bo("lan", True)
    await asyncio.gather(ana("sees", 1), bo("sees", 1))
    async with asyncio.timeout(10):
        while await bo("carried") or await vera("carried"):
            await asyncio.sleep(0.1)
    await vera.leave()


async def test_a_command_says_who_is_here(world: World, friends: Pair) -> None:
    ana, _ = friends
    await ana("sees", 1)
    host = ground.RESOLVER.name
    volok = (sys.executable, "-m", "volok", "--home", str(world.home(host) / "Eva"))
    await world.done(host, [*volok, "init", "--name", "Eva", "--no-passphrase"])
    await world.done(host, [*volok, "path", "add", "lan", "--yes"])
    said = await world.done(host, [*volok, "path", "test", "lan"])
    assert said.decode() == "2 nodes here, no contact among them.\n"


async def test_one_in_the_middle_recognises_nobody(world: World, friends: Pair) -> None:
    """A stranger announces itself and passes everything on between the two, inside its own TLS."""
    passed: list[int] = []
    over = asyncio.Event()
    ana, bo = friends
    await asyncio.gather(ana("sees", 1), bo("sees", 1))
    heard = await announced(world)
    targets = {address: (address, port) for address, port in heard.values()}

    async def middle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        caller = writer.get_extra_info("peername")[0]
        (target,) = [one for address, one in targets.items() if address != caller]
        connected = await world.connect(STRANGER, *target)
        other = await asyncio.open_connection(
            sock=connected, ssl=trusting(), server_hostname="localhost"
        )
        await asyncio.gather(pump(reader, other[1]), pump(other[0], writer))
        over.set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        total = 0
        try:
            while more := await reader.read(65_536):
                total += len(more)
                writer.write(more)
        except ConnectionError:
            pass
        passed.append(total)
        writer.transport.abort()

    context, _ = throwaway_context("localhost", time.time())
    listening = world.open_socket(STRANGER)
    listening.bind((ground.WEB_INSIDE.address, 0))
    port = listening.getsockname()[1]
    server = await asyncio.start_server(middle, sock=listening, ssl=context)
    liar = await announce(world, f"[({port}, {ground.WEB_INSIDE.address!r})]")
    async with asyncio.timeout(10):
        await over.wait()
    liar.kill()
    server.close()
    # Each sent its nonce and its marks, and nothing after them.
    assert set(passed) == {32 + 4096}
    await ana("say", "Bo", "between us")
    await bo("texts", "Ana", "between us")


async def announce(world: World, records: str) -> Process:
    """Have the stranger announce records of our form, given as source of pairs of port and
    address."""
    code = f"""
import asyncio
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf
async def main():
    z = AsyncZeroconf(interfaces=[{ground.WEB_INSIDE.address!r}])
    for number, (port, address) in enumerate({records}):
        name = f"{{number:012x}}"
        await z.async_register_service(AsyncServiceInfo(
            {SERVICE!r}, f"{{name}}.{SERVICE}", port=port, server=f"{{name}}.local.",
            parsed_addresses=[address], properties={{"x": "y" * 200}}), cooperating_responders=True)
    print("ready", flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""
    liar = await world.run(STRANGER, [sys.executable, "-c", code], stdout=PIPE)
    assert liar.stdout is not None
    assert await liar.stdout.readline() == b"ready\n"
    return liar


def trusting() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


async def test_a_stranger_finds_nobody_and_holds_up_nobody(world: World, friends: Pair) -> None:
    ana, bo = friends
    await asyncio.gather(ana("sees", 1), bo("sees", 1))
    heard = await announced(world)
    assert len(heard) == 2
    answers = []
    for address, port in heard.values():
        for _ in range(2):
            answers.append(await ask(world, address, port, random.randbytes(32 + 4096)))
        certificate, answer = await ask(world, address, port, random.randbytes(200_000))
        assert len(answer) <= 32 + 4096
        assert b"Ana" not in certificate + answer
    assert len({certificate for certificate, _ in answers}) == 2
    assert all(len(answer) == 32 + 4096 for _, answer in answers)
    pieces = {answer[at : at + 16] for _, answer in answers for at in range(32, len(answer), 16)}
    assert len(pieces) == 256 * len(answers)  # nothing comes twice
    for _ in range(60):  # and a flood, which is turned away
        with await world.connect(STRANGER, *next(iter(heard.values()))):
            pass
    await ana("say", "Bo", "still here")
    await bo("texts", "Ana", "still here")


async def test_hostile_records_lead_nowhere(world: World, friends: Pair) -> None:
    addresses = ["127.0.0.1", ground.RELAY1.address, ground.CLARA.address, "192.0.2.255"]
    addresses += [ground.ANA.address]
    liar = await announce(world, f"[(4711, {addresses}[n % 5]) for n in range(120)]")
    with world.open_socket("ana") as trap:
        trap.bind(("0.0.0.0", 4711))  # whoever dials loopback or their own address ends here
        trap.listen()
        ana, bo = friends
        await asyncio.gather(ana("lan", False), bo("lan", False))
        await asyncio.gather(ana("lan", True), bo("lan", True))
        await ana("say", "Bo", "through the noise")
        await bo("texts", "Ana", "through the noise")
        assert (await ana("view"))["nodes"] <= 64
        seen = await world.report()
        assert not seen.addresses  # nothing was sent across the border, not even a SYN
        while True:  # Bo may dial Ana, who is a neighbour; nobody else may have come
            try:
                _, (caller, _) = trap.accept()
            except BlockingIOError:
                break
            assert caller == ground.BORIS.address
    liar.kill()
