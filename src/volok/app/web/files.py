"""Attached files on their way to the browser.

What others sent is never run: only plain pictures and sound are shown, in a sandbox; everything
else is saved.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from volok.app.web.downloads import attachment
from volok.app.web.render import chat

SHOWN = frozenset(f"image/{kind}" for kind in ("png", "jpeg", "webp", "gif", "avif")) | frozenset(
    f"audio/{kind}" for kind in ("webm", "ogg", "mp4", "mpeg", "wav", "aac")
)
"""Media types that a browser may show by itself."""

_RANGE = re.compile(r"bytes=(\d{1,15})-(\d{0,15})")
_SANDBOX = {"Content-Security-Policy": "default-src 'none'; sandbox"}


def media_type(claimed: str) -> str:
    """The type that a file may be served as; its sender only claims one."""
    plain = claimed.partition(";")[0].strip().lower()
    return plain if plain in SHOWN else "application/octet-stream"


def span(header: str, size: int) -> tuple[int, int] | None:
    """One byte range (RFC 9110, 14.2) as (start, end), end exclusive; None: the whole file."""
    match = _RANGE.fullmatch(header.strip())
    if match is None:
        return None
    start = int(match[1])
    end = min(int(match[2]) + 1, size) if match[2] else size
    return (start, end) if start < end else None


async def cut(pieces: AsyncIterator[bytes], start: int, end: int) -> AsyncIterator[bytes]:
    """The bytes [start, end) of a stream."""
    at = 0
    async for piece in pieces:
        part = piece[max(0, start - at) : max(0, end - at)]
        at += len(piece)
        if part:
            yield part
        if at >= end:
            return


async def file(request: Request) -> Response:
    """GET /files/ID; with ?save=1 to be saved under its name."""
    view, pieces = await chat(request).file(request.path_params["id"])
    kind = media_type(view.media_type)
    headers = dict(_SANDBOX)
    if "save" in request.query_params or kind not in SHOWN:
        headers |= attachment(view.name)
    headers["Accept-Ranges"] = "bytes"
    chosen = span(request.headers.get("range", ""), view.size)
    if chosen is None:
        headers["Content-Length"] = str(view.size)
        return StreamingResponse(pieces, media_type=kind, headers=headers)
    start, end = chosen
    headers["Content-Length"] = str(end - start)
    headers["Content-Range"] = f"bytes {start}-{end - 1}/{view.size}"
    return StreamingResponse(cut(pieces, start, end), 206, headers, kind)


async def once(request: Request) -> Response:
    """POST /files/ID/once: a view-once picture, which is destroyed by this."""
    view, data = await chat(request).open_once(request.path_params["id"])
    return Response(data, media_type=media_type(view.media_type), headers=_SANDBOX)
