"""The paths of a node: which there are, what is kept in the vault, and that relays are reached."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection, serve

from volok.app.path_records import MOST_PATHS, parse_configured
from volok.app.path_views import ConfiguredPath, PathExists, PathUnknown, TooManyPaths
from volok.app.paths import NodePaths
from volok.app.wiring import MIGRATIONS
from volok.model.urls import InvalidUrl
from volok.native import NativeCrypto
from volok.paths.choice import Place
from volok.paths.live import PathError
from volok.paths.proxy_address import InvalidProxy
from volok.paths.tor_bridge import InvalidBridge
from volok.store.vault_sqlite import SqliteVault

CRYPTO = NativeCrypto()
FOLDER = Path("/nonexistent")
PLACE = Place("here", "relay.example:443")
ONION = f"ws://{'a' * 56}.onion"
BRIDGE = "obfs4 192.0.2.1:443 0123456789ABCDEF0123456789ABCDEF01234567 cert=x iat-mode=0"
OLD_STATES = Path(__file__).parents[1] / "old_states"
SHAPES = ["direct", "direct-record", "direct-segment", "direct-nameless", "direct-browser"]


@pytest.fixture
async def vault(tmp_path: Path) -> AsyncIterator[SqliteVault]:
    made = await SqliteVault.open(tmp_path / "vault.db", bytes(32), MIGRATIONS)
    yield made
    await made.close()


async def open_paths(vault: SqliteVault) -> NodePaths:
    return await NodePaths.open(vault, time.time, CRYPTO.random, FOLDER, network=lambda: "here")


def fitting(paths: NodePaths, url: str) -> list[str]:
    return [one.name for one in paths.many.candidates if one.fits(url)]


async def test_a_new_node_has_the_direct_path_in_its_shapes(vault: SqliteVault) -> None:
    paths = await open_paths(vault)
    assert [view.name for view in paths.views()][: len(SHAPES)] == SHAPES
    assert not any(view.removable for view in paths.views())
    assert fitting(paths, "wss://relay.example") == fitting(paths, "https://relay.example/x")
    assert fitting(paths, "wss://relay.example") == SHAPES
    assert fitting(paths, "ws://relay.example") == ["direct"]
    options = [one.option for one in paths.many.candidates if one.fits("wss://relay.example")]
    assert [one.name for one in paths.many.memory.steps(PLACE, options, 0.0)] == SHAPES
    await paths.close()


async def test_proxies_are_kept_and_removed(vault: SqliteVault) -> None:
    paths = await open_paths(vault)
    first = await paths.add("socks5://u:p@proxy.example:1080")
    assert first.name == "proxy"
    second = await paths.add("http://127.0.0.1:3128", relays=["wss://A.example/"], only=True)
    assert (second.name, second.relays) == ("proxy-2", ("wss://a.example",))
    named = await paths.add("http://127.0.0.1:3129", name="at \x1bwork")
    assert named.name == "at work"
    for url in ("socks5://u:p@proxy.example:1080", "http://127.0.0.1:3128"):
        with pytest.raises(PathExists):
            await paths.add(url)
    with pytest.raises(PathExists):
        await paths.add("http://127.0.0.1:9", name="direct")
    with pytest.raises(InvalidProxy):
        await paths.add("nonsense")
    with pytest.raises(InvalidUrl):
        await paths.add("http://127.0.0.1:9", relays=["nonsense"])
    await paths.close()

    paths = await open_paths(vault)
    assert [view.name for view in paths.views() if view.removable] == [
        "proxy",
        "proxy-2",
        "at work",
    ]
    assert not any("u:p" in view.about or "p@" in view.about for view in paths.views())
    assert fitting(paths, "wss://b.example") == [*SHAPES, "proxy", "at work"]
    # Only means only; a proxy for all relays may serve it, too.
    assert fitting(paths, "wss://a.example/x") == ["proxy", "proxy-2", "at work"]
    assert fitting(paths, "http://a.example/x") == []
    with pytest.raises(PathUnknown):
        await paths.remove("direct")
    await paths.remove("proxy-2")
    assert fitting(paths, "wss://a.example/x") == [*SHAPES, "proxy", "at work"]
    for number in range(MOST_PATHS - 2):
        await paths.add(f"http://127.0.0.1:{5000 + number}")
    with pytest.raises(TooManyPaths):
        await paths.add("http://127.0.0.1:4999")
    await paths.close()


async def test_what_was_learned_is_kept(vault: SqliteVault) -> None:
    paths = await open_paths(vault)
    paths.many.memory.failed(PLACE, "direct", time.time(), 0.0)
    paths.many.memory.worked(PLACE, "direct-record", time.time())
    await paths.close()
    paths = await open_paths(vault)
    assert paths.many.memory.record(PLACE, "direct").failures == 1
    assert paths.many.memory.record(PLACE, "direct-record").works
    await paths.close()


async def test_damage_in_the_vault_is_no_obstacle(vault: SqliteVault) -> None:
    for name in ("paths.configured", "paths.learned", "paths.network"):
        await vault.transact(
            lambda tx, name=name: tx.execute(
                "INSERT OR REPLACE INTO setting (name, value) VALUES (?, ?)", (name, "{[")
            )
        )
    paths = await open_paths(vault)
    assert [view.name for view in paths.views()][: len(SHAPES)] == SHAPES
    assert fitting(paths, "wss://relay.example") == SHAPES
    await paths.close()


def test_nonsense_in_the_configuration_is_left_out() -> None:
    good = {"name": "a", "url": "http://127.0.0.1:1", "relays": ["wss://x.example"], "only": False}
    bad = [None, {}, [], {**good, "url": "x"}, {**good, "relays": 3}, {**good, "name": 5}, good]
    assert parse_configured([good, *bad]) == (
        ConfiguredPath("a", "http://127.0.0.1:1", ("wss://x.example",), False),
    )
    assert parse_configured("x") == parse_configured(None) == ()


async def test_testing_tries_every_path_with_our_relays_alone(vault: SqliteVault) -> None:
    paths = await open_paths(vault)
    await paths.add("http://127.0.0.1:1")
    trials = await paths.test(["ws://127.0.0.1:1"])
    assert [(one.name, one.seconds) for one in trials] == [("direct", None), ("proxy", None)]
    assert all(one.problem for one in trials)
    assert [one.name for one in await paths.test(["ws://127.0.0.1:1"], "proxy")] == ["proxy"]
    with pytest.raises(PathUnknown):
        await paths.test([], "nothing")
    await paths.close()


async def test_tor_is_one_more_way_or_the_only_one(vault: SqliteVault) -> None:
    paths = await open_paths(vault)
    changes: list[None] = []
    paths.on_change = lambda: changes.append(None)
    relay = "wss://relay.example"
    with_transport = f"{relay}/x#{'A' * 22}&pt=obfs4;:4443;cert=x"
    with pytest.raises(PathError, match="volok path add tor"):
        await paths.many.websocket(ONION)
    assert not paths.may_go_directly(ONION)

    added = await paths.add("tor://127.0.0.1:9250")
    assert (added.name, added.url) == ("tor", "tor://127.0.0.1:9250")
    assert fitting(paths, ONION) == fitting(paths, ONION.replace("ws", "http", 1)) == ["tor"]
    assert fitting(paths, relay) == [*SHAPES, "tor"]
    # Whoever runs the last relay of a circuit would see it.
    assert fitting(paths, "http://relay.example") == ["direct"]
    assert paths.many.separates(ONION)
    assert not paths.many.separates(relay)
    await paths.remove("tor")

    await paths.add("socks5://127.0.0.1:1")
    await paths.add("tor://127.0.0.1:9250", "mine", [relay], only=True)
    for url in (relay, with_transport, "https://relay.example/x"):
        # Not even a proxy is left, or what the relay's own address offers.
        assert fitting(paths, url) == ["mine"]
        assert not paths.may_go_directly(url)
        assert paths.many.separates(url)
    assert "proxy" in fitting(paths, "wss://other.example")
    assert paths.may_go_directly("wss://other.example")
    assert len(changes) == 4
    await paths.close()

    paths = await open_paths(vault)
    assert fitting(paths, relay) == ["mine"]
    (view,) = [one for one in paths.views() if one.name == "mine"]
    assert (view.about, view.only) == ("Tor at port 9250", True)
    await paths.close()


async def test_a_transport_that_is_not_installed_is_named(vault: SqliteVault) -> None:
    paths = await open_paths(vault)
    relay = f"wss://127.0.0.1:1/x#{'A' * 22}&pt=nothing;:1"
    trials = {one.name: one.problem for one in await paths.test([relay])}
    assert "No program that is known" in trials["nothing"]
    assert await paths.test([relay], "direct") != []
    await paths.add("tor://127.0.0.1:1", only=True)
    assert [one.name for one in await paths.test([relay])] == ["tor"]
    await paths.close()


async def test_what_is_no_tor(vault: SqliteVault) -> None:
    paths = await open_paths(vault)
    for url in ("tor://localhost:9050", "tor://127.0.0.1", "tor://u:p@127.0.0.1:1", "tor://[::1"):
        with pytest.raises(InvalidProxy, match="SOCKS port"):
            await paths.add(url)
    with pytest.raises(InvalidBridge):
        await paths.add("tor", bridges=["nonsense"])
    with pytest.raises(InvalidBridge, match="path add tor"):
        await paths.add("tor://127.0.0.1:9050", bridges=[BRIDGE])
    with pytest.raises(InvalidBridge, match="at most"):
        await paths.add("tor", bridges=[BRIDGE] * 21)
    assert not [view for view in paths.views() if view.removable]
    await paths.close()


async def test_what_goes_otherwise_ends_when_tor_is_to_be_the_only_way(
    vault: SqliteVault,
) -> None:
    ended = asyncio.Event()

    async def answer(connection: ServerConnection) -> None:
        await connection.wait_closed()
        ended.set()

    async with serve(answer, "127.0.0.1", 0) as server:
        relay = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        paths = await open_paths(vault)
        socket = await paths.many.websocket(relay)
        await paths.add("tor://127.0.0.1:1", only=True)
        async with asyncio.timeout(10):
            with pytest.raises(PathError):
                await socket.receive()
            with pytest.raises(PathError):
                await socket.send("past Tor")
            await ended.wait()
        with pytest.raises(PathError, match="Tor does not run"):
            await paths.many.websocket(relay)
        await paths.close()


def test_what_older_versions_kept_is_read() -> None:
    first = parse_configured(json.loads((OLD_STATES / "paths_v1" / "configured.json").read_text()))
    proxy = ConfiguredPath(
        "proxy", "socks5://u:p@proxy.example:1080", ("wss://relay.example",), True
    )
    assert first == (proxy,)
    second = parse_configured(json.loads((OLD_STATES / "paths_v2" / "configured.json").read_text()))
    assert second == (
        proxy,
        ConfiguredPath("tor", "tor:", (), True, (BRIDGE,)),
        ConfiguredPath("mine", "tor://127.0.0.1:9250", (), False),
    )
