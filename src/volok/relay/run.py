"""A relay over a folder: what `volok relay` and the demo run."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import shutil
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from volok.model.crypto import Verifier
from volok.relay.asgi import create_app
from volok.relay.backends import Backends
from volok.relay.folder import own, stated_errors
from volok.relay.front_door import FrontDoor, load_site
from volok.relay.ingest import Judge
from volok.relay.link import SECRET_FILE
from volok.relay.management_state import FILE, StateFile
from volok.relay.metrics import Metrics
from volok.relay.observing import Health, observed
from volok.relay.plugin import Plugin
from volok.relay.server import Address, serve
from volok.relay.settings import RelaySettings
from volok.relay.uploads import Uploads
from volok.relay.verifying import Verifying


@contextlib.asynccontextmanager
async def run_relay(
    host: str,
    port: int,
    data_dir: Path,
    settings: RelaySettings,
    verifier: Verifier,
    clock: Callable[[], float] = time.time,
    metrics: Metrics | None = None,
    *,
    tls: ssl.SSLContext | None = None,
    cover: Path | None = None,
    listener: socket.socket | None = None,
    metrics_port: int | None = None,
    wait: float = 0.0,
    plugin: str = "",
    backends: Backends | None = None,
    verifying: Verifying | None = None,
) -> AsyncIterator[Address]:
    """Run a relay until the block is left. Port 0 lets the system choose; `clock` gives Unix
    seconds. `data_dir` is made if needed and used by one relay at a time; `wait` is how many
    seconds another one has to let go of it. `tls` is the context of `volok.relay.tls`, for a relay
    that speaks TLS itself. With a secret path in the settings, strangers see the website in the
    folder `cover`, or a page that says nothing. `listener` is a socket that listens already, in
    place of host and port. At `metrics_port` of the loopback address stand /metrics and /health.
    `plugin` is the command of a write policy plug-in (`volok.relay.plugin`). `backends` open what
    the relay keeps events and blobs in, if that is not the folder. `verifying` checks the
    signatures of events, if threads are not to do it; the caller closes it.

    Raises PortInUse, RelayError.
    """
    counters = metrics or Metrics()
    async with contextlib.AsyncExitStack() as stack:
        with stated_errors():
            stack.enter_context(await own(data_dir, wait))
            opening = backends or Backends()
            blobs = await asyncio.to_thread(opening.blobs, data_dir)
            managed = StateFile(data_dir / FILE, opening.seal)
            uploads = Uploads(data_dir / "uploads.bin", opening.seal)
            stack.callback(uploads.close)
            store = await opening.store(data_dir)
            stack.push_async_callback(store.close)
        judge: Judge | None = None
        if plugin:
            policy = Plugin(plugin, settings.plugin_seconds, lambda: int(clock()), counters)
            stack.push_async_callback(policy.close)
            judge = policy.judge
        app = create_app(
            store,
            verifier,
            settings,
            blobs=blobs,
            uploads=uploads,
            clock=clock,
            metrics=counters,
            managed=managed,
            free=lambda: shutil.disk_usage(data_dir).free,
            judge=judge,
            verifying=verifying,
        )
        if metrics_port is not None:
            health = Health(store, counters, time.monotonic)
            await stack.enter_async_context(observed(metrics_port, counters, health.is_well))
        door = await asyncio.to_thread(_front_door, settings, data_dir, cover, clock)
        yield await stack.enter_async_context(serve(app, host, port, settings, tls, door, listener))


def _front_door(
    settings: RelaySettings, data_dir: Path, cover: Path | None, clock: Callable[[], float]
) -> FrontDoor | None:
    if not settings.secret_path:
        return None
    try:  # a page that was changed at every start would be no page
        date = (data_dir / SECRET_FILE).stat().st_mtime
    except OSError:
        date = clock()
    digest = hashlib.sha256(settings.secret_path.encode()).digest()
    return FrontDoor(load_site(cover, date), digest, clock)
