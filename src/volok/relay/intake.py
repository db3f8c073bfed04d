"""Blobs on their way in: uploads whole (BUD-02), looked at before (BUD-06), in parts (BUD-14) and
fetched from elsewhere (BUD-04)."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from volok.relay.blob_service import BlobService, Refused
from volok.relay.mirror import (
    MAX_REQUEST,
    InvalidSource,
    Mirror,
    NotAllowed,
    Unreachable,
    parse_request,
    parse_source,
)
from volok.relay.parts import InvalidPart, Part, Parts, parse_part
from volok.relay.reading import BodyTooLong, Coming, NoRoom, Room, read_body
from volok.store.blobs import (
    BlobError,
    BlobMismatch,
    BlobsFull,
    BlobTooLarge,
    OutOfPlace,
)

_NUMBER = re.compile("[0-9]{1,15}")
_BUSY = "Too many uploads at the moment; try again."
_TOO_LARGE = "The blob is larger than this server takes."
_FAILURES: Mapping[type[Exception], tuple[int, str]] = {  # the first that fits
    BlobMismatch: (409, "The bytes are not those that the hash names."),
    BlobTooLarge: (413, _TOO_LARGE),
    ClientDisconnect: (400, "The upload was cut off."),
    TimeoutError: (408, "The upload was too slow."),
    Unreachable: (502, "The blob could not be fetched from there."),
    BlobsFull: (507, "The disk of this server is full."),
    BlobError: (503, "The blob could not be stored; try again."),
    OSError: (503, "The blob could not be stored; try again."),
}


@dataclass(slots=True)
class Intake:
    """The endpoints that bring blobs."""

    service: BlobService
    mirror: Mirror
    parts: Parts = field(init=False)
    """The uploads in parts."""
    room: Room = field(init=False)
    """Of what comes in at once."""

    def __post_init__(self) -> None:
        """Begin with no upload."""
        service = self.service
        self.parts = Parts(service.blobs, service.settings, service.now, service.metrics)
        self.room = Room(service.settings.max_uploads)

    async def put(self, request: Request) -> Response:
        """PUT /upload."""
        pubkey, name = await self.service.authorize(request, "upload")
        most = self.service.settings.max_blob_bytes
        self._check_length(request.headers.get("content-length", str(most)), "Content-Length")
        with self._place() as coming:
            body = coming.through(request.stream())
            return await self._store(request, name, pubkey, partial(self._take, body, name))

    async def preflight(self, request: Request) -> Response:
        """HEAD /upload: whether a PUT would be taken, as far as its headers tell."""
        await self.service.authorize(request, "upload")
        length = request.headers.get("x-content-length")
        if length is None:
            raise Refused(411, "Say in X-Content-Length how long the blob is.")
        self._check_length(length, "X-Content-Length")
        return Response()

    async def copy(self, request: Request) -> Response:
        """PUT /mirror."""
        service = self.service
        if not service.settings.mirror_hosts:
            raise Refused(403, "This server fetches no blobs from elsewhere.")
        pubkey, name = await service.authorize(request, "upload")
        try:
            url = parse_request(await read_body(request, MAX_REQUEST))
            parse_source(url, name, service.settings)
        except BodyTooLong as error:
            raise Refused(413, "The request is too long.") from error
        except (ClientDisconnect, TimeoutError) as error:
            raise Refused(400, "The request was cut off.") from error
        except InvalidSource as error:
            raise Refused(400, str(error)) from error
        except NotAllowed as error:
            raise Refused(403, "This server fetches no blobs from there.") from error
        service.check_room(0)
        with self._place() as coming:
            pieces = coming.through(self.mirror.fetch(url, name))
            take = partial(self._fetch, pieces, name)
            return await self._store(request, name, pubkey, take, given=False)

    async def patch(self, request: Request, name: str) -> Response:
        """PATCH /<sha256>."""
        service = self.service
        pubkey, _ = await service.authorize(request, "upload", name)
        part = parse_part(dict(request.headers), service.settings.max_blob_bytes)
        if await service.blobs.has(name):
            return service.described(request, name, await service.blobs.size(name), existed=True)
        service.check_room(part.length)
        key = f"{name}:{pubkey}:{part.total}"
        with self._place() as coming:
            wrong = await self._add(coming.through(request.stream()), key, part)
        held = self.parts.held(key)
        if wrong is None and held == part.total:
            complete = partial(self.parts.complete, key, name)
            return await self._store(request, name, pubkey, complete)
        response = service.refuse(*wrong) if wrong else Response(status_code=204)
        response.headers["Upload-Offset"] = str(held)
        return response

    def _check_length(self, text: str, header: str) -> None:
        if not _NUMBER.fullmatch(text):
            raise Refused(400, f"{header} is not a number.")
        if int(text) > self.service.settings.max_blob_bytes:
            raise Refused(413, _TOO_LARGE)
        self.service.check_room(int(text))

    @contextlib.contextmanager
    def _place(self) -> Iterator[Coming]:
        cuts = self.room.cuts
        try:
            with self.room.place() as coming:
                self.service.metrics.uploads_cut += self.room.cuts - cuts
                yield coming
        except NoRoom as error:
            raise Refused(503, _BUSY) from error

    async def _add(
        self, body: AsyncIterator[bytes], key: str, part: Part
    ) -> tuple[int, str] | None:
        """Take in a part; returns the status and what is wrong, or None."""
        try:
            await self.parts.add(key, part, body)
        except InvalidPart as error:
            wrong = error.status, str(error)
        except OutOfPlace:
            wrong = 416, "The part leaves a gap; Upload-Offset says where to go on."
        except BlobTooLarge:
            wrong = 400, "The part is longer than it says."
        except (ClientDisconnect, TimeoutError, BlobsFull, BlobError, OSError) as error:
            wrong = _failed(error)
        else:
            return None
        return wrong

    async def _take(self, pieces: AsyncIterator[bytes], name: str) -> int:
        service = self.service
        _, size = await service.blobs.put(pieces, name, service.settings.max_blob_bytes)
        return size

    async def _fetch(self, pieces: AsyncGenerator[bytes, None], name: str) -> int:
        async with (
            asyncio.timeout(self.service.settings.mirror_seconds),
            contextlib.aclosing(pieces),
        ):
            size = await self._take(pieces, name)
        self.service.metrics.blobs_mirrored += 1
        return size

    async def _store(
        self,
        request: Request,
        name: str,
        pubkey: str,
        take: Callable[[], Awaitable[int]],
        given: bool = True,
    ) -> Response:
        """Store what `take` brings. Bytes that are here already are looked at again if they are
        `given`, so that only who has them is noted as their owner."""
        service, now = self.service, self.service.now()
        existed = await service.blobs.has(name)
        # Without a record, bytes that are here already are the node's own: nobody else's to delete.
        shared = existed and service.uploads.time(name) is not None
        if existed and not given:
            return service.described(request, name, await service.blobs.size(name), existed)
        try:
            if not existed:
                await service.uploads.record(name, pubkey, now)
            size = await take()
            if shared:
                await service.uploads.record(name, pubkey, now)
        except Exception as error:
            if not existed:
                with contextlib.suppress(KeyError, OSError):
                    await service.uploads.disown(name, pubkey)
            raise Refused(*_failed(error)) from error
        if name in service.lists().banned_blobs:  # since the upload began
            await service.blobs.delete(name)
            await service.uploads.forget(name)
            raise Refused(403, "This blob is not wanted here.")
        service.metrics.blobs_added += not existed
        return service.described(request, name, size, existed)


def _failed(error: Exception) -> tuple[int, str]:
    """The status and the sentence for people. Raises the error when nobody foresaw it."""
    for kind, answer in _FAILURES.items():
        if isinstance(error, kind):
            return answer
    raise error
