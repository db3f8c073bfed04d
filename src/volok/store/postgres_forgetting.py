"""Erasing the keys of what has left a PostgresStore: here, whoever erased it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg  # type: ignore[import-untyped]

from volok.store.key_file import KeyFile
from volok.store.store import StoreError

Erasures = tuple[int, list[int]]
"""The last erasure there was, and the numbers of what was erased."""

Read = Callable[[Callable[[asyncpg.Connection], Awaitable[Erasures]]], Awaitable[Any]]
"""Lends a connection. Raises StoreError."""


class Forgetting:
    """Follows the erasures of one database with one key file. Belongs to one event loop."""

    def __init__(self, keys: KeyFile, read: Read) -> None:
        self._keys = keys
        self._read = read
        self._lock = asyncio.Lock()

    async def run(self) -> None:
        """Erase the keys of what was erased, by whatever process, up to now. Raises StoreError."""
        async with self._lock:
            position, numbers = await self._read(self._erasures)
            if position == self._keys.position:
                return
            self._keys.erase(numbers)
            writing = asyncio.ensure_future(asyncio.to_thread(self._keys.write, position))
            try:
                await asyncio.shield(writing)
            except asyncio.CancelledError:
                await asyncio.wait((writing,))
                raise
            except OSError as error:
                raise StoreError from error

    async def close(self) -> None:
        """Close the key file."""
        async with self._lock:
            self._keys.close()

    async def _erasures(self, connection: asyncpg.Connection) -> Erasures:
        (last,) = await connection.fetchrow("SELECT erased FROM store")
        # A database that was restored from an older copy counts anew.
        after = self._keys.position if self._keys.position <= last else 0
        found = await connection.fetch(
            "SELECT numbers FROM erasures WHERE seq > $1 AND seq <= $2", after, last
        )
        return last, [number for (numbers,) in found for number in numbers]
