"""Blobs in a bucket of S3-compatible storage, or whatever else fsspec reaches, for many relays.

1. Bytes are gathered and verified in a local folder and put under their name whole; so a name in
   the bucket is either absent or whole. The local copy is overwritten once the storage has it.
2. A blob is durable when the storage says that it took it. Deletion is a request to the storage:
   what that keeps of it (versions, replicas, copies on its disks) is not in our hands. What is
   stored here are ciphertexts.
3. When a blob has to go is known to the relay that took it; a lifetime rule of the bucket catches
   what a relay that is gone has left.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from obstore.fsspec import FsspecStore

from volok.model.event import is_hex32
from volok.store.blobs import BlobError, BlobMismatch, BlobMissing, Blobs
from volok.store.file_unfinished import FileUnfinished

PIECE = 65_536
"""The most bytes that `S3Blobs.read` yields at once."""

_WINDOW = 1 << 20
"""Bytes that one request reads."""
_NO_LIMIT = 2**62


class FileSystem(Protocol):
    """What is used of fsspec's `AsyncFileSystem`, whose asynchronous methods bear these names."""

    async def _put_file(self, lpath: str, rpath: str) -> Any: ...

    async def _cat_file(self, path: str, start: int, end: int) -> bytes: ...

    async def _info(self, path: str) -> Any: ...

    async def _rm_file(self, path: str) -> Any: ...

    async def _find(self, path: str) -> Any: ...

    def invalidate_cache(self) -> None: ...


class S3Blobs(Blobs):
    """The `Blobs` contract over one prefix of a bucket, and a local folder for what is on its way,
    which one process owns."""

    def __init__(
        self, files: FileSystem, root: str, folder: Path, random: Callable[[int], bytes]
    ) -> None:
        """`root` is `bucket/prefix`. Raises OSError for the folder."""
        self._files = files
        self._root = root.strip("/")
        self._unfinished = FileUnfinished(folder)
        self._random = random

    @property
    def unfinished(self) -> FileUnfinished:
        """See `Blobs.unfinished`."""
        return self._unfinished

    async def put(
        self,
        data: bytes | AsyncIterator[bytes],
        expected: str | None = None,
        limit: int | None = None,
    ) -> tuple[str, int]:
        """See `Blobs.put`. What `data` raises comes through, and nothing of it is kept."""
        key = self._random(16).hex()
        pieces = _one(data) if isinstance(data, bytes) else data
        try:
            most = _NO_LIMIT if limit is None else limit
            await self._unfinished.extend(key, 0, pieces, most)
            return await self._take(key, expected)
        finally:
            await asyncio.shield(self._unfinished.discard(key))

    async def complete(self, key: str, expected: str) -> int:
        """See `Blobs.complete`."""
        try:
            _, size = await self._take(key, expected)
            return size
        finally:
            await asyncio.shield(self._unfinished.discard(key))

    async def has(self, name: str) -> bool:
        """See `Blobs.has`. Raises BlobError."""
        try:
            await self.size(name)
        except BlobMissing:
            return False
        return True

    async def size(self, name: str) -> int:
        """See `Blobs.size`."""
        with _stated_errors():
            return int((await self._files._info(self._path(name)))["size"])

    async def read(
        self, name: str, start: int = 0, length: int | None = None
    ) -> AsyncIterator[bytes]:
        """See `Blobs.read`. Raises BlobMissing, also when it is deleted meanwhile."""
        path, end = self._path(name), await self.size(name)
        if length is not None:
            end = min(end, start + length)
        while start < end:
            until = min(end, start + _WINDOW)
            with _stated_errors():
                window = await self._files._cat_file(path, start, until)
            if len(window) != until - start:
                raise BlobError
            for offset in range(0, len(window), PIECE):
                yield window[offset : offset + PIECE]
            start = until

    async def get(self, name: str) -> bytes:
        """See `Blobs.get`."""
        return b"".join([piece async for piece in self.read(name)])

    async def delete(self, name: str) -> bool:
        """See `Blobs.delete`: asks the storage to remove it. Raises BlobError."""
        if not is_hex32(name) or not await self.has(name):
            return False
        with contextlib.suppress(BlobMissing), _stated_errors():
            await self._files._rm_file(self._path(name))
        return True

    async def names(self) -> list[str]:
        """See `Blobs.names`; sorted."""
        try:
            with _stated_errors():
                found = await self._files._find(self._root)
                self._files.invalidate_cache()  # other relays write here, too
        except BlobMissing:
            return []
        return sorted(filter(is_hex32, (path.rpartition("/")[2] for path in found)))

    def _path(self, name: str) -> str:
        # The only place where a name from outside becomes a path.
        if not is_hex32(name):
            raise BlobMissing
        return f"{self._root}/{name}"

    async def _take(self, key: str, expected: str | None) -> tuple[str, int]:
        path = self._unfinished.path(key)
        name, size = await asyncio.to_thread(_digest, path)
        if expected is not None and name != expected:
            raise BlobMismatch
        try:
            with _stated_errors():
                await self._files._put_file(str(path), self._path(name))
        except BlobMissing as error:  # the bucket, not the blob
            raise BlobError from error
        return name, size


def s3_file_system(environment: Mapping[str, str]) -> FileSystem:
    """The storage that the usual variables name: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
    AWS_REGION and, for any but Amazon's, AWS_ENDPOINT_URL."""
    endpoint = environment.get("AWS_ENDPOINT_URL", "")
    plain = endpoint.startswith("http://")
    make: Any = FsspecStore  # its overloads leave out what fsspec itself takes
    files: FileSystem = make(
        "s3",
        config={
            "access_key_id": environment.get("AWS_ACCESS_KEY_ID", ""),
            "secret_access_key": environment.get("AWS_SECRET_ACCESS_KEY", ""),
            "region": environment.get("AWS_REGION", "us-east-1"),
            **({"endpoint": endpoint} if endpoint else {}),
        },
        client_options={"allow_http": plain, "timeout": "60s"},
        retry_config={"max_retries": 3},
        asynchronous=True,
        skip_instance_cache=True,
    )
    return files


def bucket_path(url: str) -> str:
    """`bucket/prefix` of an s3:// URL. Raises ValueError for anything else."""
    parts = urlsplit(url)
    if parts.scheme != "s3" or not parts.netloc or parts.query or parts.fragment or "@" in url:
        raise ValueError("Not an address like s3://bucket/prefix.")
    return f"{parts.netloc}/{parts.path.strip('/')}".rstrip("/")


async def _one(data: bytes) -> AsyncIterator[bytes]:
    yield data


def _digest(path: Path) -> tuple[str, int]:
    """Name and size of what was gathered. Raises BlobError."""
    try:
        path.touch(0o600)  # a blob may be empty
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest(), path.stat().st_size
    except OSError as error:
        raise BlobError from error


@contextlib.contextmanager
def _stated_errors() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise BlobMissing from error
    except BlobError:
        raise
    except Exception as error:  # fsspec lets through what each kind of storage raises
        raise BlobError from error
