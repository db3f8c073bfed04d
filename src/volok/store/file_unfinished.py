"""Blobs of which only the beginning is here yet.

1. A key stands for one blob on its way from one place. What is kept is a prefix: it grows at its
   end alone, and bytes that are there already are not written again, so that several requests may
   bring the same part.
2. What arrived stays when the rest does not come, also over a restart. Nothing of it is believed:
   whoever completes a blob checks its hash.
3. The names of the files say nothing: they are hashes of the keys.
4. With a seal, what is there cannot be read from the disk, and not after a restart either: the key
   is made at the start and kept in memory. Such a file is a row of sealed pieces, each behind its
   length (4 bytes, big-endian).
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
from collections.abc import AsyncIterator, Collection
from pathlib import Path

from volok.store.blobs import BlobError, BlobsFull, BlobTooLarge, OutOfPlace
from volok.store.file_seal import NONCE, TAG, FileSeal
from volok.store.secure_files import erase

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
_GATHER = 256 * 1024
_LENGTH = 4
_PATIENCE = 0.5
"""Seconds for which bytes that arrived wait in memory for more."""


class FileUnfinished:
    """The `Unfinished` of one folder, which is made if needed; one process owns it."""

    def __init__(self, folder: Path, seal: FileSeal | None = None) -> None:
        """Raises OSError."""
        self._folder = folder
        self._seal = seal and FileSeal(seal.crypto, seal.crypto.random(32))
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if seal is not None:  # nobody has the key of these
            for leftover in folder.iterdir():
                erase(leftover)

    def path(self, key: str) -> Path:
        """Where the bytes of this key lie."""
        if self._seal is not None:
            return self._folder / self._seal.file_name(key)
        return self._folder / hashlib.sha256(key.encode()).hexdigest()

    async def size(self, key: str) -> int:
        """See `Unfinished.size`."""
        if self._seal is not None:
            return (await asyncio.to_thread(_walk, self.path(key)))[0]
        return await asyncio.to_thread(_size, self.path(key))

    async def read(self, key: str) -> AsyncIterator[bytes]:
        """Yield what is here of a key. Raises BlobError."""
        path, place = self.path(key), 0
        while True:
            piece, place = await asyncio.to_thread(_read, path, place, self._seal)
            if not piece:
                return
            yield piece

    async def extend(self, key: str, start: int, data: AsyncIterator[bytes], limit: int) -> int:
        """See `Unfinished.extend`."""
        path = self.path(key)
        gathered = bytearray()

        async def flush() -> int:
            nonlocal start
            piece, at = bytes(gathered), start
            gathered.clear()
            start += len(piece)
            if self._seal is not None:
                return await asyncio.to_thread(_append_sealed, path, at, piece, limit, self._seal)
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


def _append_sealed(path: Path, start: int, data: bytes, limit: int, seal: FileSeal) -> int:
    if start + len(data) > limit:
        raise BlobTooLarge
    size, place = _walk(path)
    if start > size:
        raise OutOfPlace
    rest = data[size - start :]
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if rest:
                sealed = seal.seal_record(rest, b"unfinished")
                row = len(sealed).to_bytes(_LENGTH, "big") + sealed
                if os.pwrite(descriptor, row, place) < len(row):
                    os.ftruncate(descriptor, place)
                    raise BlobsFull
        finally:
            os.close(descriptor)
    except OSError as error:
        raise (BlobsFull if error.errno in _NO_SPACE else BlobError) from error
    return size + len(rest)


def _walk(path: Path) -> tuple[int, int]:
    """The bytes in a row of sealed pieces, and where the row ends in the file."""
    size = place = 0
    try:
        with path.open("rb") as file:
            end = os.fstat(file.fileno()).st_size
            while place < end:
                file.seek(place)
                length = int.from_bytes(file.read(_LENGTH), "big")
                place += _LENGTH + length
                size += length - NONCE - TAG
    except FileNotFoundError:
        return 0, 0
    except OSError as error:
        raise BlobError from error
    return size, place


def _read(path: Path, place: int, seal: FileSeal | None) -> tuple[bytes, int]:
    """The piece at this place of a file, none at its end, and the place of the next one."""
    try:
        with path.open("rb") as file:
            file.seek(place)
            if seal is None:
                piece = file.read(_GATHER)
                return piece, place + len(piece)
            length = int.from_bytes(file.read(_LENGTH), "big")
            sealed = file.read(length)
    except FileNotFoundError:
        return b"", place
    except OSError as error:
        raise BlobError from error
    return seal.open_record(sealed, b"unfinished") if sealed else b"", place + _LENGTH + length


def _discard(path: Path) -> None:
    try:
        erase(path)
    except OSError as error:
        raise BlobError from error
