"""What a browser posts. Uploads stay in memory: a temporary file would hold them in the clear."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator

from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import FormParser, MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from volok.app.web.render import web


class _MemoryParser(MultiPartParser):
    spool_max_size = sys.maxsize


async def _limited(request: Request, limit: int) -> AsyncGenerator[bytes, None]:
    taken = 0
    async for chunk in request.stream():
        taken += len(chunk)
        if taken > limit:
            raise HTTPException(413)
        yield chunk


async def form(request: Request) -> FormData:
    """The fields of a posted form.

    Raises HTTPException 413 past `max_upload_bytes`, 400 for what is no form.
    """
    web(request).idle.touch()
    limit = web(request).settings.max_upload_bytes
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        body = _limited(request, limit)
        if kind == "multipart/form-data":
            return await _MemoryParser(request.headers, body, max_files=32, max_fields=64).parse()
        return await FormParser(request.headers, body).parse()
    except (MultiPartException, ClientDisconnect, UnicodeError) as error:
        raise HTTPException(400) from error


def text(data: FormData, name: str, limit: int = 200_000) -> str:
    """A text field, trimmed; empty when it is missing. Raises HTTPException 413 past `limit`."""
    value = data.get(name, "")
    if not isinstance(value, str):
        return ""
    if len(value) > limit:
        raise HTTPException(413)
    return value.replace("\r\n", "\n").strip()


def number(data: FormData, name: str, low: int, high: int) -> int:
    """A whole number within bounds. Raises HTTPException 400 for anything else."""
    value = text(data, name, 20)
    if not (value.isascii() and value.isdecimal() and low <= int(value) <= high):
        raise HTTPException(400)
    return int(value)


def flag(data: FormData, name: str) -> bool:
    """A checkbox or an on/off button: set or not."""
    return text(data, name, 20) in ("1", "on", "true")


def uploads(data: FormData, name: str) -> list[UploadFile]:
    """The files of a field; an empty file input counts as none."""
    return [item for item in data.getlist(name) if isinstance(item, UploadFile) and item.filename]


async def pieces(file: UploadFile) -> AsyncGenerator[bytes, None]:
    """The bytes of an uploaded file, in pieces."""
    while piece := await file.read(65536):
        yield piece
