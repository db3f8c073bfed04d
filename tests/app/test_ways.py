"""The ways of a real node, as the pages use them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.paths.drop_servers import PASSWORD, USER, webdav_server

from volok.app.lan import NAME
from volok.app.node import Node
from volok.app.path_making import SHAPES
from volok.app.web.interface import NodeError
from volok.app.web.paths_interface import WayRow
from volok.store.vault import VaultLocked


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    made = Node(tmp_path / "home")
    await made.start()
    await made.create("Ana", [], None)
    yield made
    await made.stop()


async def rows(node: Node, group: str) -> list[WayRow]:
    return [row for row in await node.ways.rows() if row.group == group]


async def test_a_fresh_node_has_the_straight_ways_alone(node: Node) -> None:
    found = await node.ways.rows()
    straight = [name for name, *_ in SHAPES]
    assert [row.name for row in found][: len(straight)] == straight, "then installed transports"
    assert not any(row.removable or row.used for row in found)


async def test_a_folder_comes_and_goes(node: Node, tmp_path: Path) -> None:
    stick = tmp_path / "stick"
    stick.mkdir()
    await node.ways.add("folder", {"where": str(stick)})
    (row,) = await rows(node, "drop")
    assert (row.name, row.files, row.removable) == (str(stick), 0, True)
    assert (await node.ways.test(row.id)).seconds is not None
    with pytest.raises(NodeError, match="in use already"):
        await node.ways.add("folder", {"where": str(stick)})
    stick.rmdir()
    trial = await node.ways.test(row.id)
    assert trial.seconds is None
    assert trial.problem.startswith("The folder is not there")
    await node.ways.remove(row.id)
    assert await rows(node, "drop") == []


async def test_a_cloud_folder(node: Node, tmp_path: Path) -> None:
    (tmp_path / "dav").mkdir()
    with webdav_server(tmp_path / "dav") as url:
        fields = {"where": url, "user": USER, "password": "wrong"}
        with pytest.raises(NodeError, match="does not let you in"):
            await node.ways.add("webdav", fields)
        await node.ways.add("webdav", fields | {"password": PASSWORD})
        (row,) = await rows(node, "drop")
        assert row.name == url
        assert PASSWORD not in repr(row)


async def test_proxies_tor_and_the_local_network(node: Node) -> None:
    await node.ways.add("proxy", {"where": "socks5://user:secret@127.0.0.1:1", "only": "1"})
    (row,) = await rows(node, "added")
    assert row.only
    assert "secret" not in repr(row)
    assert (await node.ways.test(row.id)).problem == "There is no relay to try it with."
    await node.ways.remove(row.id)
    await node.ways.add("lan", {"carry": ""})
    (row,) = await rows(node, "added")
    assert row.name == NAME
    await node.ways.remove(row.id)
    assert await rows(node, "added") == []


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("folder", {"where": "https://x.example"}),
        ("folder", {"where": "/no/such/folder"}),
        ("webdav", {"where": "ftp://x.example"}),
        ("webdav", {"where": "cloud.example"}),
        ("webdav", {"where": "http://cloud.example/x", "user": "a", "password": "b"}),
        ("s3", {"where": "bucket", "user": "a", "password": "b"}),
        ("mail", {"where": "nobody"}),
        ("mail", {"where": "ana@mail.example", "contacts": "Boris boris@post.example"}),
        ("mail", {"where": "ana@mail.example", "contacts": "Boris = boris@post.example"}),
        ("sftp", {"where": "sftp://ana@127.0.0.1:1/x"}),
        ("proxy", {"where": "127.0.0.1"}),
        ("tor", {"bridges": "nonsense"}),
        ("nothing", {}),
    ],
)
async def test_what_cannot_be_added_is_said_in_a_sentence(
    node: Node, kind: str, fields: dict[str, str]
) -> None:
    with pytest.raises(NodeError, match=r"\.$"):
        await node.ways.add(kind, fields)
    assert await rows(node, "drop") == await rows(node, "added") == []


@pytest.mark.parametrize("id", ["drop:x", "path:x", "path:direct", "", "x"])
async def test_what_is_not_there_cannot_be_removed(node: Node, id: str) -> None:
    with pytest.raises(NodeError):
        await node.ways.remove(id)


async def test_a_locked_node_has_no_ways(node: Node) -> None:
    await node.lock()
    with pytest.raises(VaultLocked):
        _ = node.ways
