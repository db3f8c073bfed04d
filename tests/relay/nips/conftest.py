"""The relay of these tests keeps its events where `volok relay` keeps them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from volok.store.sqlite_store import SqliteStore
from volok.store.store import Store


@pytest.fixture
def make_store() -> Callable[[Path], Awaitable[Store]]:
    """Opens the store of a relay, given its folder; settings apart, of the same relay again."""
    opened = 0

    async def make_store(folder: Path) -> Store:
        nonlocal opened
        opened += 1
        return await SqliteStore.open(folder / f"events{opened}.db")

    return make_store
