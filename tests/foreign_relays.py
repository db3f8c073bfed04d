"""Relays that others wrote, started at their stock settings but for port and place."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import nostr_relay
import yaml
from nostr_sdk import (
    LocalRelayBuilder,
    LocalRelayBuilderNip42,
    LocalRelayBuilderNip42Mode,
    RateLimit,
)
from tests.sync.world import free_port


@contextlib.asynccontextmanager
async def local_relay(
    nip42: bool = False, auth_dm: bool = False, quick: bool = False
) -> AsyncIterator[str]:
    """The URL of a LocalRelay of nostr-sdk; `quick` lifts its limit of 60 events a minute."""
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


@contextlib.contextmanager
def nostr_relay_process(folder: Path) -> Iterator[str]:
    """The URL of nostr-relay, which keeps its database in `folder`."""
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
