"""A node that is up: its web app, the control channel and the pocket relay on one loopback port.

Websockets and questions for the information document (NIP-11) go to the pocket relay, `/api/rpc`
to the control channel, everything else to the web app.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from volok.app.commands import Commands
from volok.app.control import control_app
from volok.app.home import RPC_PATH, RunInfo
from volok.app.node import Node
from volok.app.pocket import PocketRelay
from volok.app.scratch import FolderScratch
from volok.app.web.app import create_app
from volok.app.web.interface import WebSettings
from volok.native import NativeCrypto
from volok.relay.errors import PortInUse
from volok.relay.information import MEDIA_TYPE
from volok.relay.server import serve
from volok.relay.settings import RelaySettings


@dataclass(frozen=True, slots=True)
class Served:
    """A node that is up."""

    port: int
    page: Callable[[], str]
    """Gives a fresh link that opens the web app in a browser, once."""


class Front:
    """The outermost ASGI application: hands each request to the part that it is for."""

    def __init__(self, pocket: ASGIApp) -> None:
        self.web: ASGIApp = _not_ready
        self.control: ASGIApp = _not_ready
        self._pocket = pocket
        self._requests: set[asyncio.Task[object]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        if scope["type"] == "lifespan":
            await _bare_lifespan(receive, send)
            return
        request = asyncio.current_task()
        if request is not None:
            self._requests.add(request)
            request.add_done_callback(self._requests.discard)
        await self._part(scope)(scope, receive, send)

    def drop(self) -> None:
        """End every request that is still answered: streams would go on for ever."""
        for request in self._requests:
            request.cancel()

    def _part(self, scope: Scope) -> ASGIApp:
        if scope["type"] == "websocket" or MEDIA_TYPE in Headers(scope=scope).get("accept", ""):
            return self._pocket
        return self.control if scope["path"] == RPC_PATH else self.web


@asynccontextmanager
async def serve_node(
    node: Node, port: int | None, now: Callable[[], float]
) -> AsyncIterator[Served]:
    """Serve a started node until the block is left; `port` None takes the usual or a free one.

    Leaves `run.json` for the commands. Raises PortInUse, RelayError, OSError.
    """
    pocket = PocketRelay(NativeCrypto(), now)
    front = Front(pocket)
    async with AsyncExitStack() as stack:
        actual = await _listen(stack, front, node, port)
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="volok-"))
        web = create_app(
            node,
            WebSettings(
                port=actual,
                now=now,
                random=os.urandom,
                scratch=FolderScratch(Path(scratch)),
                cookie_suffix=hashlib.sha256(str(node.home.root).encode()).hexdigest()[:8],
            ),
        )

        def page() -> str:
            token = web.state.web.door.token()
            # The address rather than a name: not every system resolves names under .localhost.
            return f"http://{node.settings.host}:{actual}/open?token={token}"

        await stack.enter_async_context(web.router.lifespan_context(web))
        control_token = secrets.token_hex(32)
        front.web = web
        front.control = control_app(Commands(node, carries=True, page=page), control_token)
        node.while_open("pocket relay", pocket.run)
        stack.callback(front.drop)
        node.home.write_run(RunInfo(actual, control_token, os.getpid()))
        stack.callback(node.home.clear_run)
        yield Served(actual, page)


async def _listen(stack: AsyncExitStack, front: Front, node: Node, port: int | None) -> int:
    settings = RelaySettings()
    host, usual = node.settings.host, node.settings.port
    try:
        wanted = usual if port is None else port
        address = await stack.enter_async_context(serve(front, host, wanted, settings))
    except PortInUse:
        if port is not None:
            raise
        address = await stack.enter_async_context(serve(front, host, 0, settings))
    return address.port


async def _bare_lifespan(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


async def _not_ready(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("Starting.", 503)(scope, receive, send)
