"""The doctor of a real node: what it looks at, what it leaves alone, what it remembers."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.app.conftest import Home
from tests.relay.covered import covered

from volok.app.doctor import MOST_HOSTS, SETTING, load_addresses, read_addresses
from volok.app.node import Node
from volok.chat.records import setting
from volok.paths.doctor_report import Examination, Kind, Progress, Way

OLD = Path(__file__).parents[1] / "old_states" / "doctor_v1" / "addresses.json"


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    made = Node(tmp_path / "home")
    await made.start()
    yield made
    await made.stop()


async def examine(node: Node) -> tuple[list[Progress], Examination]:
    found = [one async for one in node.ways.examine(False)]
    assert isinstance(found[-1], Examination)
    return [one for one in found if isinstance(one, Progress)], found[-1]


async def test_a_node_with_a_relay_and_places(node: Node, tmp_path: Path) -> None:
    stick = tmp_path / "stick"
    stick.mkdir()
    async with covered(tmp_path / "relay") as relay:
        url = relay.link.replace("127.0.0.1", "localhost")
        await node.create("Ana", [url], None)
        await node.drops.add_folder(stick)
        gone = await node.drops.add_folder(tmp_path)
        (tmp_path / "stick2").mkdir()
        progress, examination = await examine(node)
        assert [one.kind for one in examination.diagnosis.findings] == [Kind.NOT_BLOCKED]
        places = examination.diagnosis.places
        assert places[0].ways == (Way.PLAIN, Way.CUT, Way.NAMELESS)
        assert all(place.ways == (Way.FILES,) for place in places[1:])
        assert progress
        names = set(examination.names.values())
        assert names == {url.rpartition("/")[0], str(stick), str(tmp_path)}
        await node.drops.remove(gone)
    stick.rmdir()
    _, examination = await examine(node)
    relay_state, drop = examination.diagnosis.places
    assert not relay_state.open
    assert drop.problem.startswith("The folder is not there")
    assert [one.kind for one in examination.diagnosis.findings] == [Kind.GONE]


async def test_an_only_way_is_not_gone_past(node: Node) -> None:
    came = asyncio.Event()

    async def coming(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.set()
        writer.close()

    with socket.create_server(("127.0.0.1", 0)) as free:
        proxy = free.getsockname()[1]
    server = await asyncio.start_server(coming, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        await node.create("Ana", [f"ws://127.0.0.1:{port}"], None)
        await node.paths.add(f"socks5://127.0.0.1:{proxy}", only=True)
        _, examination = await examine(node)
    assert not came.is_set()
    (place,) = examination.diagnosis.places
    assert not place.open


async def test_another_path_shows_that_a_relay_is_blocked(node: Node, tmp_path: Path) -> None:
    async with covered(tmp_path / "relay") as relay:

        async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            """SOCKS5 (RFC 1928), to the relay whatever is asked for."""
            await reader.readexactly(3)
            writer.write(b"\x05\x00")
            head = await reader.readexactly(4)
            await reader.readexactly(6 if head[3] == 1 else (await reader.readexactly(1))[0] + 2)
            there, on = await asyncio.open_connection(relay.address.host, relay.address.port)
            writer.write(b"\x05\x00\x00\x01" + bytes(6))

            async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
                while data := await source.read(1 << 16):
                    sink.write(data)
                sink.close()

            await asyncio.gather(pump(reader, on), pump(there, writer), return_exceptions=True)

        with socket.create_server(("127.0.0.1", 0)) as free:
            dead = free.getsockname()[1]
        server = await asyncio.start_server(proxy, "127.0.0.1", 0)
        async with server:
            await node.create(
                "Ana", [relay.link.replace(f":{relay.address.port}", f":{dead}")], None
            )
            await node.paths.add(f"socks5://127.0.0.1:{server.sockets[0].getsockname()[1]}")
            _, examination = await examine(node)
    (finding,) = examination.diagnosis.findings
    assert (finding.kind, finding.sure) == (Kind.IP_BLOCK, True)
    assert examination.diagnosis.places[0].paths == ("proxy",)


async def test_addresses_are_remembered(node: Node, tmp_path: Path) -> None:
    async with covered(tmp_path / "relay") as relay:
        await node.create("Ana", [relay.link], None)
        await examine(node)
    parts = node._parts
    assert parts is not None
    assert await parts.vault.read(lambda tx: setting(tx, SETTING)) is None, "loopback is no place"


async def test_it_ends_when_nobody_listens_any_more(node: Node) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    async with server:
        await node.create("Ana", [f"wss://127.0.0.1:{server.sockets[0].getsockname()[1]}"], None)
        looking = node.ways.examine(False)
        before = asyncio.all_tasks()
        assert isinstance(await anext(looking), Progress)
        await looking.aclose()  # type: ignore[attr-defined]
        assert {one for one in asyncio.all_tasks() - before if "observe" in repr(one)} == set()


def test_what_an_earlier_version_remembered_loads() -> None:
    assert read_addresses(json.loads(OLD.read_text())) == {
        "relay1.example": ["203.0.113.11"],
        "home.example": ["192.168.1.5", "2a00::5"],
    }


nested = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just("203.0.113.1"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


@given(nested | st.builds(lambda hosts: {"version": 1, "hosts": hosts}, nested))
def test_damage_in_the_vault_is_no_obstacle(value: object) -> None:
    found = read_addresses(value)
    assert len(found) <= MOST_HOSTS
    assert all(all(type(one) is str for one in addresses) for addresses in found.values())


async def test_text_that_is_no_json_is_no_obstacle(node: Node) -> None:
    await node.create("Ana", [], None)
    parts = node._parts
    assert parts is not None
    await parts.vault.transact(
        lambda tx: tx.execute("INSERT INTO setting (name, value) VALUES (?, '{[')", (SETTING,))
    )
    assert await parts.vault.read(load_addresses) == {}


def test_the_command(alice: Home, bob: Home, relay: str) -> None:
    result = alice.ok("doctor")
    assert result.out.startswith("Not blocked. 1 of 1 relay can be reached.\n")
    *steps, last = alice.ok("doctor", "--json").lines
    assert all("progress" in step for step in steps)
    assert (last["open"], last["findings"][0]["kind"]) == (True, "not-blocked")
    assert last["places"][0]["id"] == relay
    nothing = bob("doctor")
    assert nothing.code == 1, "nothing is open"
    assert "volok accept LINK" in nothing.out


def test_the_command_asks_the_running_node(alice: Home) -> None:
    node = alice.up()
    try:
        *_, last = alice.ok("doctor", "--json").lines
        assert last["open"]
    finally:
        node.stop()
