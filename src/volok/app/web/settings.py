"""The settings page."""

from __future__ import annotations

from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from volok.app.web import forms
from volok.app.web.errors import STATED, moved, sentence
from volok.app.web.formats import TIMERS
from volok.app.web.i18n import LANGUAGES
from volok.app.web.render import chat, language_of, shell, web

AUTO_LOCK = (0, 1, 5, 15, 60)
"""The choices for locking by itself, in minutes."""


async def settings(request: Request) -> Response:
    """GET and POST /settings: show them, or make one change, named by `what`."""
    problem, where = None, ""
    if request.method == "POST":
        data = await forms.form(request)
        where = forms.text(data, "what", 20)
        try:
            problem = await _change(request, data, where)
        except STATED as error:
            chat(request)  # when locked meanwhile, leave for the locked page
            problem = sentence(request, error)
        if problem is None:
            return moved(request, f"/settings?done={where}#{where}")
    return await shell(
        request,
        "settings.html",
        422 if problem else 200,
        default_timer=await chat(request).default_timer(),
        auto_lock=AUTO_LOCK,
        problem=problem,
        where=where or request.query_params.get("done", ""),
    )


async def _change(request: Request, data: FormData, what: str) -> str | None:
    """Make a change; returns a sentence when it cannot be made. Raises STATED errors."""
    node, conversations = web(request).node, chat(request)
    match what:
        case "name":
            if not (name := forms.text(data, "name", 400)):
                return language_of(request).gettext("Please give a name. Your friends will see it.")
            await conversations.set_name(name)
        case "relays":
            if gone := forms.text(data, "remove", 400):
                await node.remove_relay(gone)
            elif url := forms.text(data, "url", 400):
                await node.add_relay(url)
        case "passphrase":
            return await _passphrase(request, data)
        case "auto-lock":
            await node.set_preference("auto_lock_minutes", forms.number(data, "minutes", 0, 1440))
        case "timer":
            await conversations.set_default_timer(forms.number(data, "seconds", 0, max(TIMERS)))
        case "language":
            code = forms.text(data, "language", 20)
            await node.set_preference("language", code if code in LANGUAGES else "")
        case "notifications":
            await node.set_preference("notifications", forms.flag(data, "on"))
        case _:
            raise HTTPException(400)
    return None


async def _passphrase(request: Request, data: FormData) -> str | None:
    new = forms.text(data, "new", 1000)
    if new != forms.text(data, "again", 1000):
        return language_of(request).gettext("The two passphrases differ. Please type them again.")
    old = forms.text(data, "old", 1000)
    await web(request).node.change_passphrase(old or None, new or None)
    return None
