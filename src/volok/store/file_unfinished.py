"""Blobs of which only the beginning is here yet.

1. A key stands for one blob on its way from one place. What is kept is a prefix: it grows at its
   end alone, and bytes that are there already are not written again, so that several requests may
   bring the same part.
2. What arrived stays when the rest does not come, also over a restart. Nothing of it is believed:
   whoever completes a blob checks its hash.
3. The names of the files say nothing: they are hashes of the keys.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
from collections.abc import AsyncIterator, Collection
from pathlib import Path

from volok.store.blobs import BlobError, BlobsFull, BlobTooLarge, OutOfPlace
from volok.store.secure_files import erase

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
_GATHER = 256 * 1024
_PATIENCE = 0.5
"""Seconds for which bytes that arrived wait in memory for more."""


class FileUnfinished:
    """The `Unfinished` of one folder, which is made if needed; one process owns it."""

    def __init__(self, folder: Path) -> None:
        """Raises OSError."""
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def path(self, key: str) -> Path:
        """Where the bytes of this key lie."""
        return self._folder / hashlib.sha256(key.encode()).hexdigest()

    async def size(self, key: str) -> int:
        """See `Unfinished.size`."""
        return await asyncio.to_thread(_size, self.path(key))

    async def extend(self, key: str, start: int, data: AsyncIterator[bytes], limit: int) -> int:
        """See `Unfinished.extend`."""
        path = self.path(key)
        gathered = bytearray()

        async def flush() -> int:
            nonlocal start
            piece, at = bytes(gathered), start
            gathered.clear()
            start += len(piece)
            return await asyncio.to_thread(_append, path, at, piece, limit)

        coming = asyncio.ensure_future(_next(data))
        try:
            while True:
                done, _ = await asyncio.wait((coming,), timeout=_PATIENCE if gathered else None)
                if not done:
                    await flush()
                    continue
                piece = coming.result()
                if piece is None:
                    return await flush()
                coming = asyncio.ensure_future(_next(data))
                gathered += piece
                if len(gathered) >= _GATHER:
                    await flush()
        finally:
            coming.cancel()
            if gathered:
                await asyncio.shield(flush())
            await asyncio.gather(coming, return_exceptions=True)

    async def discard(self, key: str) -> None:
        """See `Unfinished.discard`."""
        await asyncio.to_thread(_discard, self.path(key))

    async def keep_only(self, keys: Collection[str]) -> None:
        """See `Unfinished.keep_only`."""
        kept = {self.path(key) for key in keys}
        for path in await asyncio.to_thread(lambda: list(self._folder.iterdir())):
            if path not in kept:
                await asyncio.to_thread(_discard, path)


async def _next(data: AsyncIterator[bytes]) -> bytes | None:
    return await anext(data, None)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise BlobError from error


def _append(path: Path, start: int, data: bytes, limit: int) -> int:
    if start + len(data) > limit:
        raise BlobTooLarge
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            if start > size:
                raise OutOfPlace
            rest = memoryview(data)[size - start :]
            while rest:
                written = os.pwrite(descriptor, rest, size)
                rest, size = rest[written:], size + written
            return size
        finally:
            os.close(descriptor)
    except OSError as error:
        raise (BlobsFull if error.errno in _NO_SPACE else BlobError) from error


def _discard(path: Path) -> None:
    try:
        erase(path)
    except OSError as error:
        raise BlobError from error
