"""Invites: making one, showing it as link, QR code and file, and accepting one."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from volok.app.web import forms
from volok.app.web.codes import qr
from volok.app.web.downloads import attachment
from volok.app.web.errors import moved, sentence
from volok.app.web.render import chat, language_of, shell, web
from volok.chat.views import ChatError, InviteView

DAYS = (1, 7, 30)
"""How long an invite may be good, in days."""


async def invites(request: Request) -> Response:
    """GET and POST /invites: those that there are, and a new one."""
    if request.method == "POST":
        data = await forms.form(request)
        days = forms.number(data, "days", 1, max(DAYS))
        made = await chat(request).invite(days, forms.flag(data, "multiple"))
        return moved(request, f"/invites/{made.id}")
    now = web(request).settings.now() * 1000
    usable = [
        made
        for made in await chat(request).invites()
        if not made.revoked and made.expires_at > now and (made.multiple or not made.used)
    ]
    return await shell(request, "invites.html", invites=usable, days=DAYS)


async def _find(request: Request) -> InviteView:
    for made in await chat(request).invites():
        if made.id == request.path_params["id"]:
            return made
    raise HTTPException(404)


async def invite(request: Request) -> Response:
    """GET /invites/ID."""
    return await shell(request, "invite.html", invite=await _find(request))


async def invite_code(request: Request) -> Response:
    """GET /invites/ID/code.svg."""
    return qr((await _find(request)).link)


async def invite_file(request: Request) -> Response:
    """GET /invites/ID/file: the invite for somebody without a network."""
    made = await _find(request)
    name = language_of(request).gettext("Invite to Volok") + ".volok"
    return Response(
        await chat(request).invite_file(made.id),
        media_type="application/octet-stream",
        headers=attachment(name),
    )


async def revoke(request: Request) -> Response:
    """POST /invites/ID/revoke."""
    await chat(request).revoke((await _find(request)).id)
    return moved(request, "/invites")


async def accept(request: Request) -> Response:
    """GET and POST /accept: an invite as `link` or `file`."""
    if request.method == "GET":
        return await shell(request, "accept.html", link="", problem=None)
    data = await forms.form(request)
    link = forms.text(data, "link", 20_000)
    files = forms.uploads(data, "file")
    try:
        if files:
            contact = await chat(request).accept_file(await files[0].read())
        else:
            contact = await chat(request).accept(link)
    except ChatError as error:
        problem = sentence(request, error)
        return await shell(request, "accept.html", 422, link=link, problem=problem)
    return moved(request, f"/c/{contact.id}")
