"""The list of conversations, the line about the connection, and search."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from volok.app.web import forms
from volok.app.web.render import chat, fragment, shell, web


async def home(request: Request) -> Response:
    """GET /."""
    return await shell(request, "home.html")


async def conversations(request: Request) -> Response:
    """GET /conversations?current=ID: the list alone."""
    contacts = await chat(request).contacts()
    current = request.query_params.get("current")
    return await fragment(request, "_list.html", contacts=contacts, current=current)


async def status(request: Request) -> Response:
    """GET /status: the line alone."""
    chat(request)
    return await fragment(request, "_status.html", status=await web(request).node.status())


async def search(request: Request) -> Response:
    """GET and POST /search. What is looked for is posted: addresses stay in a browser's history."""
    sought = ""
    if request.method == "POST":
        sought = forms.text(await forms.form(request), "text", 200)
    found = await chat(request).search(sought) if sought else []
    names = {contact.id: contact for contact in await chat(request).contacts()}
    values: dict[str, Any] = {"sought": sought, "found": found, "names": names}
    if request.headers.get("hx-request") == "true":
        return await fragment(request, "_found.html", **values)
    return await shell(request, "search.html", **values)
