"""Blobs over HTTP: Blossom (BUD-01, BUD-02, BUD-11 and the DELETE of BUD-12), with uploads in parts
(`volok.relay.parts`).

1. Any key may upload, also one made for this upload alone. Only a key that brought a blob may
   delete it, and the bytes go when the last of them has.
2. There is no list of what a key has uploaded.
3. Blobs are served as bytes without a type: whoever can read them knows what they are, and a
   browser makes no page of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import partial

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from volok.model.crypto import Verifier
from volok.model.event import Event, is_hex32
from volok.relay.metrics import Metrics
from volok.relay.parts import InvalidPart, Part, Parts, parse_part
from volok.relay.ranges import Unsatisfiable, parse_range
from volok.relay.settings import DAY, RelaySettings
from volok.relay.tokens import InvalidToken, check_token, parse_token
from volok.relay.uploads import Uploads
from volok.store.blobs import (
    BlobError,
    BlobMismatch,
    BlobMissing,
    Blobs,
    BlobsFull,
    BlobTooLarge,
    OutOfPlace,
)

_NAME = re.compile(r"([0-9a-f]{64})(?:\.[A-Za-z0-9]{1,16})?")
_IDLE_SECONDS = 60.0
"""How long an upload may stand still."""
_HEADERS = {
    "Accept-Ranges": "bytes",
    "Cache-Control": "public, max-age=31536000, immutable",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(slots=True)
class Blossom:
    """The endpoints over one set of blobs."""

    blobs: Blobs
    uploads: Uploads
    settings: RelaySettings
    verifier: Verifier
    now: Callable[[], int]
    """Unix seconds."""
    hosts: Callable[[Request], Collection[str]]
    """The names of this server, for the `server` tag of a token."""
    base: Callable[[Request], str]
    """Scheme and host under which a client reaches this server."""
    metrics: Metrics
    parts: Parts = field(init=False)
    """The uploads in parts."""
    _uploading: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.parts = Parts(self.blobs, self.settings, self.now, self.metrics)

    async def serve(self, request: Request) -> Response:
        """GET and HEAD /<sha256>[.ext] (BUD-01), PATCH (BUD-14), DELETE /<sha256> (BUD-12)."""
        match = _NAME.fullmatch(request.path_params["name"])
        if match is None:
            return problem(404, "There is nothing here.")
        if request.method == "DELETE":
            return await self._delete(request, match[1])
        if request.method == "PATCH":
            return await self._patch(request, match[1])
        response = await self._get(request, match[1])
        # A client that looks whether a blob is here learns that it may send it in parts.
        response.headers["Allow"] = "GET, HEAD, PATCH, DELETE"
        return response

    async def upload(self, request: Request) -> Response:
        """PUT /upload (BUD-02)."""
        try:
            token = parse_token(request.headers.get("authorization"))
            name = _announced(request, token)
            await self._check(request, token, "upload", name)
        except InvalidToken as error:
            return self._refuse(401, str(error))
        length = request.headers.get("content-length", "0")
        if not length.isdecimal():
            return self._refuse(400, "Content-Length is not a number.")
        if int(length) > self.settings.max_blob_bytes:
            return self._refuse(413, "The blob is larger than this server takes.")
        if self._uploading >= self.settings.max_uploads:
            return self._refuse(503, "Too many uploads at the moment; try again.")
        self._uploading += 1
        try:
            return await self._store(request, name, token.pubkey, partial(self._put, request, name))
        finally:
            self._uploading -= 1

    async def sweep(self) -> int:
        """Erase uploads that stand still, and blobs older than `blob_days`; returns how many of the
        latter went."""
        await self.parts.sweep()
        if not self.settings.blob_days:
            return 0
        count = 0
        for name in self.uploads.older_than(self.now() - self.settings.blob_days * DAY):
            count += await self.blobs.delete(name)
            await self.uploads.forget(name)
        return count

    async def _get(self, request: Request, name: str) -> Response:
        try:
            size = await self.blobs.size(name)
            part = parse_range(request.headers.get("range"), size)
        except BlobMissing:
            return problem(404, "There is no such blob here.")
        except Unsatisfiable:
            response = problem(416, "The blob has no such part.")
            response.headers["Content-Range"] = f"bytes */{size}"
            return response
        except BlobError:
            return problem(503, "The blob could not be read; try again.")
        start, length = part or (0, size)
        headers = {**_HEADERS, "ETag": f'"{name}"', "Content-Length": str(length)}
        if part is not None:
            headers["Content-Range"] = f"bytes {start}-{start + length - 1}/{size}"
        uploaded = self.uploads.time(name)
        if uploaded is not None and self.settings.blob_days:
            headers["Sunset"] = formatdate(uploaded + self.settings.blob_days * DAY, usegmt=True)
        status, media_type = (206 if part else 200), "application/octet-stream"
        if request.method == "HEAD":
            return Response(status_code=status, headers=headers, media_type=media_type)
        self.metrics.blobs_served += 1
        body = self.blobs.read(name, start, length)
        return StreamingResponse(body, status, headers, media_type)

    async def _delete(self, request: Request, name: str) -> Response:
        try:
            token = parse_token(request.headers.get("authorization"))
            await self._check(request, token, "delete", name)
        except InvalidToken as error:
            return self._refuse(401, str(error))
        if not await self.blobs.has(name):
            return problem(404, "There is no such blob here.")
        try:
            if await self.uploads.disown(name, token.pubkey):
                await self.blobs.delete(name)
        except KeyError:
            return self._refuse(403, "Another key has uploaded this blob.")
        except (BlobError, OSError):
            return problem(503, "The blob could not be deleted; try again.")
        return Response(status_code=204)

    async def _patch(self, request: Request, name: str) -> Response:
        try:
            token = parse_token(request.headers.get("authorization"))
            await self._check(request, token, "upload", name)
            part = parse_part(dict(request.headers), self.settings.max_blob_bytes)
        except InvalidToken as error:
            return self._refuse(401, str(error))
        except InvalidPart as error:
            return self._refuse(error.status, str(error))
        if await self.blobs.has(name):
            return self._described(request, name, await self.blobs.size(name), existed=True)
        if self._uploading >= self.settings.max_uploads:
            return self._refuse(503, "Too many uploads at the moment; try again.")
        key = f"{name}:{token.pubkey}:{part.total}"
        self._uploading += 1
        try:
            wrong = await self._add(request, key, part)
        finally:
            self._uploading -= 1
        held = self.parts.held(key)
        if wrong is None and held == part.total:
            complete = partial(self.parts.complete, key, name)
            return await self._store(request, name, token.pubkey, complete)
        response = self._refuse(*wrong) if wrong else Response(status_code=204)
        response.headers["Upload-Offset"] = str(held)
        return response

    async def _add(self, request: Request, key: str, part: Part) -> tuple[int, str] | None:
        """Take in a part; returns the status and what is wrong, or None."""
        try:
            await self.parts.add(key, part, _body(request))
        except InvalidPart as error:
            wrong = error.status, str(error)
        except OutOfPlace:
            wrong = 416, "The part leaves a gap; Upload-Offset says where to go on."
        except BlobTooLarge:
            wrong = 400, "The part is longer than it says."
        except (ClientDisconnect, TimeoutError):
            wrong = 400, "The upload was cut off."
        except BlobsFull:
            wrong = 507, "The disk of this server is full."
        except (BlobError, OSError):
            wrong = 503, "The blob could not be stored; try again."
        else:
            return None
        return wrong

    async def _put(self, request: Request, name: str) -> int:
        _, size = await self.blobs.put(_body(request), name, self.settings.max_blob_bytes)
        return size

    async def _store(
        self, request: Request, name: str, pubkey: str, take: Callable[[], Awaitable[int]]
    ) -> Response:
        now, reason = self.now(), (0, "")
        existed = await self.blobs.has(name)
        # Without a record, bytes that are here already are the node's own: nobody else's to delete.
        shared = existed and self.uploads.time(name) is not None
        try:
            if not existed:
                await self.uploads.record(name, pubkey, now)
            size = await take()
            if shared:
                await self.uploads.record(name, pubkey, now)
        except BlobMismatch:
            reason = 409, "The bytes are not those that the hash names."
        except BlobTooLarge:
            reason = 413, "The blob is larger than this server takes."
        except (ClientDisconnect, TimeoutError):
            reason = 400, "The upload was cut off."
        except BlobsFull:
            reason = 507, "The disk of this server is full."
        except (BlobError, OSError):
            reason = 503, "The blob could not be stored; try again."
        else:
            self.metrics.blobs_added += not existed
            return self._described(request, name, size, existed)
        if not existed:
            with contextlib.suppress(KeyError, OSError):
                await self.uploads.disown(name, pubkey)
        return self._refuse(*reason)

    def _described(self, request: Request, name: str, size: int, existed: bool) -> Response:
        descriptor = {
            "url": f"{self.base(request)}/{name}.bin",
            "sha256": name,
            "size": size,
            "type": "application/octet-stream",
            "uploaded": self.now(),
        }
        return JSONResponse(descriptor, 200 if existed else 201)

    async def _check(self, request: Request, token: Event, verb: str, name: str) -> None:
        hosts, now = self.hosts(request), self.now()
        check = partial(check_token, token, self.verifier)
        await asyncio.to_thread(check, verb=verb, blob=name, hosts=hosts, now=now)

    def _refuse(self, status: int, reason: str) -> Response:
        self.metrics.blobs_refused += 1
        return problem(status, reason)


def problem(status: int, reason: str) -> Response:
    """An error answer with the reason for people (BUD-01)."""
    return Response(status_code=status, headers={"X-Reason": reason})


def _announced(request: Request, token: Event) -> str:
    """The hash that an upload is for: the X-SHA-256 header, or the only one the token names."""
    named = token.values("x")
    name = request.headers.get("x-sha-256") or (named[0] if len(named) == 1 else "")
    if not is_hex32(name):
        raise InvalidToken("Name the blob's hash in X-SHA-256 and in the token.")
    return name


async def _body(request: Request) -> AsyncIterator[bytes]:
    pieces = request.stream()
    while True:
        async with asyncio.timeout(_IDLE_SECONDS):
            try:
                piece = await anext(pieces)
            except StopAsyncIteration:
                return
        yield piece
