"""The page about relays that contacts tell each other of."""

from __future__ import annotations

from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from volok.app.web import forms
from volok.app.web.errors import STATED, moved, sentence
from volok.app.web.hints_interface import WebHints
from volok.app.web.render import chat, shell, web

_LONGEST = 1000


def _hints(request: Request) -> WebHints:
    """The hints of the node. Raises VaultLocked, which leads to the right page."""
    chat(request)
    return web(request).node.hints


async def hints(request: Request) -> Response:
    """GET and POST /hints: show them, or make one change, named by `what`."""
    known = _hints(request)
    problem, typed = None, ""
    if request.method == "POST":
        data = await forms.form(request)
        what, place = forms.text(data, "what", 20), forms.text(data, "place", _LONGEST)
        try:
            await _change(known, data, what, place)
            return moved(request, f"/hints?done={what}#top")
        except STATED as error:
            known = _hints(request)  # when locked meanwhile, leave for the locked page
            problem, typed = sentence(request, error), place
    own = [relay.url for relay in (await web(request).node.status()).relays]
    shared = await known.shared()
    places = {each.place for each in shared}
    return await shell(
        request,
        "hints.html",
        422 if problem else 200,
        on=await known.is_on(),
        heard=await known.heard(),
        shared=shared,
        own=[url for url in own if url not in places],
        problem=problem,
        typed=typed,
        done=request.query_params.get("done", ""),
    )


async def _change(known: WebHints, data: FormData, what: str, place: str) -> None:
    match what:
        case "switch":
            await known.switch(forms.flag(data, "on"))
        case "keep":
            await known.keep(place)
        case "remove":
            await known.remove(place)
        case "share":
            to = forms.text(data, "contact", 200)
            await known.share(place, [to] if to else [])
        case "unshare":
            await known.unshare(place)
        case _:
            raise HTTPException(400)
