"""Files that wait for the person to save them: each is given once, then removed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from volok.app.web.interface import WebSettings
from volok.app.web.render import web


def attachment(name: str) -> dict[str, str]:
    """The header that has a browser save a response under this name (RFC 6266, RFC 8187)."""
    return {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}"}


class Downloads:
    """Scratch files by a random id."""

    def __init__(self, settings: WebSettings) -> None:
        self._scratch = settings.scratch
        self._random = settings.random
        self._files: dict[str, tuple[Path, str]] = {}

    def add(self, path: Path, name: str) -> str:
        """Offer a scratch file; returns the id for its address."""
        id = self._random(16).hex()
        self._files[id] = (path, name)
        return id

    def take(self, id: str) -> tuple[Path, str] | None:
        """Hand out a file, once."""
        return self._files.pop(id, None)

    async def stream(self, path: Path) -> AsyncIterator[bytes]:
        """The bytes of a scratch file, which is removed at the end."""
        try:
            async for piece in self._scratch.read(path):
                yield piece
        finally:
            await self._scratch.remove(path)


async def download(request: Request) -> Response:
    """GET /downloads/ID."""
    downloads = web(request).downloads
    found = downloads.take(request.path_params["id"])
    if found is None:
        raise HTTPException(404)
    path, name = found
    return StreamingResponse(
        downloads.stream(path), media_type="application/octet-stream", headers=attachment(name)
    )
