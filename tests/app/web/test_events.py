"""The live stream: what it says, where it resumes, when it ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace

import httpx
import pytest
from starlette.requests import Request

from volok.app.web.events import event, start, stream
from volok.app.web.interface import NodeState

from .fake_node import FakeNode


async def _read(lines: AsyncIterator[bytes], count: int) -> list[dict[str, str]]:
    """The next events; comments are skipped."""
    found: list[dict[str, str]] = []
    while len(found) < count:
        piece = (await asyncio.wait_for(anext(lines), 5)).decode()
        assert piece.endswith("\n\n")
        fields = dict(line.partition(": ")[::2] for line in piece.strip("\n").split("\n"))
        if "event" in fields:
            found.append(fields)
    return found


async def test_changes_in_order_and_resumed(node: FakeNode) -> None:
    id = node.chat.add_contact("Vera")
    messages = [await node.chat.receive(id, f"{n}") for n in range(3)]
    lines = stream(node, 0, 60)
    got = await _read(lines, 4)
    assert [one["event"] for one in got] == ["change", "change", "change", "list"]
    assert [json.loads(one["data"])["message"] for one in got[:3]] == [m.id for m in messages]
    assert [one["id"] for one in got[:3]] == ["1", "2", "3"]
    await lines.aclose()  # type: ignore[attr-defined]

    later = stream(node, int(got[1]["id"]), 60)
    (first,) = await _read(later, 1)
    assert json.loads(first["data"])["message"] == messages[2].id
    await later.aclose()  # type: ignore[attr-defined]


async def test_it_holds_no_text(node: FakeNode) -> None:
    id = node.chat.add_contact("Vera")
    await node.chat.receive(id, "secret")
    lines = stream(node, 0, 60)
    (change,) = await _read(lines, 1)
    assert json.loads(change["data"]).keys() == {"contact", "message", "alert"}
    assert "secret" not in str(change)
    await lines.aclose()  # type: ignore[attr-defined]


async def test_muted_people_do_not_alert(node: FakeNode) -> None:
    id = node.chat.add_contact("Vera")
    node.chat.people[id] = replace(node.chat.people[id], muted=True)
    lines = stream(node, 0, 60)
    for muted in (True, False):
        await node.chat.mute(id, muted)
        (told, _) = await _read(lines, 2)
        await node.chat.receive(id, "new")
        (arrived, _) = await _read(lines, 2)
        alerts = [json.loads(one["data"])["alert"] for one in (told, arrived)]
        assert alerts == [False, not muted]
    await lines.aclose()  # type: ignore[attr-defined]


async def test_status_heartbeat_and_lock(node: FakeNode) -> None:
    lines = stream(node, 0, 0.01)
    assert (await anext(lines)).startswith(b"retry:")
    assert await anext(lines) == b": still here\n\n"
    node.changed()
    assert (await _read(lines, 1))[0]["event"] == "status"
    await node.lock()
    assert (await _read(lines, 1))[0]["event"] == "locked"
    with pytest.raises(StopAsyncIteration):
        await anext(lines)


async def test_locking_ends_every_stream(browser: httpx.AsyncClient, node: FakeNode) -> None:
    reading = asyncio.create_task(browser.get("/events?after=0"))
    await node.chat.followed.wait()
    await node.lock()
    response = await asyncio.wait_for(reading, 5)
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.text.rstrip().endswith("event: locked\ndata:")


@pytest.mark.parametrize("state", ["locked", "destroyed"])
async def test_a_page_that_comes_too_late_hears_of_the_lock(
    browser: httpx.AsyncClient, node: FakeNode, state: NodeState
) -> None:
    await node.become(state)
    response = await asyncio.wait_for(browser.get("/events?after=0"), 5)
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.text.rstrip().endswith("event: locked\ndata:")


@pytest.mark.parametrize(
    ("header", "query", "cursor"),
    [("7", "3", 7), (None, "3", 3), ("x", "3", 3), ("-1", "", 0), ("9" * 40, "", 0)],
)
def test_where_it_starts(header: str | None, query: str, cursor: int) -> None:
    headers = [(b"last-event-id", header.encode())] if header else []
    scope = {"type": "http", "headers": headers, "query_string": f"after={query}".encode()}
    assert start(Request(scope)) == cursor


def test_wire_format() -> None:
    assert event("list") == b"event: list\ndata: \n\n"
    assert event("change", "{}", 5) == b"id: 5\nevent: change\ndata: {}\n\n"
