"""Asking a relay what it says of itself (NIP-11): the URL of its websocket, over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC
from email.utils import parsedate_to_datetime

from volok.paths.live import LivePath, PathError, Response
from volok.sync.dialogue import Described
from volok.sync.nip11 import parse_document
from volok.sync.settings import SyncSettings

_SKEW = 60
"""Seconds by which clocks may differ without being called different; NIP-42 allows 600."""


async def describe(
    url: str, path: LivePath, now: Callable[[], float], settings: SyncSettings
) -> Described:
    """Fetch and read the document of the relay at `url`; without an answer nothing is known.

    `now` gives Unix seconds.
    """
    try:
        async with (
            asyncio.timeout(settings.answer_timeout),
            path.request(
                "GET", url.replace("ws", "http", 1), {"accept": "application/nostr+json"}
            ) as response,
        ):
            data = await _bounded(response, settings.document_size)
            return parse_document(data, _ahead(response.headers.get("date", ""), now()))
    except (PathError, TimeoutError):
        return Described()


async def _bounded(response: Response, limit: int) -> bytes:
    data = bytearray()
    if response.status == 200:
        async for piece in response.body:
            data += piece
            if len(data) > limit:
                return b""
    return bytes(data)


def _ahead(date: str, now: float) -> int:
    try:
        theirs = parsedate_to_datetime(date).replace(tzinfo=UTC).timestamp()
    except (ValueError, OverflowError):
        return 0
    return int(theirs - now) if abs(theirs - now) > _SKEW else 0
