"""The web app: its routes, and the one place where its parts are put together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import Route

from volok.app.web import (
    actions,
    carry,
    contacts,
    conversation,
    doctor,
    entrance,
    errors,
    files,
    hints,
    invites,
    light,
    pages,
    paths,
    settings,
)
from volok.app.web.assets import asset
from volok.app.web.downloads import Downloads, download
from volok.app.web.events import events
from volok.app.web.idle import IdleLock, awake
from volok.app.web.interface import WebNode, WebSettings
from volok.app.web.render import Web, environments
from volok.app.web.security import Door, Guard

_GET, _POST, _BOTH = ["GET"], ["POST"], ["GET", "POST"]

ROUTES = [
    Route("/static/{digest}/{name:path}", asset, methods=_GET),
    Route("/open", entrance.open_door, methods=_GET),
    Route("/welcome", entrance.welcome, methods=_BOTH),
    Route("/restore", entrance.restore, methods=_BOTH),
    Route("/begin", entrance.begin, methods=_GET),
    Route("/unlock", entrance.unlock, methods=_BOTH),
    Route("/lock", entrance.lock, methods=_POST),
    Route("/panic", entrance.panic, methods=_POST),
    Route("/destroyed", entrance.destroyed, methods=_GET),
    Route("/", pages.home, methods=_GET),
    Route("/conversations", pages.conversations, methods=_GET),
    Route("/status", pages.status, methods=_GET),
    Route("/search", pages.search, methods=_BOTH),
    Route("/events", events, methods=_GET),
    Route("/awake", awake, methods=_POST),
    Route("/c/{id}", conversation.conversation, methods=_GET),
    Route("/c/{id}/head", conversation.head, methods=_GET),
    Route("/c/{id}/older", conversation.older, methods=_GET),
    Route("/c/{id}/messages", conversation.send, methods=_POST),
    Route("/c/{id}/seen", conversation.seen, methods=_POST),
    Route("/c/{id}/about", contacts.about, methods=_GET),
    Route("/c/{id}/about", contacts.change, methods=_POST),
    Route("/c/{id}/compare", contacts.compare, methods=_POST),
    Route("/c/{id}/safety.svg", contacts.safety_code, methods=_GET),
    Route("/m/{id}", conversation.message, methods=_GET),
    Route("/m/{id}/menu", actions.menu, methods=_GET),
    Route("/m/{id}/react", actions.react, methods=_POST),
    Route("/m/{id}/delete", actions.delete, methods=_POST),
    Route("/m/{id}/retry", actions.retry, methods=_POST),
    Route("/files/{id}", files.file, methods=_GET),
    Route("/files/{id}/once", files.once, methods=_POST),
    Route("/invites", invites.invites, methods=_BOTH),
    Route("/invites/{id}", invites.invite, methods=_GET),
    Route("/invites/{id}/code.svg", invites.invite_code, methods=_GET),
    Route("/invites/{id}/file", invites.invite_file, methods=_GET),
    Route("/invites/{id}/revoke", invites.revoke, methods=_POST),
    Route("/accept", invites.accept, methods=_BOTH),
    Route("/settings", settings.settings, methods=_BOTH),
    Route("/paths", paths.paths, methods=_GET),
    Route("/paths/add", paths.add, methods=_POST),
    Route("/paths/remove", paths.remove, methods=_POST),
    Route("/paths/test", paths.test, methods=_POST),
    Route("/hints", hints.hints, methods=_BOTH),
    Route("/doctor", doctor.doctor, methods=_BOTH),
    Route("/doctor/progress", doctor.progress, methods=_GET),
    Route("/backup", carry.backup, methods=_BOTH),
    Route("/carry", carry.carry, methods=_GET),
    Route("/carry/export", carry.export_bundle, methods=_POST),
    Route("/carry/import", carry.import_bundle, methods=_POST),
    Route("/carry/light", light.page, methods=_GET),
    Route("/carry/light/show", light.show, methods=_POST),
    Route("/carry/light/read", light.read, methods=_POST),
    Route("/carry/light/{id}/frames", light.frames, methods=_GET),
    Route("/downloads/{id}", download, methods=_GET),
]


@asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncIterator[None]:
    locking = asyncio.create_task(app.state.web.idle.run())
    try:
        yield
    finally:
        locking.cancel()
        with suppress(asyncio.CancelledError):
            await locking
        await doctor.close(app.state.examiner)


def create_app(node: WebNode, settings: WebSettings) -> Starlette:
    """The web app of one node, as an ASGI application; its lifespan runs the automatic lock."""
    door = Door(settings)
    app = Starlette(
        routes=ROUTES,
        middleware=[Middleware(Guard, door=door, settings=settings)],
        exception_handlers={HTTPException: errors.on_http}
        | dict.fromkeys(errors.STATED, errors.on_stated),
        lifespan=_lifespan,
    )
    app.state.web = Web(
        node=node,
        settings=settings,
        door=door,
        idle=IdleLock(node, settings.now),
        downloads=Downloads(settings),
        environments=environments(settings),
    )
    app.state.examiner = doctor.Examiner()
    app.state.light = light.Light()
    return app


def one_time_link(app: Starlette) -> str:
    """A fresh link that opens the web app in a browser, once."""
    shared: Web = app.state.web
    name, port = shared.settings.host_name, shared.settings.port
    return f"http://{name}.localhost:{port}/open?token={shared.door.token()}"
