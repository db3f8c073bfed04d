"""What a blob store is: bytes named by their SHA-256 (Blossom)."""

from __future__ import annotations

from collections.abc import AsyncIterator
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

    async def delete(self, name: str) -> bool:
        """Overwrite and remove it; returns whether it was here."""

    async def names(self) -> list[str]:
        """All hashes here."""
