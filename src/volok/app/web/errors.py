"""Errors as pages: every error becomes a sentence that says what happened and what to do."""

from __future__ import annotations

import inspect

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from volok.app.web.interface import NodeError
from volok.app.web.render import fragment, language_of, page, web
from volok.chat.views import ChatError
from volok.store.blobs import BlobError, BlobsFull
from volok.store.store import StoreError, StoreFull
from volok.store.vault import VaultDestroyed, VaultError, VaultFull, VaultLocked
from volok.sync.bundle import BundleError

STATED = (ChatError, NodeError, VaultError, StoreError, BlobError, BundleError)
"""Errors whose text, or else whose docstring, is the sentence for the person."""

_PLACES = {"new": "/welcome", "locked": "/unlock", "destroyed": "/destroyed", "open": "/"}


def sentence(request: Request, error: Exception) -> str:
    """What to tell the person about an error, in their language where it is known."""
    text = str(error) or (inspect.getdoc(type(error)) or "").partition("\n\n")[0]
    plain = " ".join(text.split())
    return language_of(request).gettext(plain)


def place(request: Request) -> str:
    """Where a person belongs in the node's present state."""
    return _PLACES[web(request).node.state]


def is_htmx(request: Request) -> bool:
    """Whether the request was made by a script that wants a fragment."""
    return request.headers.get("hx-request") == "true"


def moved(request: Request, path: str) -> Response:
    """Send the browser elsewhere after a form, by whichever way it came."""
    if is_htmx(request):
        return Response(status_code=204, headers={"HX-Redirect": path})
    return RedirectResponse(path, status_code=303)


async def told(request: Request, text: str, status: int) -> Response:
    """A page, or for a script a small message, with one sentence."""
    if is_htmx(request):
        return await fragment(request, "toast.html", status, text=text)
    return await page(request, "problem.html", status, text=text)


async def on_stated(request: Request, error: Exception) -> Response:
    """Handle STATED errors."""
    if isinstance(error, VaultLocked | VaultDestroyed):
        return moved(request, place(request))
    full = isinstance(error, VaultFull | StoreFull | BlobsFull)
    return await told(request, sentence(request, error), 507 if full else 422)


async def on_http(request: Request, error: Exception) -> Response:
    """Handle what the router or a page refused."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    _ = language_of(request).gettext
    text = {
        404: _("There is nothing here. It may have been deleted."),
        405: _("This cannot be done here."),
        413: _("This is too large. Files may have up to 100 MB."),
    }.get(status, _("Volok did not understand that. Go back and try again."))
    return await told(request, text, status)


async def refusal(request: Request, problem: str) -> Response:
    """The answer to a request that the guard does not let in; tells a stranger nothing."""
    if problem == "cookie":
        return await page(request, "knock.html", 403)
    if problem == "host":
        return Response("This address is not served here.\n", 421, media_type="text/plain")
    return Response("Requests from other pages are refused.\n", 403, media_type="text/plain")


async def failure(request: Request) -> Response:
    """The answer when something broke that should not have."""
    _ = language_of(request).gettext
    text = _("Something went wrong in Volok. Nothing was lost; reload the page and try again.")
    return await told(request, text, 500)
