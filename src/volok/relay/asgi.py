"""The relay as an ASGI application: a websocket and the information document at `/`, blobs beside.

Whatever runs it must run its lifespan: live events and the store's intake are tasks of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from functools import partial
from importlib.metadata import version

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from volok.model.crypto import Verifier
from volok.model.urls import blossom_base, relay_host, url_in_requests
from volok.relay.blossom import Blossom, problem
from volok.relay.fanout import Fanout
from volok.relay.gate import Gate, OriginAllowed, any_origin, host_of
from volok.relay.information import MEDIA_TYPE, information
from volok.relay.ingest import Ingest
from volok.relay.metrics import Metrics
from volok.relay.session import Services, Session
from volok.relay.settings import RelaySettings
from volok.relay.uploads import Uploads
from volok.store.blobs import BlobError, Blobs
from volok.store.store import Store, StoreError

_RESTART_SECONDS = 1.0


def _fresh_challenge() -> str:
    return secrets.token_hex(16)


def create_app(
    store: Store,
    verifier: Verifier,
    settings: RelaySettings,
    *,
    blobs: Blobs | None = None,
    uploads: Uploads | None = None,
    clock: Callable[[], float] = time.time,
    challenge: Callable[[], str] = _fresh_challenge,
    origin_allowed: OriginAllowed = any_origin,
    metrics: Metrics | None = None,
) -> Starlette:
    """Build a relay over a store that the caller opened and will close.

    `clock` gives Unix seconds. Without `blobs`, or with `accept_blobs` off, there is no Blossom
    server; without `uploads`, who brought which blob is forgotten at exit. `origin_allowed` is
    asked about the Origin header of every request (None for clients that are no browsers).
    """
    counters = metrics or Metrics()

    def now() -> int:
        return int(clock())

    services = Services(
        settings=settings,
        store=store,
        verifier=verifier,
        now=now,
        challenge=challenge,
        fanout=Fanout(store, now),
        ingest=Ingest(store, verifier, now, counters),
        metrics=counters,
    )
    names = _Names(settings.public_urls, settings.secret_path)
    routes: list[BaseRoute] = [
        WebSocketRoute("/", partial(_websocket, services, names)),
        Route("/", partial(_front, settings), methods=["GET"]),
    ]
    blossom: Blossom | None = None
    if blobs is not None and settings.accept_blobs:
        blossom = Blossom(
            blobs=blobs,
            uploads=uploads or Uploads(None),
            settings=settings,
            verifier=verifier,
            now=now,
            hosts=names.hosts,
            base=names.base,
            metrics=counters,
        )
        routes += [
            Route("/upload", blossom.upload, methods=["PUT"]),
            Route("/{name}", blossom.serve, methods=["GET", "HEAD", "PATCH", "DELETE"]),
        ]
    gate = Middleware(Gate, origin_allowed=origin_allowed, hosts=settings.hosts, metrics=counters)
    secret = Middleware(_BelowSecret, secret=settings.secret_path)
    return Starlette(
        routes=routes,
        middleware=[secret, gate] if settings.secret_path else [gate],
        lifespan=partial(_lifespan, services, blossom),
        exception_handlers={404: _nothing_here, 405: _nothing_here},
    )


@contextlib.asynccontextmanager
async def _lifespan(
    services: Services, blossom: Blossom | None, _app: Starlette
) -> AsyncIterator[None]:
    if blossom is not None:
        with contextlib.suppress(BlobError):
            await blossom.parts.clear()
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(_keep_going(work, services.metrics))
            for work in (
                services.fanout.run,
                services.ingest.run,
                partial(_sweep, services, blossom),
            )
        ]
        yield
        for task in tasks:
            task.cancel()


async def _keep_going(work: Callable[[], Awaitable[None]], metrics: Metrics) -> None:
    # Without these tasks the relay would answer and do nothing: no error may end them.
    while True:
        try:
            await work()
        except Exception:
            metrics.failures += 1
            await asyncio.sleep(_RESTART_SECONDS)


async def _sweep(services: Services, blossom: Blossom | None) -> None:
    metrics = services.metrics
    while True:
        try:
            metrics.events_expired += await services.store.expire(services.now())
            if blossom is not None:
                metrics.blobs_expired += await blossom.sweep()
        except (StoreError, BlobError, OSError):
            metrics.store_failures += 1
        await asyncio.sleep(services.settings.sweep_seconds)


async def _websocket(services: Services, names: _Names, websocket: WebSocket) -> None:
    metrics = services.metrics
    if metrics.connections >= services.settings.max_connections:
        metrics.connections_refused += 1
        await websocket.close()
        return
    metrics.connections += 1
    metrics.connections_total += 1
    try:
        await websocket.accept()
        await Session(services, websocket, names.hosts(websocket)).run()
    finally:
        metrics.connections -= 1


async def _front(settings: RelaySettings, request: Request) -> Response:
    if MEDIA_TYPE in request.headers.get("accept", ""):
        return JSONResponse(information(settings, version("volok")), media_type=MEDIA_TYPE)
    return HTMLResponse(settings.front_page)


async def _nothing_here(_request: Request, _error: Exception) -> Response:
    return problem(404, "There is nothing here.")


class _Names:
    """Under which names a client may know this relay."""

    def __init__(self, public_urls: Collection[str], secret: str) -> None:
        below = f"/{secret}" if secret else ""
        self._bases = {
            relay_host(url): blossom_base(url_in_requests(url)) + below for url in public_urls
        }

    def hosts(self, connection: HTTPConnection) -> Collection[str]:
        return self._bases.keys() or {host_of(connection.headers)}

    def base(self, request: Request) -> str:
        default = next(iter(self._bases.values()), str(request.base_url).rstrip("/"))
        return self._bases.get(host_of(request.headers), default)


class _BelowSecret:
    """Moves the relay below its secret path; elsewhere there is nothing.

    What strangers are shown is the business of whatever stands in front (`FrontDoor`).
    """

    def __init__(self, app: ASGIApp, secret: str) -> None:
        self._app = app
        self._prefix = f"/{secret}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        path: str = scope["path"]
        if path == self._prefix or path.startswith(f"{self._prefix}/"):
            whole = path if path != self._prefix else f"{path}/"
            await self._app({**scope, "root_path": self._prefix, "path": whole}, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close"})
        else:
            await Response(status_code=404)(scope, receive, send)
