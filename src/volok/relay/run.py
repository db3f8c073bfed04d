"""A relay over a folder: what `volok relay` and the demo run."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

from volok.model.crypto import Verifier
from volok.relay.asgi import create_app
from volok.relay.errors import RelayError
from volok.relay.export import EVENTS_FILE
from volok.relay.front_door import FrontDoor, load_site
from volok.relay.link import SECRET_FILE
from volok.relay.metrics import Metrics
from volok.relay.server import Address, serve
from volok.relay.settings import RelaySettings
from volok.relay.uploads import Uploads
from volok.store.blobs import BlobError
from volok.store.file_blobs import FileBlobs
from volok.store.secure_files import HomeLock
from volok.store.sqlite_store import SqliteStore
from volok.store.store import StoreError, StoreFull
from volok.store.vault import VaultBusy


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
) -> AsyncIterator[Address]:
    """Run a relay until the block is left. Port 0 lets the system choose; `clock` gives Unix
    seconds. `data_dir` is made if needed and used by one relay at a time. `tls` is the context of
    `volok.relay.tls`, for a relay that speaks TLS itself. With a secret path in the settings,
    strangers see the website in the folder `cover`, or a page that says nothing.

    Raises PortInUse, RelayError.
    """
    async with contextlib.AsyncExitStack() as stack:
        with _stated_errors():
            stack.enter_context(_own(data_dir))
            blobs = FileBlobs(data_dir / "blobs")
            uploads = Uploads(data_dir / "uploads.bin")
            stack.callback(uploads.close)
            store = await SqliteStore.open(data_dir / EVENTS_FILE)
            stack.push_async_callback(store.close)
        app = create_app(
            store, verifier, settings, blobs=blobs, uploads=uploads, clock=clock, metrics=metrics
        )
        door = await asyncio.to_thread(_front_door, settings, data_dir, cover, clock)
        yield await stack.enter_async_context(serve(app, host, port, settings, tls, door))


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


def _own(data_dir: Path) -> HomeLock:
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    return HomeLock(data_dir)


@contextlib.contextmanager
def _stated_errors() -> Iterator[None]:
    try:
        yield
    except VaultBusy as error:
        raise RelayError(
            "Another relay uses this data folder. Stop it, or choose another folder."
        ) from error
    except StoreFull as error:
        raise RelayError("The disk is full. Free some space and start the relay again.") from error
    except (StoreError, BlobError) as error:
        raise RelayError(
            "The data folder holds something that is no relay's, or is from a newer version."
        ) from error
    except OSError as error:
        raise RelayError("The data folder cannot be written. Choose another folder.") from error
