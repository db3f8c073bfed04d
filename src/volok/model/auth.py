"""Showing a relay which keys one holds (NIP-42)."""

from __future__ import annotations

from collections.abc import Collection

from volok.model.crypto import Signer, Verifier
from volok.model.event import Event, sign_event, verify_event
from volok.model.urls import InvalidUrl, relay_host, url_in_requests

AUTH = 22242
"""Kind of the signed answer to a challenge."""

TOLERANCE = 600
"""Seconds that created_at may lie off."""


class InvalidAuth(ValueError):
    """This does not show that somebody holds the key."""


def auth_event(
    signer: Signer, secret_key: bytes, relay: str, challenge: str, created_at: int
) -> Event:
    """The answer to a challenge of the relay at the URL `relay`, whose fragment stays out of it.

    Raises InvalidEvent.
    """
    tags = [("relay", url_in_requests(relay)), ("challenge", challenge)]
    return sign_event(signer, secret_key, created_at, AUTH, tags, "")


def check_auth(
    event: Event, verifier: Verifier, *, challenge: str, hosts: Collection[str], now: float
) -> str:
    """Return the public key that a client has shown to hold.

    `challenge` is the one this connection was given, `hosts` are the names and addresses of this
    relay as `relay_host` gives them, `now` is in Unix seconds. Raises InvalidAuth.
    """
    if event.kind != AUTH:
        raise InvalidAuth("The kind is not 22242.")
    if abs(event.created_at - now) > TOLERANCE:
        raise InvalidAuth("created_at is more than ten minutes off.")
    if event.tag("challenge") != challenge:
        raise InvalidAuth("The challenge is another one.")
    try:
        host = relay_host(event.tag("relay") or "")
    except InvalidUrl as error:
        raise InvalidAuth("The relay tag is not the URL of a relay.") from error
    if host not in hosts:
        raise InvalidAuth("The relay tag names another relay.")
    if not verify_event(event, verifier):
        raise InvalidAuth("The signature does not hold.")
    return event.pubkey
