"""From values to HTML: one Jinja environment per language, and what every page needs to know."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse

from volok.app.web import formats
from volok.app.web.assets import load_assets
from volok.app.web.i18n import LANGUAGES, Language, choose, language
from volok.app.web.interface import Preferences, WebChat, WebNode, WebSettings
from volok.store.vault import VaultError

if TYPE_CHECKING:
    from volok.app.web.downloads import Downloads
    from volok.app.web.idle import IdleLock
    from volok.app.web.security import Door


@dataclass(frozen=True, slots=True)
class Web:
    """What the endpoints of one app share."""

    node: WebNode
    settings: WebSettings
    door: Door
    idle: IdleLock
    downloads: Downloads
    environments: Mapping[str, Environment]


def web(request: Request) -> Web:
    """What the endpoints of this app share."""
    shared: Web = request.app.state.web
    return shared


def chat(request: Request) -> WebChat:
    """The conversations. Raises VaultLocked, which leads to the right page."""
    return web(request).node.chat


def language_of(request: Request) -> Language:
    """The language of this request: what `preferences_of` found, before that what the browser asks
    for."""
    known: Language | None = getattr(request.state, "language", None)
    return known or choose("", request.headers.get("accept-language", ""))


async def preferences_of(request: Request) -> Preferences:
    """The person's preferences, and from them the language of this request.

    A page must be shown even when a vault cannot be read; the defaults serve then.
    """
    try:
        preferences = await web(request).node.preferences()
    except VaultError:
        preferences = Preferences()
    accepted = request.headers.get("accept-language", "")
    request.state.language = choose(preferences.language, accepted)
    return preferences


def environments(settings: WebSettings) -> dict[str, Environment]:
    """The templates in each language."""
    return {code: _environment(language(code), settings) for code in LANGUAGES}


def _environment(speech: Language, settings: WebSettings) -> Environment:
    environment = Environment(
        loader=PackageLoader(__package__),
        autoescape=True,
        auto_reload=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    environment.install_gettext_callables(  # type: ignore[attr-defined]
        speech.gettext, speech.ngettext, newstyle=True
    )

    def moment(milliseconds: int) -> datetime:
        return formats.moment(milliseconds, settings.zone)

    def today() -> datetime:
        return moment(int(settings.now() * 1000))

    filters: dict[str, Callable[..., Any]] = {
        "moment": moment,
        "clock": lambda at: formats.clock(moment(at), speech),
        "day": lambda at: formats.day(moment(at), today(), speech),
        "when": lambda at: formats.when(moment(at), today(), speech),
        # `_` takes its text for safe HTML: what is not written in a template goes through this.
        "translated": speech.gettext,
        "minutes": formats.minutes,
        "relay_name": formats.relay_name,
        "initials": formats.initials,
        "tone": formats.tone,
        "jumbo": formats.jumbo,
        "linked": formats.linked,
        "size": partial(formats.size, language=speech),
        "span": partial(formats.span, language=speech),
        "preview": partial(formats.preview, language=speech),
        "notice": partial(formats.notice, language=speech),
        "file_label": partial(formats.file_label, language=speech),
        "connection": partial(formats.connection, language=speech),
    }
    environment.filters.update(filters)
    assets = load_assets()
    environment.globals.update(
        asset=lambda name: f"/static/{assets.digest}/{name}",
        language=speech,
        languages=LANGUAGES,
        timers=formats.TIMERS,
        progress_label=partial(formats.progress_label, language=speech),
        millis=lambda: int(settings.now() * 1000),
    )
    return environment


async def fragment(
    request: Request, template: str, http_status: int = 200, **values: object
) -> HTMLResponse:
    """Part of a page."""
    await preferences_of(request)
    return _render(request, template, http_status, values)


async def page(
    request: Request, template: str, http_status: int = 200, **values: object
) -> HTMLResponse:
    """A page of its own, without the conversations beside it."""
    known = {"preferences": await preferences_of(request), "state": web(request).node.state}
    return _render(request, template, http_status, known | values)


def _render(
    request: Request, template: str, http_status: int, values: Mapping[str, object]
) -> HTMLResponse:
    environment = web(request).environments[language_of(request).code]
    return HTMLResponse(environment.get_template(template).render(values), http_status)


async def shell(
    request: Request, template: str, http_status: int = 200, **values: object
) -> HTMLResponse:
    """A page beside the list of conversations. Raises VaultLocked."""
    conversations = chat(request)
    shown: dict[str, object] = {
        # Read before everything else: what changes from here on comes by the event stream.
        "cursor": await conversations.cursor(),
        "contacts": await conversations.contacts(),
        "status": await web(request).node.status(),
        "current": None,
    }
    return await page(request, template, http_status, **(shown | values))
