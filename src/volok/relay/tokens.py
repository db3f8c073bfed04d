"""Blossom authorization (BUD-11): a signed event of kind 24242 in a header. Pure."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Collection

from volok.model.crypto import Verifier
from volok.model.event import Event, InvalidEvent, parse_event, verify_event

TOKEN_KIND = 24242
MAX_HEADER = 8 * 1024
"""The longest Authorization header that is read, in characters."""
CLOCK_SKEW = 15 * 60
"""Seconds by which a client's clock may be ahead of ours."""

_HEADER = re.compile(r"[Nn]ostr +([A-Za-z0-9+/_-]+)={0,2}")
_SECONDS = re.compile("[0-9]{1,15}")


class InvalidToken(ValueError):
    """This does not authorize the request; the text says why."""


def parse_token(header: str | None) -> Event:
    """Read the event in an Authorization header, base64 of either alphabet, padded or not.

    Raises InvalidToken. Nothing of the event has been checked yet.
    """
    match = _HEADER.fullmatch(header.strip()) if header and len(header) <= MAX_HEADER else None
    if match is None:
        raise InvalidToken("Send an authorization: a signed event in base64 (BUD-11, NIP-98).")
    text = match[1].replace("-", "+").replace("_", "/")
    try:
        return parse_event(json.loads(base64.b64decode(text + "=" * (-len(text) % 4))))
    except (binascii.Error, ValueError, RecursionError, InvalidEvent) as error:
        raise InvalidToken("The authorization token is not an event in base64.") from error


def check_token(
    token: Event, verifier: Verifier, *, verb: str, blob: str, hosts: Collection[str], now: int
) -> None:
    """Check a token for an action (`upload`, `delete`) on the blob of this hash, by the six rules
    of BUD-11 and its signature. `hosts` are this server's names, `now` is in Unix seconds.

    Raises InvalidToken.
    """
    expiration = token.tag("expiration") or ""
    servers = token.values("server")
    if token.kind != TOKEN_KIND:
        raise InvalidToken("The token is not of kind 24242.")
    if token.created_at > now + CLOCK_SKEW:
        raise InvalidToken("The token is from the future.")
    if not _SECONDS.fullmatch(expiration) or int(expiration) <= now:
        raise InvalidToken("The token has expired.")
    if verb not in token.values("t"):
        raise InvalidToken("The token is for another action.")
    if servers and not any(server.lower() in hosts for server in servers):
        raise InvalidToken("The token is for another server.")
    if blob not in token.values("x"):
        raise InvalidToken("The token is for another blob.")
    if not verify_event(token, verifier):
        raise InvalidToken("The signature of the token is wrong.")
