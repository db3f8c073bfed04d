"""The paths of a node: which there are, what is kept in the vault, and that relays are reached."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from volok.app.path_views import ConfiguredPath, PathExists, PathUnknown, TooManyPaths
from volok.app.paths import MOST_PATHS, NodePaths, parse_configured
from volok.app.wiring import MIGRATIONS
from volok.model.urls import InvalidUrl
from volok.native import NativeCrypto
from volok.paths.choice import Place
from volok.paths.proxy_address import InvalidProxy
from volok.store.vault_sqlite import SqliteVault

CRYPTO = NativeCrypto()
PLACE = Place("here", "relay.example:443")
SHAPES = ["direct", "direct-record", "direct-segment", "direct-nameless"]


@pytest.fixture
async def vault(tmp_path: Path) -> AsyncIterator[SqliteVault]:
    made = await SqliteVault.open(tmp_path / "vault.db", bytes(32), MIGRATIONS)
    yield made
    await made.close()


async def open_paths(vault: SqliteVault) -> NodePaths:
    return await NodePaths.open(vault, time.time, CRYPTO.random, network=lambda: "here")


def fitting(paths: NodePaths, url: str) -> list[str]:
    return [one.name for one in paths.many.candidates if one.fits(url)]


async def test_a_new_node_has_the_direct_path_in_its_shapes(vault: SqliteVault) -> None:
    paths = await open_paths(vault)
    assert [view.name for view in paths.views()] == SHAPES
    assert fitting(paths, "wss://relay.example") == fitting(paths, "https://relay.example/x")
    assert fitting(paths, "wss://relay.example") == SHAPES
    assert fitting(paths, "ws://relay.example") == ["direct"]
    options = [one.option for one in paths.many.candidates]
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
    assert [view.name for view in paths.views()] == SHAPES
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
