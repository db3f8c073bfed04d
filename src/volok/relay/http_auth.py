"""HTTP authorization by a signed event of kind 27235 (NIP-98). Pure.

An event is for one request: it names the URL, the method and the hash of the body, and a server
takes it once, within a minute.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass, field

from volok.model.crypto import Verifier
from volok.model.event import Event, verify_event
from volok.model.urls import InvalidUrl, normalise_relay_url
from volok.relay.tokens import InvalidToken

HTTP_AUTH_KIND = 27235
WINDOW = 60
"""Seconds by which `created_at` may be away from our clock."""


def same_place(url: str) -> str | None:
    """A URL of a relay, with an http or a ws scheme, in one form without the scheme; None for what
    is no such URL."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.lower() not in ("http", "https", "ws", "wss"):
        return None
    websocket = "wss" if scheme.lower() in ("https", "wss") else "ws"
    try:
        return normalise_relay_url(f"{websocket}://{rest}").partition("://")[2]
    except InvalidUrl:
        return None


def check_http_auth(
    event: Event, verifier: Verifier, *, places: Collection[str], method: str, body: bytes, now: int
) -> None:
    """Check an event for a request with this method and body to a relay that is at `places`, each
    as `same_place` gives it. `now` is in Unix seconds. The `payload` tag must be there (NIP-86).

    Raises `tokens.InvalidToken`.
    """
    rules = (
        (event.kind != HTTP_AUTH_KIND, "The authorization is not of kind 27235."),
        (abs(event.created_at - now) > WINDOW, "The authorization is not of this minute."),
        (same_place(event.tag("u") or "") not in places, "The authorization is for another URL."),
        (event.tag("method") != method, "The authorization is for another method."),
        (
            event.tag("payload") != hashlib.sha256(body).hexdigest(),
            "The authorization is for another body.",
        ),
    )
    for broken, reason in rules:
        if broken:
            raise InvalidToken(reason)
    if not verify_event(event, verifier):
        raise InvalidToken("The signature of the authorization is wrong.")


@dataclass(slots=True)
class Used:
    """The authorizations that were used within the window. Bounded."""

    most: int = 4_096
    _times: dict[str, int] = field(default_factory=dict, init=False)

    def use(self, event: Event, now: int) -> bool:
        """Note a checked event; returns False when it was used before, or too many were."""
        for known in [one for one, time in self._times.items() if time < now - WINDOW]:
            del self._times[known]
        if event.id in self._times or len(self._times) >= self.most:
            return False
        self._times[event.id] = event.created_at
        return True

    def note(self, ids: dict[str, int]) -> None:
        """Add what another process has seen: `created_at` by event id."""
        self._times |= ids

    def recent(self, now: int) -> dict[str, int]:
        """What is still in the window: `created_at` by event id."""
        return {one: time for one, time in self._times.items() if time >= now - WINDOW}
