"""Blobs over HTTP: Blossom (BUD-01, BUD-02, BUD-04, BUD-06, BUD-08, BUD-09, BUD-11 and the DELETE
of BUD-12), with uploads in parts (`volok.relay.parts`).

1. Any key may upload, also one made for this upload alone. Only a key that brought a blob may
   delete it, and the bytes go when the last of them has.
2. There is no list of what a key has uploaded.
3. Blobs are served as bytes without a type: whoever can read them knows what they are, and a
   browser makes no page of them.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable
from dataclasses import dataclass
from email.utils import formatdate

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse

from volok.relay.blob_service import BLOB_TYPE, BlobService, Refused, problem
from volok.relay.intake import Intake
from volok.relay.ranges import Unsatisfiable, names_tag, parse_range, range_holds
from volok.relay.reading import BodyTooLong, read_body
from volok.relay.reports import MAX_REPORT, InvalidReport, Reports, parse_report
from volok.relay.settings import DAY
from volok.store.blobs import BlobError, BlobMissing

_NAME = re.compile(r"([0-9a-f]{64})(?:\.[A-Za-z0-9]{1,16})?")
_YEAR = 365 * DAY
_HEADERS = {
    "Accept-Ranges": "bytes",
    "Content-Disposition": "attachment",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True, slots=True)
class Blossom:
    """The endpoints over one set of blobs."""

    service: BlobService
    intake: Intake
    reports: Reports | None = None
    """Where reports go; None where nobody would read them."""

    async def serve(self, request: Request) -> Response:
        """GET and HEAD /<sha256>[.ext] (BUD-01), PATCH (BUD-14), DELETE /<sha256> (BUD-12)."""
        match = _NAME.fullmatch(request.path_params["name"])
        if match is None:
            return problem(404, "There is nothing here.")
        name = match[1]
        if request.method == "DELETE":
            return await self._answered(self._delete(request, name))
        if request.method == "PATCH":
            return await self._answered(self.intake.patch(request, name))
        response = await self._get(request, name)
        # A client that looks whether a blob is here learns that it may send it in parts.
        response.headers["Allow"] = "GET, HEAD, PATCH, DELETE"
        return response

    async def upload(self, request: Request) -> Response:
        """PUT /upload (BUD-02) and HEAD /upload (BUD-06)."""
        handle = self.intake.preflight if request.method == "HEAD" else self.intake.put
        return await self._answered(handle(request))

    async def mirror(self, request: Request) -> Response:
        """PUT /mirror (BUD-04)."""
        return await self._answered(self.intake.copy(request))

    async def report(self, request: Request) -> Response:
        """PUT /report (BUD-09)."""
        return await self._answered(self._report(request))

    async def sweep(self) -> int:
        """Erase uploads that stand still, and blobs older than `blob_days`; returns how many of the
        latter went."""
        service = self.service
        await self.intake.parts.sweep()
        if not service.settings.blob_days:
            return 0
        count = 0
        oldest = service.now() - service.settings.blob_days * DAY
        for name in service.uploads.older_than(oldest):
            count += await self._erase(name, oldest)
        return count

    async def erase(self, name: str) -> None:
        """Erase a blob, whoever brought it. Raises BlobError, OSError."""
        await self._erase(name)

    async def _erase(self, name: str, before: int | None = None) -> bool:
        gone = await self.service.blobs.delete(name)
        # Somebody may bring it again at this very moment: that is not forgotten.
        await self.service.uploads.forget(name, before)
        return gone

    async def _answered(self, answer: Awaitable[Response]) -> Response:
        try:
            return await answer
        except Refused as error:
            return self.service.refuse(error.status, str(error))

    async def _get(self, request: Request, name: str) -> Response:
        try:
            size = await self.service.blobs.size(name)
        except BlobMissing:
            return problem(404, "There is no such blob here.")
        except BlobError:
            return problem(503, "The blob could not be read; try again.")
        return self._found(request, name, size)

    def _found(self, request: Request, name: str, size: int) -> Response:
        tag, headers = f'"{name}"', request.headers
        if "if-match" in headers and not names_tag(headers["if-match"], tag):
            return problem(412, "The blob here is the one that its name says.")
        fixed = _HEADERS | self._lifetime(name) | {"ETag": tag}
        if names_tag(headers.get("if-none-match"), tag):
            return Response(status_code=304, headers=fixed)
        # A range is for GET alone (RFC 9110, section 14.2).
        ranged = request.method == "GET" and range_holds(headers.get("if-range"), tag)
        try:
            part = parse_range(headers.get("range"), size) if ranged else None
        except Unsatisfiable:
            response = problem(416, "The blob has no such part.")
            response.headers["Content-Range"] = f"bytes */{size}"
            return response
        start, length = part or (0, size)
        fixed["Content-Length"] = str(length)
        if part is not None:
            fixed["Content-Range"] = f"bytes {start}-{start + length - 1}/{size}"
        status = 206 if part else 200
        if request.method == "HEAD":
            return Response(status_code=status, headers=fixed, media_type=BLOB_TYPE)
        self.service.metrics.blobs_served += 1
        body = self.service.blobs.read(name, start, length)
        return StreamingResponse(body, status, fixed, BLOB_TYPE)

    def _lifetime(self, name: str) -> dict[str, str]:
        """How long a blob stays: no cache keeps it for longer than we do."""
        service, seconds = self.service, _YEAR
        uploaded = service.uploads.time(name)
        lifetime = {}
        if uploaded is not None and service.settings.blob_days:
            end = uploaded + service.settings.blob_days * DAY
            seconds = max(0, min(seconds, end - service.now()))
            lifetime["Sunset"] = formatdate(end, usegmt=True)
        return lifetime | {"Cache-Control": f"public, max-age={seconds}, immutable"}

    async def _delete(self, request: Request, name: str) -> Response:
        service = self.service
        pubkey, _ = await service.authorize(request, "delete", name)
        if not await service.blobs.has(name):
            return problem(404, "There is no such blob here.")
        try:
            if await service.uploads.disown(name, pubkey):
                await service.blobs.delete(name)
        except KeyError as error:
            raise Refused(403, "Another key has uploaded this blob.") from error
        except (BlobError, OSError):
            return problem(503, "The blob could not be deleted; try again.")
        return Response(status_code=204)

    async def _report(self, request: Request) -> Response:
        service = self.service
        if self.reports is None:
            raise Refused(404, "Nobody would read a report here.")
        try:
            body = await read_body(request, MAX_REPORT)
            event = await asyncio.to_thread(parse_report, body, service.verifier, service.now())
        except InvalidReport as error:
            raise Refused(400, str(error)) from error
        except BodyTooLong as error:
            raise Refused(413, "The report is too long.") from error
        except (ClientDisconnect, TimeoutError) as error:
            raise Refused(400, "The report was cut off.") from error
        asked = event.values("x")[:_MOST_REPORTED]
        named = [name for name in asked if await service.blobs.has(name)]
        if not named:
            raise Refused(404, "None of these blobs is here.")
        for name in named:
            self.reports.add(event, name)
        service.metrics.blobs_reported += len(named)
        return Response(status_code=204)


_MOST_REPORTED = 100
"""The most blobs of one report that are looked at."""
