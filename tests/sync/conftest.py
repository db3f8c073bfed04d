"""Nodes and relays for the tests of sync."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests import foreign_relays
from tests.own_time import pytest_asyncio_loop_factories
from tests.sync.world import CRYPTO, MemoryDeliveries, Node, OurRelay

from volok.paths.direct import DirectPath
from volok.store.file_blobs import FileBlobs
from volok.store.memory_store import MemoryStore
from volok.sync.engine import Engine
from volok.sync.settings import SyncSettings

__all__ = ["pytest_asyncio_loop_factories"]


@pytest.fixture
async def make_node(tmp_path: Path) -> AsyncIterator[Callable[..., Node]]:
    """Make nodes with changed settings."""
    paths: list[DirectPath] = []

    def make(**changes: Any) -> Node:
        store, deliveries, path = MemoryStore(), MemoryDeliveries(), DirectPath()
        blobs = FileBlobs(tmp_path / f"blobs-{len(paths)}")
        paths.append(path)
        settings = replace(SyncSettings(), **changes)
        engine = Engine(store, blobs, deliveries, path, CRYPTO, time.time, settings)
        return Node(engine, store, blobs, deliveries, path)

    yield make
    for path in paths:
        await path.close()


@pytest.fixture
def our_relay(tmp_path: Path) -> OurRelay:
    """A relay of ours, not running yet."""
    return OurRelay(tmp_path / "relay-blobs")


@pytest.fixture
def local_relay() -> Callable[..., Any]:
    """Run the LocalRelay of nostr-sdk. Its rate limit of 60 events a minute is the only setting
    that tests may lift."""
    return partial(foreign_relays.local_relay, quick=True)


@pytest.fixture(scope="session")
def nostr_relay_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of nostr-relay at its stock settings, but for port and place of the database."""
    with foreign_relays.nostr_relay_process(tmp_path_factory.mktemp("nostr-relay")) as url:
        yield url
