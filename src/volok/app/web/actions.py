"""What one can do with a message: react, answer, edit, delete, try again."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from volok.app.web import forms
from volok.app.web.conversation import row
from volok.app.web.errors import is_htmx, moved
from volok.app.web.render import chat, fragment

REACTIONS = ("❤️", "👍", "😂", "😮", "😢", "🙏")
"""The reactions that are offered."""


async def menu(request: Request) -> Response:
    """GET /m/ID/menu."""
    message = await chat(request).message(request.path_params["id"])
    mine = next((reaction.emoji for reaction in message.reactions if reaction.mine), "")
    return await fragment(request, "_menu.html", message=message, choices=REACTIONS, chosen=mine)


async def react(request: Request) -> Response:
    """POST /m/ID/react: `emoji`, empty to take it back."""
    id = request.path_params["id"]
    emoji = forms.text(await forms.form(request), "emoji", 32)
    if emoji not in ("", *REACTIONS):
        raise HTTPException(400)
    await chat(request).react(id, emoji)
    return await _changed(request, id)


async def delete(request: Request) -> Response:
    """POST /m/ID/delete: for us, or with `everyone` for both."""
    id = request.path_params["id"]
    contact = (await chat(request).message(id)).contact
    everyone = forms.flag(await forms.form(request), "everyone")
    await chat(request).delete(id, everyone)
    if everyone:
        return await _changed(request, id)
    return Response("") if is_htmx(request) else moved(request, f"/c/{contact}")


async def retry(request: Request) -> Response:
    """POST /m/ID/retry: send a message that failed once more."""
    id = request.path_params["id"]
    await chat(request).retry(id)
    return await _changed(request, id)


async def _changed(request: Request, id: str) -> Response:
    message = await chat(request).message(id)
    if is_htmx(request):
        return await row(request, message)
    return moved(request, f"/c/{message.contact}")
