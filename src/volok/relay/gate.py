"""What every request passes first: allowed hosts and origins, and cross-origin headers.

Middleware for ASGI, for HTTP and websockets alike.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from volok.model.urls import InvalidUrl, relay_host
from volok.relay.metrics import Metrics

OriginAllowed = Callable[[str | None], bool]
"""Whether a page of this origin may talk to us; None is a client that is no browser."""

_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "*",
}
_PREFLIGHT = {
    "Access-Control-Allow-Headers": "Authorization, *",
    "Access-Control-Allow-Methods": "GET, HEAD, POST, PUT, PATCH, DELETE",
    "Access-Control-Max-Age": "86400",
}


def any_origin(_origin: str | None) -> bool:
    """The policy of a public relay."""
    return True


def host_of(headers: Headers) -> str:
    """The name in the Host header, lower case and without port; empty when there is none."""
    try:
        return relay_host(f"ws://{headers.get('host', '')}")
    except InvalidUrl:
        return ""


class Gate:
    """Refuses strangers with 403; answers preflights; marks answers as readable by pages (BUD-01,
    NIP-11)."""

    def __init__(
        self,
        app: ASGIApp,
        origin_allowed: OriginAllowed,
        hosts: Collection[str],
        metrics: Metrics,
    ) -> None:
        """`hosts` are the names that a Host header may hold; empty for any."""
        self._app = app
        self._origin_allowed = origin_allowed
        self._hosts = hosts
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        known_host = not self._hosts or host_of(headers) in self._hosts
        if not known_host or not self._origin_allowed(headers.get("origin")):
            self._metrics.connections_refused += 1
            await _refuse(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._app(scope, receive, send)
        elif scope["method"] == "OPTIONS":
            await Response(status_code=204, headers=_CORS | _PREFLIGHT)(scope, receive, send)
        else:
            await self._app(scope, receive, _with_cors(send))


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008})
    else:
        reason = {"X-Reason": "This page may not talk to this relay."}
        await Response(status_code=403, headers=reason)(scope, receive, send)


def _with_cors(send: Send) -> Send:
    async def send_with_cors(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(_CORS)
        await send(message)

    return send_with_cors
