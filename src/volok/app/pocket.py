"""The pocket relay: the node's store as a relay on loopback, for any Nostr client on this computer.

It lives while the node is open. Sealed events are served to nobody, and blobs are not its business.
Web pages can open websockets to loopback as well; they are refused, whatever their origin.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from volok.app.wiring import Parts
from volok.model.crypto import Verifier
from volok.relay.asgi import create_app
from volok.relay.settings import RelaySettings

POCKET = RelaySettings(
    name="Volok pocket relay",
    description="The store of one person's node, for programs on the same computer.",
    hosts=("127.0.0.1", "localhost"),
    serve_sealed=False,
    accept_blobs=False,
)


class PocketRelay:
    """An ASGI application that is a relay while `run` runs, and is not there otherwise."""

    def __init__(self, verifier: Verifier, now: Callable[[], float]) -> None:
        self._verifier = verifier
        self._now = now
        self._relay: ASGIApp | None = None
        self._requests: set[asyncio.Task[object]] = set()

    async def run(self, parts: Parts) -> None:
        """Be a relay over the store of an open node, until cancelled."""
        relay = create_app(
            parts.store,
            self._verifier,
            POCKET,
            clock=self._now,
            origin_allowed=lambda origin: origin is None,
        )
        async with relay.router.lifespan_context(relay):
            self._relay = relay
            try:
                await asyncio.Event().wait()
            finally:
                self._relay = None
                for request in self._requests:
                    request.cancel()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        request = asyncio.current_task()
        if self._relay is None or request is None:
            await _refuse(scope, receive, send)
            return
        self._requests.add(request)
        try:
            await self._relay(scope, receive, send)
        finally:
            self._requests.discard(request)


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1013})
    else:
        await PlainTextResponse("Locked.", 503)(scope, receive, send)
