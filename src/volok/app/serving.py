"""A node that is up: its web app, the control channel and the pocket relay on one loopback port.

1. Websockets, and HTTP paths of the relay, go to the pocket relay; `/api/rpc` to the control
   channel; everything else to the web app.
2. The pocket relay lives while the node is open, serves sealed events to nobody, and refuses web
   pages of other origins.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from volok.app.commands import Commands
from volok.app.control import RPC_PATH, control_app
from volok.app.home import RunInfo
from volok.app.node import Node
from volok.app.scratch import FolderScratch
from volok.app.web.app import create_app
from volok.app.web.interface import WebSettings
from volok.relay.errors import PortInUse
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

    def __init__(self) -> None:
        self.web: ASGIApp = _not_ready
        self.control: ASGIApp = _not_ready

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        if scope["type"] == "lifespan":
            await _bare_lifespan(receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
        elif scope["path"] == RPC_PATH:
            await self.control(scope, receive, send)
        else:
            await self.web(scope, receive, send)


@asynccontextmanager
async def serve_node(
    node: Node, port: int | None, now: Callable[[], float]
) -> AsyncIterator[Served]:
    """Serve a started node until the block is left; `port` None takes the usual or a free one.

    Leaves `run.json` for the commands. Raises PortInUse, RelayError, OSError.
    """
    front = Front()
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
