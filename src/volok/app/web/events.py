"""The live stream of a page: server-sent events that resume by the journal's cursor.

1. `change` carries one changed message or contact as JSON; its id is the journal's cursor.
2. `list` says that the list of conversations is to be shown anew, once for each batch.
3. `status` says the same of the line about the connection.
4. `locked` says that the pages are closed now; nothing follows it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from volok.app.web.interface import WebChat, WebNode
from volok.app.web.render import web
from volok.chat.views import Change, ChatError
from volok.store.vault import VaultError


def event(name: str, data: str = "", id: int | None = None) -> bytes:
    """One server-sent event (HTML standard, 9.2). `data` is one line."""
    number = "" if id is None else f"id: {id}\n"
    return f"{number}event: {name}\ndata: {data}\n\n".encode()


def start(request: Request) -> int:
    """Where to go on: after the last event that this browser saw, else where the page began."""
    for text in (request.headers.get("last-event-id"), request.query_params.get("after")):
        if text and text.isascii() and text.isdecimal() and len(text) < 19:
            return int(text)
    return 0


async def _encode(conversations: WebChat, change: Change) -> bytes:
    alert = False
    if change.new:
        with suppress(ChatError):
            alert = not (await conversations.contact(change.contact)).muted
    data = {"contact": change.contact, "message": change.message, "alert": alert}
    return event("change", json.dumps(data), change.cursor)


async def _changes(node: WebNode, cursor: int, queue: asyncio.Queue[bytes | None]) -> None:
    try:
        conversations = node.chat
        async for batch in conversations.follow(cursor):
            for change in batch:
                queue.put_nowait(await _encode(conversations, change))
            queue.put_nowait(event("list"))
    except VaultError:
        pass
    queue.put_nowait(None)


async def _status(node: WebNode, queue: asyncio.Queue[bytes | None]) -> None:
    while True:
        await node.status_changed()
        if node.state != "open":
            queue.put_nowait(None)
            return
        queue.put_nowait(event("status"))


async def stream(node: WebNode, cursor: int, heartbeat: float) -> AsyncIterator[bytes]:
    """The events of one page until the node is locked or the page goes away."""
    queue: asyncio.Queue[bytes | None] = asyncio.Queue()
    tasks = [
        asyncio.create_task(_changes(node, cursor, queue)),
        asyncio.create_task(_status(node, queue)),
    ]
    try:
        yield b"retry: 1000\n: hello\n\n"
        while True:
            try:
                piece = await asyncio.wait_for(queue.get(), heartbeat)
            except TimeoutError:
                piece = b": still here\n\n"
            if piece is None:
                yield event("locked")
                return
            yield piece
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def events(request: Request) -> Response:
    """GET /events?after=CURSOR. Of a locked node it says that alone: the page may be older."""
    shared = web(request)
    body = stream(shared.node, start(request), shared.settings.heartbeat_seconds)
    return StreamingResponse(
        body, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"}
    )
