"""Style sheets, scripts and pictures of the web app, kept in memory under a name that changes with
their content, so that a browser may keep them and never mixes two versions."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

_TYPES = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class Assets:
    """All assets by name (`app.css`, `vendor/htmx.min.js`), and the digest of them together."""

    files: dict[str, bytes]
    digest: str


def _walk(folder: Traversable, prefix: str) -> dict[str, bytes]:
    if not folder.is_dir():
        return {}
    return {
        prefix + entry.name: entry.read_bytes()
        for entry in sorted(folder.iterdir(), key=lambda entry: entry.name)
        if entry.name.rpartition(".")[2] in _TYPES
    }


@cache
def load_assets() -> Assets:
    """Read `static/` and what `tools/vendor.py` put into `vendor/` (absent until it has run)."""
    root = files(__package__)
    found = _walk(root.joinpath("static"), "") | _walk(root.joinpath("vendor"), "vendor/")
    digest = hashlib.sha256()
    for name, data in found.items():
        digest.update(hashlib.sha256(name.encode()).digest() + hashlib.sha256(data).digest())
    return Assets(found, digest.hexdigest()[:16])


async def asset(request: Request) -> Response:
    """GET /static/DIGEST/NAME."""
    assets = load_assets()
    name: str = request.path_params["name"]
    data = assets.files.get(name)
    if data is None or request.path_params["digest"] != assets.digest:
        raise HTTPException(404)
    return Response(
        data,
        media_type=_TYPES[name.rpartition(".")[2]],
        headers={"Cache-Control": "public, max-age=31536000, immutable"},
    )
