"""What a blob store is: bytes named by their SHA-256 (Blossom)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from typing import Protocol


class BlobError(Exception):
    """The blob could not be read or written."""


class BlobMismatch(BlobError):
    """The bytes are not those that the hash names."""


class BlobMissing(BlobError):
    """There is no such blob here."""


class BlobTooLarge(BlobError):
    """The blob is larger than allowed here."""


class BlobsFull(BlobError):
    """The disk is full. Free some space and try again."""


class OutOfPlace(BlobError):
    """These bytes do not join what is here."""


class Unfinished(Protocol):
    """Blobs of which only the beginning is here yet, kept over a restart. A key stands for one blob
    on its way from one place; nothing of what arrived is believed before the whole is."""

    async def size(self, key: str) -> int:
        """How many bytes are here."""

    async def extend(self, key: str, start: int, data: AsyncIterator[bytes], limit: int) -> int:
        """Take in bytes that begin at `start`; returns how many are here then. Those that are here
        already are passed over.

        What `data` raises comes through after what it gave was written. Raises OutOfPlace when
        there is a gap before `start`, BlobTooLarge past `limit` bytes, BlobsFull, BlobError."""

    async def discard(self, key: str) -> None:
        """Overwrite and forget what is here. Raises BlobError."""

    async def keep_only(self, keys: Collection[str]) -> None:
        """Discard everything else. Raises BlobError."""


class Blobs(Protocol):
    """A set of blobs. A hash is 64 lower-case hexadecimal characters; all else raises BlobMissing.

    A blob is durable when `put` returns, under its name only when whole and verified.
    """

    async def put(
        self,
        data: bytes | AsyncIterator[bytes],
        expected: str | None = None,
        limit: int | None = None,
    ) -> tuple[str, int]:
        """Store bytes and return (hash, size). Raises BlobMismatch when `expected` is another
        hash, BlobTooLarge past `limit` bytes, BlobsFull; then nothing of it is kept."""

    async def has(self, name: str) -> bool:
        """Whether the whole blob is here."""

    async def size(self, name: str) -> int:
        """Its size in bytes. Raises BlobMissing."""

    def read(self, name: str, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """Yield the bytes [start, start + length) in pieces of at most 64 KiB."""

    async def get(self, name: str) -> bytes:
        """The whole blob. Raises BlobMissing."""

    @property
    def unfinished(self) -> Unfinished:
        """Blobs on their way here, of which a part has arrived."""

    async def complete(self, key: str, expected: str) -> int:
        """Make a blob of what is unfinished under this key, which is gone from there then; returns
        its size. Raises BlobMismatch when `expected` is another hash, BlobsFull, BlobError."""

    async def delete(self, name: str) -> bool:
        """Overwrite and remove it; returns whether it was here."""

    async def names(self) -> list[str]:
        """All hashes here."""
