"""Who may talk to the web app: only the browser that came through a one-time link, only from our
own pages, only under our own host name.

1. The Host header is `NAME.localhost:PORT`, `localhost:PORT` or `127.0.0.1:PORT`; everything else
   is refused (DNS rebinding).
2. Other origins are refused by Fetch Metadata (Sec-Fetch-Site) and Origin; a page of another origin
   may at most navigate to us with GET. "same-site" is another origin too: ports share a site.
3. Everything but the door and the assets needs the cookie.
4. Every response carries the same strict headers.
5. Errors are answered here and logged by type and place only, never with their text.
"""

from __future__ import annotations

import hmac
import logging
import traceback

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from volok.app.web.errors import failure, refusal
from volok.app.web.interface import WebSettings

_log = logging.getLogger(__name__)

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob: data:; media-src 'self' blob:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(self), microphone=(self), geolocation=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_SAFE = ("GET", "HEAD")


class Door:
    """One-time tokens and the cookies that they are exchanged for. Both live in memory only."""

    def __init__(self, settings: WebSettings) -> None:
        self._settings = settings
        self._tokens: dict[str, float] = {}
        self._cookies: set[str] = set()
        self.cookie_name = f"volok-{settings.cookie_suffix}"

    def token(self) -> str:
        """Make a token; it is good once, for `token_seconds`."""
        token = self._settings.random(32).hex()
        self._tokens[token] = self._settings.now() + self._settings.token_seconds
        return token

    def exchange(self, token: str) -> str | None:
        """Use up a token and return a cookie; None when it is unknown, used or too old."""
        expiry = self._tokens.pop(token, None)
        if expiry is None or self._settings.now() >= expiry:
            return None
        cookie = self._settings.random(32).hex()
        self._cookies.add(cookie)
        return cookie

    def knows(self, cookie: str) -> bool:
        """Whether this cookie came from here."""
        given = cookie.encode()
        return any(hmac.compare_digest(given, known.encode()) for known in self._cookies)


def _foreign(request: Request, own: str) -> bool:
    """Whether a request was made by a page of another origin, or may have been."""
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    # With `no-referrer` a browser sends "null" for our own forms; Sec-Fetch-Site then decides.
    if origin not in (None, "null", own):
        return True
    if request.method not in _SAFE:
        return site != "same-origin" if site is not None else origin != own
    if site in (None, "same-origin", "none"):
        return False
    navigates = request.headers.get("sec-fetch-mode") == "navigate"
    return not (navigates and request.headers.get("sec-fetch-dest") == "document")


class Guard:
    """The outermost layer: see the rules of this file."""

    def __init__(self, app: ASGIApp, door: Door, settings: WebSettings) -> None:
        self._app = app
        self._door = door
        names = (f"{settings.host_name}.localhost", "localhost", "127.0.0.1")
        self._hosts = {f"{name}:{settings.port}" for name in names}
        if settings.port == 80:
            self._hosts |= set(names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def guarded(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        request = Request(scope, receive)
        try:
            problem = self._problem(request)
            app = self._app if problem is None else await refusal(request, problem)
            await app(scope, receive, guarded)
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            _log.error("%s in %s, line %d", type(error).__name__, place.name, place.lineno or 0)
            if started:
                raise ConnectionAbortedError from None
            await (await failure(request))(scope, receive, guarded)

    def _problem(self, request: Request) -> str | None:
        host = request.headers.get("host", "")
        if host.lower() not in self._hosts:
            return "host"
        if _foreign(request, f"http://{host}"):
            return "origin"
        if request.url.path == "/open" or request.url.path.startswith("/static/"):
            return None
        if not self._door.knows(request.cookies.get(self._door.cookie_name, "")):
            return "cookie"
        return None
