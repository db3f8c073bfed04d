"""The page of one person: safety number, name, timer, and what else one may decide about them."""

from __future__ import annotations

import hmac

from starlette.requests import Request
from starlette.responses import Response

from volok.app.web import forms
from volok.app.web.codes import qr
from volok.app.web.errors import moved
from volok.app.web.render import chat, shell


async def about(request: Request) -> Response:
    """GET /c/ID/about."""
    return await _about(request)


async def _about(request: Request, compared: bool | None = None) -> Response:
    contact = await chat(request).contact(request.path_params["id"])
    number = await chat(request).safety_number(contact.id)
    groups = [number.digits[at : at + 5] for at in range(0, len(number.digits), 5)]
    return await shell(
        request,
        "contact.html",
        contact=contact,
        current=contact.id,
        groups=groups,
        compared=compared,
    )


async def safety_code(request: Request) -> Response:
    """GET /c/ID/safety.svg."""
    return qr((await chat(request).safety_number(request.path_params["id"])).code)


async def compare(request: Request) -> Response:
    """POST /c/ID/compare: `code` as it was read from the other's screen."""
    id = request.path_params["id"]
    read = forms.text(await forms.form(request), "code", 4000)
    own = (await chat(request).safety_number(id)).code
    same = hmac.compare_digest(read.encode(), own.encode())
    if same:
        await chat(request).verify(id, True)
    return await _about(request, compared=same)


async def change(request: Request) -> Response:
    """POST /c/ID/about: one change, named by `what`."""
    id = request.path_params["id"]
    data = await forms.form(request)
    conversations = chat(request)
    on = forms.flag(data, "on")
    match forms.text(data, "what", 20):
        case "name":
            if name := forms.text(data, "name", 400):
                await conversations.rename(id, name)
        case "timer":
            await conversations.set_timer(id, forms.number(data, "seconds", 0, 2419200))
        case "mute":
            await conversations.mute(id, on)
        case "pin":
            await conversations.pin(id, on)
        case "block":
            await conversations.block(id, on)
        case "verify":
            await conversations.verify(id, on)
        case "accept-key":
            await conversations.accept_key(id)
            return moved(request, f"/c/{id}")
        case "forget":
            await conversations.forget(id)
            return moved(request, "/")
    return moved(request, f"/c/{id}/about")
