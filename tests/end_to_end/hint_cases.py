"""What is tried where addresses look public: `test_hints.py` runs this file inside the lab's
namespaces, where the relays stand on addresses kept for documentation (RFC 5737)."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from tests.end_to_end.nodes import Person, meet
from tests.end_to_end.test_foreign_relays import picture

from volok.app.cli.relay_certificate import kept_certificate
from volok.app.hints_choice import HintUseSettings
from volok.app.node import Node
from volok.app.pictures import attachment
from volok.app.settings import NodeSettings
from volok.chat.views import FileState
from volok.native import NativeCrypto
from volok.relay.link import Reachable, links
from volok.relay.metrics import Metrics
from volok.relay.run import run_relay
from volok.relay.settings import RelaySettings
from volok.relay.tls import file_pin, server_context

SECRET = "a-secret-path-of-22-ch"
PORT = 7443
QUICK = NodeSettings(
    hints=HintUseSettings(patience=2.0, trial=5.0, look_every=0.2, look_later=0.2, back_for=2.0)
)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@pytest.fixture(scope="session", autouse=True)
def _ground() -> None:
    """Addresses for relays, and a default route, so that there seems to be a network."""
    _ip("link", "set", "lo", "up")
    for number in range(1, 10):
        _ip("address", "add", f"203.0.113.{number}/32", "dev", "lo")
    _ip("link", "add", "way-out", "type", "veth", "peer", "name", "far-end")
    _ip("link", "set", "far-end", "up")
    _ip("link", "set", "way-out", "up")
    _ip("route", "add", "default", "dev", "way-out")


class Quick(Person):
    """Somebody whose node is impatient."""

    def _new_node(self) -> Node:
        return Node(self._home, QUICK, background=self.background, now=self.clock)


class Relays:
    """Relays that can vanish one by one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: dict[str, AsyncExitStack] = {}
        self._numbers: dict[str, int] = {}
        self._metrics: dict[str, Metrics] = {}

    async def start(self, number: int) -> str:
        """Run one at 203.0.113.NUMBER; returns its link."""
        host, data = f"203.0.113.{number}", self._folder / f"relay-{number}"
        files = kept_certificate(data, host, time.time)
        stack, metrics = AsyncExitStack(), Metrics()
        address = await stack.enter_async_context(
            run_relay(
                host,
                PORT,
                data,
                RelaySettings(secret_path=SECRET),
                NativeCrypto(),
                metrics=metrics,
                tls=server_context(*files),
            )
        )
        pin = file_pin(files[0]).hex()
        link = links(Reachable(address.host, address.port, True, SECRET, pin, ()))[0]
        self._running[link], self._numbers[link], self._metrics[link] = stack, number, metrics
        return link

    async def again(self, link: str) -> None:
        """Let one come back."""
        assert await self.start(self._numbers[link]) == link

    def visited(self, link: str) -> bool:
        """Whether anybody ever opened a websocket to one."""
        return self._metrics[link].connections_total > 0

    async def stop(self, *some: str) -> None:
        for link in some or tuple(self._running):
            await self._running.pop(link).aclose()


@pytest.fixture
async def relays(tmp_path: Path) -> AsyncIterator[Relays]:
    made = Relays(tmp_path)
    yield made
    await made.stop()


@contextlib.asynccontextmanager
async def people(folder: Path, **relays: list[str]) -> AsyncIterator[list[Quick]]:
    async with AsyncExitStack() as stack:
        found = []
        for name, urls in relays.items():
            person = await Quick.with_relays(folder, name, *urls)
            stack.push_async_callback(person.leave)
            found.append(person)
        yield found


async def knows(person: Person, *places: str) -> None:
    async def there() -> bool:
        return {hint.place for hint in await person.chat.hints.heard()} == set(places)

    await person.until(there)


async def test_two_people_meet_at_the_relay_of_a_common_friend(
    tmp_path: Path, relays: Relays
) -> None:
    shared = [await relays.start(number) for number in (1, 2, 3)]
    hers, spare = await relays.start(4), await relays.start(5)
    everybody = people(tmp_path, Ana=shared, Boris=shared, Clara=[*shared, hers])
    async with everybody as (ana, boris, clara):
        for one, other in ((ana, boris), (clara, ana), (clara, boris)):
            await meet(one, other)
        for place in (hers, spare):
            await clara.chat.hints.share(place)
        await knows(ana, hers, spare)
        await knows(boris, hers, spare)
        assert {hint.told_by for hint in await ana.chat.hints.heard()} == {("Clara",)}
        await ana.say("Boris", "before")
        await boris.until_there("Ana", "before")
        # Nobody is contacted before it is needed: not even a connection was made.
        assert not relays.visited(spare)

        await relays.stop(*shared)
        gone_at = time.monotonic()
        await ana.say("Boris", "after")
        await boris.until_there("Ana", "before", "after")
        print(f"first delivery {time.monotonic() - gone_at:.1f} s after the relays were gone")
        await boris.say("Ana", "and back")
        await ana.until_there("Boris", "before", "after", "and back")
        await ana.until_states("Boris", "delivered")
        status = await ana.node.status()
        assert "connected" not in {one.state for one in status.relays}
        carrying = {one.url for one in status.heard if one.state == "connected"}
        assert carrying
        assert carrying <= {hers, spare}
        # Clara learns where they are now, and they learn that she is still there.
        await clara.say("Ana", "still there?")
        await ana.until_there("Clara", "still there?")
        # A picture goes the same way.
        data = picture(100_000)
        files = [attachment("river.png", "image/png", data)]
        await ana.chat.send(await ana.to("Boris"), "the river", files=files)

        async def ready() -> bool:
            files = [file for message in await boris.talk("Ana") for file in message.files]
            return [file.state for file in files] == [FileState.READY]

        await boris.until(ready)

        # When their own are back, they are used again, and the other is left.
        await relays.again(shared[0])
        async with asyncio.timeout(30):
            while (await ana.node.status()).heard:
                await ana.node.status_changed()
        await clara.say("Ana", "and now?")
        await ana.until_there("Clara", "still there?", "and now?")


async def test_a_bundle_brings_a_relay_to_somebody_who_has_none_left(
    tmp_path: Path, relays: Relays
) -> None:
    first, hers = await relays.start(1), await relays.start(4)
    async with people(tmp_path, Ana=[first], Clara=[first, hers]) as (ana, clara):
        await meet(ana, clara)
        await relays.stop(first)
        await clara.chat.hints.share(hers)
        await ana.say("Clara", "can you read this?")
        file = tmp_path / "carried.bundle"
        await clara.node.export_bundle(file, await clara.to("Ana"))
        await ana.node.import_bundle(file)
        await knows(ana, hers)
        await clara.until_there("Ana", "can you read this?")
        await clara.say("Ana", "yes")
        await ana.until_there("Clara", "can you read this?", "yes")


async def test_a_single_round_goes_by_heard_relays_as_well(tmp_path: Path, relays: Relays) -> None:
    first, hers = await relays.start(1), await relays.start(4)
    async with people(tmp_path, Ana=[first], Clara=[first, hers]) as (ana, clara):
        await meet(ana, clara)
        await clara.chat.hints.share(hers)
        await knows(ana, hers)
        await ana.leave()
        await relays.stop(first)
        await clara.say("Ana", "where are you?")
        ana.background = False
        await ana.come_back()
        await ana.say("Clara", "here")
        summary = await ana.node.sync_round()
        assert list(summary.problems) == [first]
        await clara.until_there("Ana", "where are you?", "here")
        # Clara knows now where to write: with the next round it is here.
        await clara.until_states("Ana", "relayed")
        await ana.node.sync_round()
        assert await ana.texts("Clara") == ["here", "where are you?"]
        await relays.again(first)
        await ana.node.sync_round()
        assert not any(hint.used for hint in await ana.chat.hints.heard())


async def test_a_name_that_leads_into_a_local_network_is_not_followed(
    tmp_path: Path, relays: Relays
) -> None:
    first = await relays.start(1)
    knocks: list[int] = []

    async def knocked(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        knocks.append(1)
        writer.close()

    async with people(tmp_path, Ana=[first], Boris=[first]) as (ana, boris):
        await meet(ana, boris)
        server = await asyncio.start_server(knocked, "127.0.0.1", PORT)
        # What the informer's name server answers, as far as this computer can tell.
        Path("/etc/hosts").write_text("127.0.0.1 relay.informer.example\n")
        place = f"wss://relay.informer.example:{PORT}"
        await boris.chat.hints.share(place)
        await knows(ana, place)
        await relays.stop(first)

        def tried() -> bool:
            status = {one.url: one for one in ana.node._open().engine.status()}
            return place in status and bool(status[place].problem)

        async with asyncio.timeout(20):
            while not tried():
                await ana.node._open().engine.changed()
        status = {one.url: one for one in ana.node._open().engine.status()}
        assert "local network" in status[place].problem
        assert not knocks
        server.close()
