"""One blob to or from one Blossom server (BUD-01, BUD-02, BUD-11), whole or in parts.

1. What the path lets through in one go (`LivePath.room`) bounds each request. Where it knows no
   limit, a blob goes whole.
2. A download goes on where the last one stopped, by ranges (RFC 9110, section 14), also after a
   restart. What came from one relay is not mixed with what came from another: one of them may lie.
3. An upload goes on by parts where the server takes them: `PATCH /<sha256>`, the draft of BUD-14.
   A server of ours says in its answer to HEAD that it does, others in that to OPTIONS. Elsewhere a
   blob goes whole or not at all.
4. Tokens are signed by a key that belongs to this blob at this relay alone, so that uploads cannot
   be linked, and one that was cut goes on under its key.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from volok.model.crypto import Signer
from volok.model.event import sign_event
from volok.model.urls import blossom_url
from volok.paths.live import LivePath, PathError, Response, Resumable
from volok.store.blobs import BlobMismatch, Blobs, BlobTooLarge
from volok.store.deliveries import WantedBlob

AUTHORIZATION = 24242
"""Kind of an authorization token (BUD-11)."""

NOT_IN_PARTS = 0
"""Stands for a status: this network cuts connections, and the server takes blobs only whole."""

_TOKEN_LIFE = 12 * 3600
"""Seconds before and after our time in which a token holds: our clock may be hours off."""
_MISSES = 4
"""Requests in a row that bring nothing forward, after which a blob has to wait."""
_LEAST = 400
"""Bytes that bring a transfer forward; whoever gives fewer at a time would be asked for ever."""
_MOST_UNREAD = 8192
_RANGE = re.compile("bytes ([0-9]{1,15})-[0-9]{1,15}/([0-9]{1,15})")
_NUMBER = re.compile("[0-9]{1,15}")
_BINARY = "application/octet-stream"


class Busy(Exception):
    """The relay cannot do it at the moment."""


@dataclass(slots=True)
class _Steps:
    """How a transfer gets on."""

    misses: int = 0

    def went(self, on: bool, error: PathError | None = None) -> None:
        """A request ended, `on` tells whether it brought us forward. Raises `error`, or Busy, after
        too many that did not."""
        self.misses = 0 if on else self.misses + 1
        if self.misses >= _MISSES or (error and not (on or isinstance(error, Resumable))):
            raise error or Busy


class Exchange:
    """Moves blobs. `secret` is 32 bytes that nobody else knows; where it stays the same, uploads go
    on after a restart. `now` gives Unix seconds; `heard` is called with a relay that answered."""

    def __init__(
        self,
        blobs: Blobs,
        path: LivePath,
        signer: Signer,
        now: Callable[[], float],
        secret: bytes,
        heard: Callable[[str], None],
    ) -> None:
        self._blobs = blobs
        self._path = path
        self._signer = signer
        self._now = now
        self._secret = secret
        self._heard = heard

    async def keep_only(self, wanted: list[WantedBlob]) -> None:
        """Forget what has come of other blobs. Raises BlobError."""
        keys = [_key(relay, blob.name) for blob in wanted for relay in blob.relays]
        await self._blobs.unfinished.keep_only(keys)

    async def upload(self, relay: str, name: str) -> int:
        """Bring a blob to a relay, unless it is there. Returns the HTTP status that it ended with,
        or NOT_IN_PARTS. Raises BlobMissing, BlobError, PathError, Busy."""
        size = await self._blobs.size(name)
        there = blossom_url(relay, name)
        async with self._ask(relay, "HEAD", there, {}) as response:
            status, allows = response.status, _allows_parts(response)
        if status == 200:
            return status
        if allows or (self._too_large(there, size) and await self._offers_parts(relay, there)):
            return await self._in_parts(relay, name, there, size)
        return await self._whole(relay, name, size)

    async def download(self, relay: str, wanted: WantedBlob) -> int:
        """Fetch a blob from a relay; it is in the store when 200 is returned, else this is what the
        relay answered. Raises BlobMismatch or BlobTooLarge when it is another than was wanted,
        BlobError, PathError, Busy."""
        url, key = blossom_url(relay, wanted.name), _key(relay, wanted.name)
        unfinished = self._blobs.unfinished
        headers: dict[str, str] = {}
        steps = _Steps()
        doubtful, again = True, False
        while True:
            start = await unfinished.size(key)
            doubtful = doubtful and start > 0
            try:
                status, whole = await self._get(relay, url, key, start, wanted.size, headers)
            except BlobTooLarge:
                await unfinished.discard(key)
                raise
            except PathError as error:
                steps.went(await unfinished.size(key) >= start + _LEAST, error)
                continue
            if whole:
                try:
                    await self._blobs.complete(key, wanted.name)
                except BlobMismatch:
                    if not doubtful:
                        raise
                    # What lay here from before may be damaged; the relay gets another chance.
                    doubtful = False
                    continue
                return 200
            if status == 401 and not headers:
                headers = {"authorization": self._token(relay, "get", wanted.name)}
            elif status == 416 and start and not again:
                again = True
                await unfinished.discard(key)
            elif status != 206:
                return status
            else:
                steps.went(await unfinished.size(key) >= start + _LEAST)

    async def _get(
        self, relay: str, url: str, key: str, start: int, size: int, headers: Mapping[str, str]
    ) -> tuple[int, bool]:
        """Ask for what is missing, or a part of it; the status, and whether all is here now."""
        room = self._path.room(url)
        if start or (room is not None and room < size):
            end = "" if room is None else str(min(start + room, max(size, start + 1)) - 1)
            headers = {**headers, "range": f"bytes={start}-{end}"}
        unfinished = self._blobs.unfinished
        async with self._ask(relay, "GET", url, headers) as response:
            match = _RANGE.fullmatch(response.headers.get("content-range", ""))
            if response.status == 200:
                if start:
                    await unfinished.discard(key)
                await unfinished.extend(key, 0, response.body, size)
                return 200, True
            if response.status == 206 and match is not None and int(match[1]) == start:
                here = await unfinished.extend(key, start, response.body, size)
                return 206, here >= int(match[2])
            return (416 if response.status == 206 else response.status), False

    async def _in_parts(self, relay: str, name: str, url: str, size: int) -> int:
        token = self._token(relay, "upload", name)
        offset, steps = 0, _Steps()
        while True:
            room = self._path.room(url)
            length = size - offset if room is None else min(room, size - offset)
            headers = {
                "authorization": token,
                "content-type": _BINARY,
                "content-length": str(length),
                "upload-type": _BINARY,
                "upload-length": str(size),
                "upload-offset": str(offset),
            }
            body = self._blobs.read(name, offset, length)
            try:
                async with self._ask(relay, "PATCH", url, headers, body) as response:
                    status, told = response.status, response.headers.get("upload-offset", "")
            except PathError as error:
                # Perhaps a part of it came: the next answer tells.
                steps.went(False, error)
                continue
            if status not in (204, 416) or (status == 416 and not _NUMBER.fullmatch(told)):
                return status
            reached = int(told) if _NUMBER.fullmatch(told) else offset + length
            if reached > size:
                raise Busy
            steps.went(reached >= min(offset + _LEAST, size))
            offset = reached

    async def _whole(self, relay: str, name: str, size: int) -> int:
        url = blossom_url(relay, "upload")
        headers = {
            "authorization": self._token(relay, "upload", name),
            "content-type": _BINARY,
            "content-length": str(size),
            "x-sha-256": name,
        }
        try:
            async with self._ask(relay, "PUT", url, headers, self._blobs.read(name)) as response:
                return response.status
        except PathError:
            if self._too_large(url, size):
                return NOT_IN_PARTS
            raise

    def _too_large(self, url: str, size: int) -> bool:
        room = self._path.room(url)
        return room is not None and room < size

    async def _offers_parts(self, relay: str, url: str) -> bool:
        async with self._ask(relay, "OPTIONS", url, {}) as response:
            return _allows_parts(response)

    @asynccontextmanager
    async def _ask(
        self,
        relay: str,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: AsyncIterator[bytes] | None = None,
    ) -> AsyncGenerator[Response, None]:
        async with self._path.request(method, url, headers, body) as response:
            self._heard(relay)
            yield response
            if method != "GET":
                await _read_off(response)

    def _token(self, relay: str, verb: str, name: str) -> str:
        now = int(self._now())
        tags = [("t", verb), ("x", name), ("expiration", str(now + _TOKEN_LIFE))]
        secret = hmac.digest(self._secret, f"{relay}\n{name}".encode(), "sha256")
        event = sign_event(self._signer, secret, now - _TOKEN_LIFE, AUTHORIZATION, tags, "")
        return f"Nostr {base64.b64encode(event.to_json()).decode()}"


async def _read_off(response: Response) -> None:
    """Read what nobody wants to know: a connection whose answer was not read is not used again."""
    size = 0
    with suppress(PathError):
        async for piece in response.body:
            size += len(piece)
            if size > _MOST_UNREAD:
                return


def _key(relay: str, name: str) -> str:
    return f"{name} {relay}"


def _allows_parts(response: Response) -> bool:
    return "PATCH" in re.split("[ ,]+", response.headers.get("allow", "").upper())
