from __future__ import annotations

import inspect
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from volok.app.access import running
from volok.app.commands import Commands, CommandSet
from volok.app.control import MOST_BYTES, RPC_PATH, VERBS
from volok.app.errors import AppError, NodeLost
from volok.app.home import RunInfo
from volok.app.node import Node
from volok.app.remote import Remote
from volok.app.serving import serve_node
from volok.app.settings import NodeSettings


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    """A node that is up, without relays."""
    node = Node(tmp_path / "home", background=True)
    await node.start()
    await node.create("Alice", [], None)
    async with serve_node(node, 0, lambda: 1_800_000_000.0):
        yield node
    await node.stop()


def run_of(node: Node) -> RunInfo:
    run = node.home.read_run()
    assert run is not None
    return run


async def post(node: Node, body: object, **headers: str) -> httpx.Response:
    run = run_of(node)
    usual = {"Authorization": f"Bearer {run.token}"}
    async with httpx.AsyncClient() as client:
        content = body if isinstance(body, bytes) else None
        return await client.post(
            f"http://127.0.0.1:{run.port}{RPC_PATH}",
            headers={**usual, **headers},
            content=content,
            json=body if content is None else None,
        )


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_all_ways_to_the_commands_take_the_same(verb: str) -> None:
    contract = inspect.signature(getattr(CommandSet, verb))
    for implementation in (Commands, Remote):
        assert inspect.signature(getattr(implementation, verb)) == contract


async def test_commands_pass_through(node: Node) -> None:
    async with running(node.home, NodeSettings()) as remote:
        assert remote is not None
        assert (await remote.status())["name"] == "Alice"
        assert await remote.contacts() == []
        assert "/open?token=" in (await remote.page())["url"]
        with pytest.raises(AppError, match="no contact"):
            await anext(remote.read("Nobody", None, False, None))


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": ""}, 401),
        ({"Origin": "http://127.0.0.1"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "evil.example:80"}, 403),
        ({"Host": "localhost"}, 403),
    ],
)
async def test_strangers_and_browsers_are_refused(
    node: Node, headers: dict[str, str], status: int
) -> None:
    answer = await post(node, {"command": "status", "arguments": {}}, **headers)
    assert answer.status_code == status


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b'"status"',
        {"command": "status"},
        {"command": "__init__", "arguments": {}},
        {"command": "_publish", "arguments": {}},
        {"command": "status", "arguments": {"x": 1}},
        {"command": "status", "arguments": 7},
        {"command": ["status"], "arguments": {}},
        b"[" * 100_000,
        b" " * (MOST_BYTES + 1),
    ],
)
async def test_what_is_no_command_is_refused(node: Node, body: object) -> None:
    assert (await post(node, body)).status_code == 400


async def test_a_node_that_is_gone_is_none(node: Node) -> None:
    run = run_of(node)
    node.home.write_run(RunInfo(port=run.port, token="another", pid=run.pid))
    async with running(node.home, NodeSettings()) as remote:
        assert remote is None
    node.home.write_run(RunInfo(port=1, token=run.token, pid=run.pid))
    async with running(node.home, NodeSettings()) as remote:
        assert remote is None


async def test_an_answer_that_is_cut_is_an_error(node: Node) -> None:
    def cut(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=b'{"value": {}}\n')

    async with httpx.AsyncClient(
        transport=httpx.MockTransport(cut), base_url="http://127.0.0.1"
    ) as client:
        messages = Remote(client).read("Bob", None, False, None)
        assert await anext(messages) == {}
        with pytest.raises(NodeLost):
            await anext(messages)
