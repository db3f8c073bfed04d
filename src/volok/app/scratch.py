"""A private folder for files on their way between the browser and the node."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

_PIECE = 256 * 1024


class FolderScratch:
    """`Scratch` of the web app in one folder, which its owner makes and removes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def new(self) -> Path:
        """A fresh path; nothing is there yet."""
        return self._folder / secrets.token_hex(16)

    async def write(self, path: Path, data: AsyncIterator[bytes]) -> None:
        """Store what arrives. Raises OSError; what was written is then the caller's to remove."""
        file = await asyncio.to_thread(path.open, "xb")
        try:
            async for piece in data:
                await asyncio.to_thread(file.write, piece)
        finally:
            await asyncio.to_thread(file.close)

    async def read(self, path: Path) -> AsyncIterator[bytes]:
        """Yield the bytes in pieces. Raises OSError."""
        file = await asyncio.to_thread(path.open, "rb")
        try:
            while piece := await asyncio.to_thread(file.read, _PIECE):
                yield piece
        finally:
            file.close()

    async def remove(self, path: Path) -> None:
        """Remove it; missing is fine."""
        await asyncio.to_thread(path.unlink, True)
