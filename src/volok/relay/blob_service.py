"""What all endpoints for blobs share: the parts they work on, tokens, and the forms of answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from volok.model.crypto import Verifier
from volok.model.event import Event, is_hex32
from volok.relay.lists import Lists
from volok.relay.metrics import Metrics
from volok.relay.settings import RelaySettings
from volok.relay.tokens import InvalidToken, check_token, parse_token
from volok.relay.uploads import Uploads
from volok.store.blobs import Blobs

BLOB_TYPE = "application/octet-stream"
"""The type of every blob: whoever can read one knows what it is, and a browser makes no page of
it."""


class Refused(Exception):
    """The request is answered with this status (HTTP) and reason (a sentence for people)."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True, slots=True)
class BlobService:
    """One set of blobs and who may do what with it."""

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
    lists: Callable[[], Lists] = Lists
    """What is banned and allowed now."""
    free: Callable[[], int] | None = None
    """How many bytes of the disk are free; None where nobody knows."""

    async def authorize(
        self, request: Request, verb: str, name: str | None = None
    ) -> tuple[str, str]:
        """The key that may do this with a blob, and the hash of the blob: the one named, or the one
        that the request itself announces. Raises Refused."""
        try:
            token = parse_token(request.headers.get("authorization"))
            blob = name or _announced(request, token)
            check = partial(check_token, token, self.verifier, verb=verb, blob=blob)
            await asyncio.to_thread(check, hosts=self.hosts(request), now=self.now())
        except InvalidToken as error:
            raise Refused(401, str(error)) from error
        reason = self.lists().upload_refusal(token.pubkey, [blob]) if verb == "upload" else None
        if reason:
            raise Refused(403, reason)
        return token.pubkey, blob

    def check_room(self, size: int) -> None:
        """Raises Refused when the disk has no room for so many bytes more."""
        if self.free is not None and self.free() - size < self.settings.min_free_bytes:
            raise Refused(507, "The disk of this server is full.")

    def described(self, request: Request, name: str, size: int, existed: bool) -> Response:
        """The descriptor of a blob (BUD-02) with the tags of NIP-94 (BUD-08)."""
        url = f"{self.base(request)}/{name}.bin"
        descriptor = {
            "url": url,
            "sha256": name,
            "size": size,
            "type": BLOB_TYPE,
            "uploaded": self.now(),
            "nip94": [["url", url], ["m", BLOB_TYPE], ["x", name], ["size", str(size)]],
        }
        return JSONResponse(descriptor, 200 if existed else 201)

    def refuse(self, status: int, reason: str) -> Response:
        """An error answer that is counted."""
        self.metrics.blobs_refused += 1
        return problem(status, reason)


def problem(status: int, reason: str) -> Response:
    """An error answer with the reason for people (BUD-01)."""
    return Response(status_code=status, headers={"X-Reason": reason})


def _announced(request: Request, token: Event) -> str:
    """The hash that an upload is for: the X-SHA-256 header, or the only one the token names.
    Raises InvalidToken."""
    named = token.values("x")
    name = request.headers.get("x-sha-256") or (named[0] if len(named) == 1 else "")
    if not is_hex32(name):
        raise InvalidToken("Name the blob's hash in X-SHA-256 and in the token.")
    return name
