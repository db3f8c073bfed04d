"""The relay as an ASGI application: a websocket and the information document at `/`, blobs beside.

Whatever runs it must run its lifespan: live events and the store's intake are tasks of it. Its
websockets need the extension of `volok.relay.websocket`, which `volok.relay.server` gives.
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
from websockets.frames import CloseCode

from volok.model.crypto import Verifier
from volok.model.urls import blossom_base, relay_host, url_in_requests
from volok.relay.admission import Admission, forwarded_address
from volok.relay.blob_service import BlobService, problem
from volok.relay.blossom import Blossom
from volok.relay.fanout import Fanout
from volok.relay.gate import Gate, OriginAllowed, any_origin, host_of
from volok.relay.http_auth import same_place
from volok.relay.information import MEDIA_TYPE, information
from volok.relay.ingest import Ingest, Judge
from volok.relay.intake import Intake
from volok.relay.management import Management
from volok.relay.management_state import StateFile
from volok.relay.metrics import Metrics
from volok.relay.mirror import Mirror
from volok.relay.reports import Reports
from volok.relay.session import Services, Session
from volok.relay.settings import RelaySettings, admin_keys
from volok.relay.snapshots import Snapshots
from volok.relay.uploads import Uploads
from volok.relay.verifying import Verifying, VerifyingThreads
from volok.relay.websocket import EXTENSION, Handler
from volok.store.blobs import BlobError, Blobs
from volok.store.store import Store, StoreError

_RESTART_SECONDS = 1.0
_LOOK_SECONDS = 1.0
"""How often the load is looked at."""
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


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
    managed: StateFile | None = None,
    free: Callable[[], int] | None = None,
    judge: Judge | None = None,
    verifying: Verifying | None = None,
) -> Starlette:
    """Build a relay over a store that the caller opened and will close.

    `clock` gives Unix seconds. Without `blobs`, or with `accept_blobs` off, there is no Blossom
    server; without `uploads`, who brought which blob is forgotten at exit. `origin_allowed` is
    asked about the Origin header of every request (None for clients that are no browsers).
    `managed` holds what the management API has changed; without it, that is forgotten at exit.
    `free` says how many bytes are free where blobs go.
    `judge` is asked about each event before it is stored (`volok.relay.plugin`).
    `verifying` checks signatures of events, and the caller will close it; without it, threads do.
    """
    counters = metrics or Metrics()
    threads = VerifyingThreads(verifier)

    def now() -> int:
        return int(clock())

    names = _Names(settings.public_urls, settings.secret_path)
    management = Management(
        file=managed or StateFile(None),
        admins=admin_keys(settings.admins),
        verifier=verifier,
        store=store,
        now=now,
        places=names.places,
        reports=Reports(secrets.token_bytes),
        metrics=counters,
    )
    services = Services(
        settings=settings,
        store=store,
        verifier=verifier,
        now=now,
        challenge=challenge,
        fanout=Fanout(store, now),
        ingest=Ingest(store, verifying or threads, now, counters, judge),
        metrics=counters,
        snapshots=Snapshots(store, settings, now),
        admission=Admission(settings, secrets.token_bytes),
        lists=management.lists,
    )
    routes: list[BaseRoute] = [
        WebSocketRoute("/", partial(_websocket, services, names)),
        Route("/", partial(_front, settings, management, services.admission), methods=["GET"]),
    ]
    if management.admins:
        routes.append(Route("/", management.serve, methods=["POST"]))
    blossom: Blossom | None = None
    if blobs is not None and settings.accept_blobs:
        service = BlobService(
            blobs=blobs,
            uploads=uploads or Uploads(None),
            settings=settings,
            verifier=verifier,
            now=now,
            hosts=names.hosts,
            base=names.base,
            metrics=counters,
            lists=management.lists,
            free=free,
        )
        intake = Intake(service, Mirror(settings))
        blossom = Blossom(service, intake, management.reports if management.admins else None)
        management.erase_blob = blossom.erase
        routes += [
            Route("/upload", blossom.upload, methods=["HEAD", "PUT"]),
            Route("/mirror", blossom.mirror, methods=["PUT"]),
            Route("/report", blossom.report, methods=["PUT"]),
            Route("/{name}", blossom.serve, methods=["GET", "HEAD", "PATCH", "DELETE"]),
            # Clients of go-nostr put two slashes in front.
            Route("//{name}", blossom.serve, methods=["GET", "HEAD"]),
        ]
    gate = Middleware(Gate, origin_allowed=origin_allowed, hosts=settings.hosts, metrics=counters)
    secret = Middleware(_BelowSecret, secret=settings.secret_path)
    return Starlette(
        routes=routes,
        middleware=[secret, gate] if settings.secret_path else [gate],
        lifespan=partial(_lifespan, services, blossom, threads),
        exception_handlers={404: _nothing_here, 405: _nothing_here},
    )


@contextlib.asynccontextmanager
async def _lifespan(
    services: Services, blossom: Blossom | None, threads: Verifying, _app: Starlette
) -> AsyncIterator[None]:
    if blossom is not None:
        with contextlib.suppress(BlobError):
            await blossom.intake.parts.clear()
    async with contextlib.aclosing(threads), asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(_keep_going(work, services.metrics))
            for work in (
                services.fanout.run,
                services.ingest.run,
                partial(_sweep, services, blossom),
                partial(_look_at_load, services),
            )
        ]
        try:
            yield
        finally:  # also where whoever runs it is cancelled
            for session in list(services.sessions):
                session.dismiss(CloseCode.SERVICE_RESTART)
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


async def _look_at_load(services: Services) -> None:
    effort, metrics = services.admission.effort, services.metrics
    settled = 0
    while effort.most:
        await asyncio.sleep(_LOOK_SECONDS)
        before, settled = settled, services.ingest.settled
        effort.look(services.ingest.waiting, settled - before, _LOOK_SECONDS)
        metrics.work_asked = effort.difficulty
    await asyncio.Event().wait()


async def _websocket(services: Services, names: _Names, websocket: WebSocket) -> None:
    if services.metrics.connections >= services.settings.max_connections:
        services.metrics.connections_refused += 1
        await websocket.close()
        return
    accept: Callable[[Handler], None] = websocket.scope["extensions"][EXTENSION]["accept"]
    visit = services.admission.arrive(_address(services.settings, websocket), services.now())
    if visit is None:
        services.metrics.connections_refused += 1
        await websocket.close()
        return
    accept(Session(services, names.hosts(websocket), visit))


def _address(settings: RelaySettings, websocket: WebSocket) -> str:
    """Where a client comes from, for its budgets alone; empty when that says nothing."""
    if settings.forwarded_addresses:
        return forwarded_address(websocket.headers.get("x-forwarded-for", ""))
    return websocket.client.host if websocket.client else ""


async def _front(
    settings: RelaySettings, management: Management, admission: Admission, request: Request
) -> Response:
    if MEDIA_TYPE in request.headers.get("accept", ""):
        state = management.state()
        document = information(
            state.over(settings),
            version("volok"),
            admission.effort.difficulty,
            restricted=state.lists.restricts_writing,
        )
        return JSONResponse(document, media_type=MEDIA_TYPE)
    return HTMLResponse(settings.front_page)


async def _nothing_here(_request: Request, _error: Exception) -> Response:
    return problem(404, "There is nothing here.")


class _Names:
    """Under which names a client may know this relay."""

    def __init__(self, public_urls: Collection[str], secret: str) -> None:
        self._below = f"/{secret}" if secret else ""
        self._urls = [url_in_requests(url) for url in public_urls]
        self._bases = {relay_host(url): blossom_base(url) + self._below for url in self._urls}

    def hosts(self, connection: HTTPConnection) -> Collection[str]:
        return self._bases.keys() or {host_of(connection.headers)}

    def places(self, request: Request) -> Collection[str]:
        """Where the relay is, as `same_place` has it: for what is signed for this relay alone."""
        known = [*self._urls, *self._bases.values()]
        if not known and host_of(request.headers) in _LOOPBACK:
            known = [f"ws://{request.headers['host']}{self._below}"]
        return {place for place in map(same_place, known) if place}

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
