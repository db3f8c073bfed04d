"""Blobs as files, each named by its SHA-256 (Blossom), in two levels of folders.

The rules of this file:

1. Bytes are written to `incoming/`, verified, fsynced and only then renamed to their name; the
   folder is fsynced as well. So a name is either absent or whole, whatever moment the power fails.
2. A blob leaves its name first and is overwritten after that, so that nobody reads half of an
   erasure. What lies in `incoming/` at start is a leftover of a crash, and is erased.
3. One process owns the folder. No file is touched on the event loop.
4. With a seal (`volok.store.file_seal`) neither bytes nor names can be read from the disk. A folder
   is sealed from its beginning or not at all.

To overwrite a file is the best that a program can do, and no promise: a copy-on-write file system
or a flash disk may keep older copies of a block. What must not be found by whoever takes the disk
belongs under a seal.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkstemp

from volok.model.event import is_hex32
from volok.store.blobs import BlobError, BlobMismatch, BlobMissing, BlobsFull, BlobTooLarge
from volok.store.file_seal import HEAD as SEALED_HEAD
from volok.store.file_seal import PIECE, BlobSeal, FileSeal, is_last, place_of, plain_size
from volok.store.file_unfinished import FileUnfinished
from volok.store.secure_files import sync_directory

__all__ = ["PIECE", "FileBlobs"]

_GATHER = 1 << 20
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


Read = Callable[[int, Path, int, int | None], bytes]
"""Reads from an open file under its path: the next bytes from `start`, none from `end` on."""


class FileBlobs:
    """The `Blobs` of one folder, which is made if needed. Raises BlobsFull, BlobError."""

    def __init__(self, root: Path, seal: FileSeal | None = None) -> None:
        self._root = root
        self._seal = seal
        self._incoming = root / "incoming"
        with _stated_errors():
            self._incoming.mkdir(mode=0o700, parents=True, exist_ok=True)
            for leftover in self._incoming.iterdir():
                _erase(leftover)
            self._unfinished = FileUnfinished(root / "unfinished", seal)
            sync_directory(root)

    @property
    def unfinished(self) -> FileUnfinished:
        """See `Blobs.unfinished`."""
        return self._unfinished

    async def complete(self, key: str, expected: str) -> int:
        """See `Blobs.complete`."""
        if self._seal is None:
            return await asyncio.to_thread(self._complete, self._unfinished.path(key), expected)
        try:
            _, size = await self.put(self._unfinished.read(key), expected)
        finally:
            await self._unfinished.discard(key)
        return size

    async def put(
        self,
        data: bytes | AsyncIterator[bytes],
        expected: str | None = None,
        limit: int | None = None,
    ) -> tuple[str, int]:
        """See `Blobs.put`. What `data` raises comes through, and nothing of it is kept."""
        fresh = self._seal.fresh() if self._seal else None
        writing = await asyncio.to_thread(_Writing, self._incoming, limit, fresh)
        try:
            if isinstance(data, bytes):
                await asyncio.to_thread(writing.write, data)
            else:
                # Network pieces are small; a thread switch for each would cost more than the disk.
                gathered = bytearray()
                async for piece in data:
                    gathered += piece
                    if len(gathered) >= _GATHER:
                        await asyncio.to_thread(writing.write, bytes(gathered))
                        gathered.clear()
                await asyncio.to_thread(writing.write, bytes(gathered))
            return await asyncio.to_thread(self._name, writing, expected)
        finally:
            await asyncio.shield(asyncio.to_thread(writing.discard))

    async def has(self, name: str) -> bool:
        """See `Blobs.has`."""
        return await asyncio.to_thread(self._size, name) is not None

    async def size(self, name: str) -> int:
        """See `Blobs.size`."""
        size = await asyncio.to_thread(self._size, name)
        if size is None:
            raise BlobMissing
        return size

    async def read(
        self, name: str, start: int = 0, length: int | None = None
    ) -> AsyncIterator[bytes]:
        """See `Blobs.read`. Raises BlobMissing, also when it is deleted meanwhile."""
        path = self._path(name)
        read: Read = _read_piece
        if self._seal is not None:
            read = await asyncio.to_thread(_sealed_reader, self._seal, path)
        descriptor = await asyncio.to_thread(_open, path)
        try:
            end = None if length is None else start + length
            while piece := await asyncio.to_thread(read, descriptor, path, start, end):
                yield piece
                start += len(piece)
        finally:
            os.close(descriptor)

    async def get(self, name: str) -> bytes:
        """See `Blobs.get`."""
        if self._seal is None:
            return await asyncio.to_thread(_read_whole, self._path(name))
        return b"".join([piece async for piece in self.read(name)])

    async def delete(self, name: str) -> bool:
        """See `Blobs.delete`."""
        return await asyncio.to_thread(self._delete, name)

    async def names(self) -> list[str]:
        """See `Blobs.names`; sorted."""
        return await asyncio.to_thread(self._names)

    def _path(self, name: str) -> Path:
        # The only place where a name from outside becomes a path.
        if not is_hex32(name):
            raise BlobMissing
        called = self._seal.file_name(name) if self._seal else name
        return self._root / called[:2] / called[2:4] / called

    def _size(self, name: str) -> int | None:
        try:
            with _stated_errors():
                size = self._path(name).stat().st_size
                return plain_size(size) if self._seal else size
        except BlobMissing:
            return None

    def _name(self, writing: _Writing, expected: str | None) -> tuple[str, int]:
        name, size = writing.finish()
        if expected is not None and name != expected:
            raise BlobMismatch
        self._take(writing.path, name)
        return name, size

    def _take(self, source: Path, name: str) -> None:
        path = self._path(name)
        with _stated_errors():
            if not path.exists():
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                source.rename(path)
                for folder in (path.parent, path.parent.parent, self._root):
                    sync_directory(folder)

    def _complete(self, source: Path, expected: str) -> int:
        with _stated_errors():
            source.touch(0o600)  # a blob may be empty
            with source.open("rb") as file:
                name = hashlib.file_digest(file, "sha256").hexdigest()
                os.fsync(file.fileno())
            size = source.stat().st_size
            if name == expected:
                self._take(source, name)
            if source.exists():
                _erase(source)
        if name != expected:
            raise BlobMismatch
        return size

    def _delete(self, name: str) -> bool:
        path = self._path(name) if is_hex32(name) else None
        if path is None:
            return False
        with _stated_errors():
            doomed = self._incoming / f"{path.name}.deleted"
            try:
                path.rename(doomed)
            except FileNotFoundError:
                return False
            sync_directory(self._incoming)
            sync_directory(path.parent)
            _erase(doomed)
        return True

    def _names(self) -> list[str]:
        with _stated_errors():
            paths = [path for path in self._root.glob("??/??/*") if is_hex32(path.name)]
            if self._seal is None:
                return sorted(path.name for path in paths)
            return sorted(self._seal.read_head(_head(path))[1] for path in paths)


class _Writing:
    """One blob on its way in; used by one thread at a time."""

    def __init__(self, folder: Path, limit: int | None, seal: BlobSeal | None) -> None:
        self._limit = limit
        self._seal = seal
        self._rest = bytearray()
        self._sealed = 0
        self._hash = hashlib.sha256()
        self._size = 0
        with _stated_errors():
            self._descriptor, path = mkstemp(dir=folder)
            if seal is not None:
                os.lseek(self._descriptor, SEALED_HEAD, os.SEEK_SET)
        self.path = Path(path)

    def write(self, data: bytes) -> None:
        self._size += len(data)
        if self._limit is not None and self._size > self._limit:
            raise BlobTooLarge
        self._hash.update(data)
        with _stated_errors():
            if self._seal is None:
                _write_all(self._descriptor, data)
                return
            self._rest += data
            while len(self._rest) > PIECE:  # what may be the last piece waits
                self._write_sealed(self._seal, last=False)

    def finish(self) -> tuple[str, int]:
        name = self._hash.hexdigest()
        with _stated_errors():
            if self._seal is not None:
                if self._rest:
                    self._write_sealed(self._seal, last=True)
                os.pwrite(self._descriptor, self._seal.head(name), 0)
            os.fsync(self._descriptor)
        return name, self._size

    def _write_sealed(self, seal: BlobSeal, last: bool) -> None:
        piece = bytes(self._rest[:PIECE])
        del self._rest[:PIECE]
        _write_all(self._descriptor, seal.seal(self._sealed, piece, last))
        self._sealed += 1

    def discard(self) -> None:
        """Close; erase what was not given a name."""
        os.close(self._descriptor)
        if self.path.exists():
            with _stated_errors():
                _erase(self.path)


@contextmanager
def _stated_errors() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise BlobMissing from error
    except OSError as error:
        raise (BlobsFull if error.errno in _NO_SPACE else BlobError) from error


def _open(path: Path) -> int:
    with _stated_errors():
        return os.open(path, os.O_RDONLY)


def _read_piece(descriptor: int, path: Path, start: int, end: int | None) -> bytes:
    count = PIECE if end is None else min(PIECE, end - start)
    if count <= 0:
        return b""
    with _stated_errors():
        piece = os.pread(descriptor, count, start)
        # Looked at after reading: a blob that still has its name was not being overwritten before.
        if not os.path.samestat(os.fstat(descriptor), path.stat()):
            raise BlobMissing
        return piece


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(SEALED_HEAD)


def _sealed_reader(folder: FileSeal, path: Path) -> Read:
    """What `_read_piece` is for a sealed file."""
    with _stated_errors():
        seal, _ = folder.read_head(_head(path))
        size = plain_size(path.stat().st_size)

    def read(descriptor: int, path: Path, start: int, end: int | None) -> bytes:
        stop = size if end is None else min(end, size)
        if start >= stop:
            return b""
        index = start // PIECE
        with _stated_errors():
            sealed = os.pread(descriptor, place_of(1) - place_of(0), place_of(index))
            if not os.path.samestat(os.fstat(descriptor), path.stat()):
                raise BlobMissing
        plain = seal.open(index, sealed, is_last(index, size))
        return plain[start - index * PIECE : stop - index * PIECE]

    return read


def _read_whole(path: Path) -> bytes:
    with _stated_errors(), path.open("rb") as file:
        data = file.read()
        if not os.path.samestat(os.fstat(file.fileno()), path.stat()):
            raise BlobMissing
        return data


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _erase(path: Path) -> None:
    """Overwrite a file with zeros and remove it."""
    descriptor = os.open(path, os.O_WRONLY)
    try:
        size, zeros = os.fstat(descriptor).st_size, bytes(_GATHER)
        for start in range(0, size, _GATHER):
            _write_all(descriptor, zeros[: size - start])
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    path.unlink()
    sync_directory(path.parent)
