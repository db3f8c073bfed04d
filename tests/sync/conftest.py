"""Nodes and relays for the tests of sync."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nostr_relay
import pytest
import yaml
from nostr_sdk import (
    LocalRelayBuilder,
    LocalRelayBuilderNip42,
    LocalRelayBuilderNip42Mode,
    RateLimit,
)
from tests.sync.world import CRYPTO, MemoryDeliveries, Node, OurRelay, free_port

from volok.paths.direct import DirectPath
from volok.store.file_blobs import FileBlobs
from volok.store.memory_store import MemoryStore
from volok.sync.engine import Engine
from volok.sync.settings import SyncSettings


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

    @contextlib.asynccontextmanager
    async def run(
        nip42: bool = False, auth_dm: bool = False, quick: bool = True
    ) -> AsyncIterator[str]:
        builder = LocalRelayBuilder()
        if nip42:
            mode = LocalRelayBuilderNip42Mode.BOTH
            builder = builder.nip42(LocalRelayBuilderNip42(mode=mode))
        if auth_dm:
            builder = builder.auth_dm(True)
        if quick:
            builder = builder.rate_limit(RateLimit(max_reqs=500, notes_per_minute=100_000))
        relay = builder.build()
        await relay.run()
        try:
            yield str(await relay.url())
        finally:
            relay.shutdown()

    return run


@pytest.fixture(scope="session")
def nostr_relay_url(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The URL of nostr-relay at its stock settings, but for port and place of the database."""
    folder = tmp_path_factory.mktemp("nostr-relay")
    port = free_port()
    stock = Path(nostr_relay.__file__).with_name("config.yaml")
    config = yaml.safe_load(stock.read_text())
    config["gunicorn"]["bind"] = f"127.0.0.1:{port}"
    config["gunicorn"]["control_socket_disable"] = True
    config["storage"]["sqlalchemy.url"] = f"sqlite+aiosqlite:///{folder}/nostr.sqlite3"
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    command = [sys.executable, "-c", "from nostr_relay.cli import main; main()"]
    process = subprocess.Popen(
        [*command, "-c", str(folder / "config.yaml"), "serve"],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 30
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            assert process.poll() is None, "nostr-relay did not start"
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield f"ws://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)
