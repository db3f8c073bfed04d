"""Two people talk over a relay that is an onion service, in a private Tor network of real Tors."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from tests.app.conftest import Process
from tests.end_to_end.nodes import Person, meet
from tests.end_to_end.test_foreign_relays import picture
from tests.tor_network import TOR, TorNetwork

from volok.app.node import Node
from volok.app.pictures import attachment
from volok.app.settings import NodeSettings
from volok.chat.views import FileState
from volok.paths.tor import TorPath, TorSettings, find_running
from volok.relay.link import links, recall

pytestmark = pytest.mark.skipif(TOR is None, reason="no Tor here")


class TorPerson(Person):
    """Somebody whose node starts a Tor of its own, which joins the private network."""

    network = TorNetwork(Path())

    async def add_tor(self, *bridges: str) -> None:
        """Have everything go through Tor."""
        (self._home / "tor").mkdir(mode=0o700)
        (self._home / "tor" / "torrc.local").write_text(self.network.lines)
        await self.node.paths.add("tor", only=True, bridges=bridges)

    def _new_node(self) -> Node:
        return Node(self._home, NodeSettings(tor_ports=()), background=self.background)

    async def until(self, true: Callable[[], Awaitable[object]], seconds: float = 90) -> None:
        """As for everybody, with the patience that circuits take."""
        await super().until(true, seconds)

    async def reaches(self, relay: str) -> None:
        """Try until the relay answers: a first circuit may fail, and Tor finds out late."""
        for _ in range(4):
            (trial,) = await self.node.paths.test([relay])
            if not trial.problem:
                return
        raise AssertionError(trial.problem)

    @property
    def tor(self) -> TorPath:
        """Its path through Tor."""
        (path,) = [one.path for one in self.node.paths.many.candidates if one.name == "tor"]
        assert isinstance(path, TorPath)
        return path


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TorNetwork]:
    """The network."""
    made = TorNetwork(tmp_path_factory.mktemp("tor"))
    made.start()
    TorPerson.network = made
    yield made
    made.stop()


@pytest.fixture(scope="module")
def relay_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the relay keeps."""
    return tmp_path_factory.mktemp("relay")


@pytest.fixture(scope="module")
def onion(network: TorNetwork, relay_folder: Path) -> Iterator[str]:
    """The address of a relay that is an onion service."""
    data = relay_folder
    (data / "tor").mkdir()
    (data / "tor" / "torrc.local").write_text(network.lines)
    process = Process(("relay", "--port", "0", "--data", str(data), "--onion", "--json")).start()
    yield process.first["onion"]
    assert process.stop() == 0


@pytest.mark.timeout(240)
async def test_a_conversation(tmp_path: Path, onion: str, relay_folder: Path) -> None:
    assert onion.startswith("ws://")
    assert onion.endswith(".onion")
    async with AsyncExitStack() as stack:
        ana, bo = [await TorPerson.with_relays(tmp_path, name, onion) for name in ("Ana", "Bo")]
        for person in (ana, bo):
            stack.push_async_callback(person.leave)
        assert "volok path add tor" in (await ana.node.sync_round(5)).problems[onion]
        for person in (ana, bo):
            await person.add_tor()
        await ana.reaches(onion)
        await bo.tor.ready(60)
        await meet(ana, bo)
        await ana.say("Bo", "Привет")
        await bo.until_there("Ana", "Привет")
        await bo.say("Ana", "Hello")
        await ana.until_there("Bo", "Привет", "Hello")

        # Each connection that is open has its own circuit, and each circuit its own login.
        control = await ana.tor.tor.own_control()
        assert control is not None
        streams = [line.split(" ") for line in await control.ask("GETINFO stream-status")]
        carrying = [words[2] for words in streams if words[1:2] == ["SUCCEEDED"]]
        assert len(carrying) >= 2
        assert len(set(carrying)) == len(carrying)
        logins = dict(await control.circuits())
        assert len({logins[circuit] for circuit in carrying}) == len(carrying)
        assert all(logins[circuit] for circuit in carrying)

        # Files go over plain HTTP inside of the circuit.
        files = [attachment("river.png", "image/png", picture(100_000))]
        await ana.chat.send(await ana.to("Bo"), "the river", files=files)

        async def ready() -> bool:
            found = [file for message in await bo.talk("Ana") for file in message.files]
            return [file.state for file in found] == [FileState.READY]

        await bo.until(ready)
        assert any(path.is_file() for path in (relay_folder / "blobs").rglob("*"))

        # That Tor would be found by others on this computer.
        listeners = [port for _, port in await control.socks_listeners()]
        assert await find_running(TorSettings(ports=(1, *listeners))) is not None

        # A Tor that is killed is started again, and nothing is lost.
        os.kill(*tors(tmp_path / "Bo"), signal.SIGKILL)
        await ana.say("Bo", "still there?")
        await bo.until_there("Ana", "Привет", "Hello", "the river", "still there?")

    # With the nodes their Tors have ended.
    assert not [one for name in ("Ana", "Bo") for one in tors(tmp_path / name)]


def test_the_key_is_kept_and_the_link_is_the_onion(onion: str, relay_folder: Path) -> None:
    kept = json.loads((relay_folder / "onion-key.json").read_text())
    assert onion == f"ws://{kept['address']}.onion"
    assert (relay_folder / "onion-key.json").stat().st_mode & 0o777 == 0o600
    assert links(recall(relay_folder)) == [onion]


@pytest.mark.skipif(shutil.which("obfs4proxy") is None, reason="no obfs4proxy here")
async def test_by_a_bridge_with_a_transport(
    network: TorNetwork, onion: str, tmp_path: Path
) -> None:
    ana = await TorPerson.with_relays(tmp_path, "Ana", onion)
    try:
        await ana.add_tor(network.start_bridge())
        await ana.reaches(onion)
    finally:
        await ana.leave()


async def test_only_by_tor_nothing_goes_past_it(network: TorNetwork, tmp_path: Path) -> None:
    """A relay on loopback is not reached by Tor here; and it is not reached otherwise, either."""
    asked = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        relay = f"ws://localhost:{server.sockets[0].getsockname()[1]}"
        ana = await TorPerson.with_relays(tmp_path, "Ana")
        try:
            await ana.add_tor()
            await ana.node.add_relay(relay)
            assert relay in (await ana.node.sync_round(15)).problems
            assert asked == 0
            assert tors(tmp_path / "Ana")
            await ana.node.paths.remove("tor")
            assert not tors(tmp_path / "Ana")
            await ana.node.sync_round(5)
            assert asked > 0
        finally:
            await ana.leave()


def tors(home: Path) -> list[int]:
    """The processes that read the torrc of a home."""
    wanted = str(home / "tor" / "torrc").encode()
    found = []
    for process in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if process.name.isdigit() and wanted in (process / "cmdline").read_bytes().split(b"\0"):
                found.append(int(process.name))
    return found
