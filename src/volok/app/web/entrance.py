"""The way in: the one-time link, the first run, unlocking, and what is left after a panic."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from volok.app.web import forms
from volok.app.web.errors import STATED, moved, place, sentence
from volok.app.web.render import language_of, page, web
from volok.store.vault import VaultError


async def open_door(request: Request) -> Response:
    """GET /open?token=TOKEN: exchange the token for the cookie, once."""
    door = web(request).door
    cookie = door.exchange(request.query_params.get("token", ""))
    if cookie is None and not door.knows(request.cookies.get(door.cookie_name, "")):
        return await page(request, "knock.html", 403)
    response = RedirectResponse("/", status_code=303)
    if cookie is not None:
        response.set_cookie(door.cookie_name, cookie, httponly=True, samesite="strict", path="/")
    return response


async def welcome(request: Request) -> Response:
    """GET and POST /welcome: the first run asks for a name, and for little else."""
    node = web(request).node
    if node.state != "new":
        return moved(request, place(request))
    if request.method == "GET":
        return await page(request, "welcome.html", name="", relays="", problem=None)
    data = await forms.form(request)
    name = forms.text(data, "name", 400)
    relays = forms.text(data, "relays", 4000)
    passphrase = forms.text(data, "passphrase", 1000)
    problem = _check(request, name, passphrase, forms.text(data, "again", 1000))
    if problem is None:
        try:
            await node.create(name, relays.split(), passphrase or None)
            return moved(request, "/begin")
        except STATED as error:
            problem = sentence(request, error)
    return await page(request, "welcome.html", 422, name=name, relays=relays, problem=problem)


def _check(request: Request, name: str, passphrase: str, again: str) -> str | None:
    _ = language_of(request).gettext
    if not name:
        return _("Please give a name. Your friends will see it.")
    if passphrase != again:
        return _("The two passphrases differ. Please type them again.")
    return None


async def restore(request: Request) -> Response:
    """GET and POST /restore: take up a backup in an empty home."""
    node = web(request).node
    if node.state != "new":
        return moved(request, place(request))
    if request.method == "GET":
        return await page(request, "restore.html", problem=None)
    data = await forms.form(request)
    files = forms.uploads(data, "backup")
    scratch = web(request).settings.scratch
    path = scratch.new()
    try:
        if not files:
            problem = language_of(request).gettext("Please choose the backup file.")
        else:
            await scratch.write(path, forms.pieces(files[0]))
            await node.restore(path, forms.text(data, "code", 1000))
            return moved(request, place(request))
    except STATED as error:
        problem = sentence(request, error)
    finally:
        await scratch.remove(path)
    return await page(request, "restore.html", 422, problem=problem)


async def begin(request: Request) -> Response:
    """GET /begin: the first steps after the name: invite somebody, or accept an invite."""
    status = await web(request).node.status()
    if status.state != "open":
        return moved(request, place(request))
    return await page(request, "begin.html", status=status)


async def unlock(request: Request) -> Response:
    """GET and POST /unlock."""
    node = web(request).node
    if node.state != "locked":
        return moved(request, place(request))
    status = await node.status()
    problem = None
    if request.method == "POST":
        data = await forms.form(request)
        try:
            await node.unlock(forms.text(data, "passphrase", 1000) or None)
            return moved(request, "/")
        except VaultError as error:
            problem = sentence(request, error)
    http_status = 422 if problem else 200
    return await page(request, "unlock.html", http_status, status=status, problem=problem)


async def lock(request: Request) -> Response:
    """POST /lock."""
    await web(request).node.lock()
    return moved(request, place(request))


async def panic(request: Request) -> Response:
    """POST /panic: destroy the key at once. The page that leads here has asked already."""
    await web(request).node.panic()
    return moved(request, place(request))


async def destroyed(request: Request) -> Response:
    """GET /destroyed."""
    if web(request).node.state != "destroyed":
        return moved(request, place(request))
    return await page(request, "destroyed.html")
