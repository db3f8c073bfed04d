"""Uploads in parts: `PATCH /<sha256>`, as the draft of BUD-14 has it (hzrd149/blossom, pull request
102), with the offset in answers that "Resumable Uploads for HTTP" defines
(draft-ietf-httpbis-resumable-upload).

1. Parts come in order; one may repeat what is here. What arrived of a part that was cut is kept,
   and each answer says in Upload-Offset how much is here. A part that leaves a gap gets 416.
2. An upload belongs to the key of its token: nobody else adds to it or learns how far it is.
3. All unfinished uploads together are bounded. One that stands still is erased after a while, and
   all are when the relay starts: a client begins anew then.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from volok.relay.blob_service import Refused
from volok.relay.metrics import Metrics
from volok.relay.settings import RelaySettings
from volok.store.blobs import Blobs

_NUMBER = re.compile("[0-9]{1,15}")


class InvalidPart(Refused):
    """The part cannot be taken."""


@dataclass(frozen=True, slots=True)
class Part:
    """Where a part belongs, in bytes."""

    offset: int
    length: int
    total: int
    """Of the whole blob."""


def parse_part(headers: dict[str, str], most: int) -> Part:
    """Read the headers of a PATCH (names in lower case); `most` bytes are the largest blob that is
    taken. Raises InvalidPart."""
    if "content-length" not in headers:
        raise InvalidPart(411, "Say in Content-Length how long the part is.")
    numbers = []
    for name in ("upload-offset", "content-length", "upload-length"):
        text = headers.get(name, "")
        if not _NUMBER.fullmatch(text):
            raise InvalidPart(400, "Upload-Offset, Upload-Length and Content-Length are numbers.")
        numbers.append(int(text))
    part = Part(*numbers)
    if part.total > most:
        raise InvalidPart(413, "The blob is larger than this server takes.")
    if part.offset + part.length > part.total:
        raise InvalidPart(416, "The part does not fit into the blob.")
    return part


@dataclass(slots=True)
class _Upload:
    size: int
    touched: int
    busy: int = 0


@dataclass(slots=True)
class Parts:
    """The unfinished uploads of one relay."""

    blobs: Blobs
    settings: RelaySettings
    now: Callable[[], int]
    """Unix seconds."""
    metrics: Metrics
    _uploads: dict[str, _Upload] = field(default_factory=dict, init=False)

    def held(self, key: str) -> int:
        """How many bytes of an upload are here."""
        upload = self._uploads.get(key)
        return upload.size if upload else 0

    async def add(self, key: str, part: Part, data: AsyncIterator[bytes]) -> int:
        """Take in a part; returns how many bytes are here then.

        Raises InvalidPart, what `data` raises, and what `Unfinished.extend` does.
        """
        upload = self._uploads.get(key)
        if upload is None and part.offset:
            raise InvalidPart(416, "Nothing of this upload is here; begin at 0.")
        waiting = sum(one.size for one in self._uploads.values())
        fresh = max(0, part.offset + part.length - self.held(key))
        if waiting + fresh > self.settings.max_unfinished_bytes:
            raise InvalidPart(503, "Too many unfinished uploads at the moment; try again.")
        if upload is None:
            upload = self._uploads[key] = _Upload(0, self.now())
        upload.busy += 1
        try:
            unfinished = self.blobs.unfinished
            await unfinished.extend(key, part.offset, data, part.offset + part.length)
        finally:
            upload.busy -= 1
            upload.touched = self.now()
            upload.size = await self.blobs.unfinished.size(key)
            self._count()
        return upload.size

    async def complete(self, key: str, name: str) -> int:
        """Make a blob of an upload; returns its size. Raises what `Blobs.complete` does; the upload
        is gone in any case."""
        self._uploads.pop(key, None)
        self._count()
        return await self.blobs.complete(key, name)

    async def clear(self) -> None:
        """Erase what an earlier run of the relay has left. Raises BlobError."""
        await self.blobs.unfinished.keep_only(())

    async def sweep(self) -> None:
        """Erase the uploads that stand still. Raises BlobError."""
        oldest = self.now() - self.settings.unfinished_seconds
        for key, upload in list(self._uploads.items()):
            if upload.touched < oldest and not upload.busy:
                del self._uploads[key]
                self._count()
                await self.blobs.unfinished.discard(key)
                self.metrics.uploads_abandoned += 1

    def _count(self) -> None:
        self.metrics.uploads_unfinished = len(self._uploads)
