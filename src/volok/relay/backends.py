"""What a relay keeps its events and blobs in: its own folder, or what a cluster shares."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from volok.relay.errors import RelayError
from volok.relay.export import EVENTS_FILE
from volok.store.blobs import Blobs
from volok.store.file_blobs import FileBlobs
from volok.store.file_seal import FileSeal
from volok.store.soundness import Stats, Verified
from volok.store.sqlite_file import SqliteOptions
from volok.store.sqlite_store import SqliteStore
from volok.store.store import Store

if TYPE_CHECKING:
    from volok.store.postgres_rows import Cipher

OpenStore = Callable[[Path], Awaitable[Store]]
"""Opens the events of a relay, given its folder. Raises StoreError, OSError, RelayError."""
OpenBlobs = Callable[[Path], Blobs]
"""Opens the blobs of a relay, given its folder. Raises BlobError, OSError."""


async def _folder_store(folder: Path) -> Store:
    return await SqliteStore.open(folder / EVENTS_FILE)


def _folder_blobs(folder: Path) -> Blobs:
    return FileBlobs(folder / "blobs")


@dataclass(frozen=True, slots=True)
class Backends:
    """Both; by default the folder alone."""

    store: OpenStore = _folder_store
    blobs: OpenBlobs = _folder_blobs
    seal: FileSeal | None = None
    """For the small files that a relay keeps beside them."""


def for_a_server(store_key: bytes | None = None, seal: FileSeal | None = None) -> Backends:
    """The folder alone, where speed is worth a second process. To encrypt it, `store_key` has 32
    bytes, and `seal` is for blobs and for what is kept beside them."""
    options = SqliteOptions(own_process=True)

    async def open_store(folder: Path) -> Store:
        return await SqliteStore.open(folder / EVENTS_FILE, store_key, options)

    def open_blobs(folder: Path) -> Blobs:
        return FileBlobs(folder / "blobs", seal)

    return Backends(open_store, open_blobs, seal)


@dataclass(frozen=True, slots=True)
class Inspector:
    """Looks at what relays share, while they run. Both raise RelayError."""

    stats: Callable[[], Coroutine[None, None, Stats]]
    verify: Callable[[Path, int], Coroutine[None, None, Verified]]
    """Given the folder that holds the key file, and Unix seconds."""


def backends(
    store: str,
    bus: str,
    blobs: str,
    cipher: Cipher,
    environment: Mapping[str, str],
    folder: Backends | None = None,
) -> Backends:
    """What these addresses name; an empty one names the folder, opened by `folder`.

    `store` is postgresql://…, `bus` nats://… and `blobs` s3://bucket/prefix, whose account stands
    in the `environment` (`volok.store.s3_blobs.s3_file_system`). Raises RelayError.
    """
    own = folder or Backends()
    if not (store or bus or blobs):
        return own
    found: Backends = _cluster().joined(store, bus, blobs, cipher, environment, own)
    return found


def inspector(store: str, cipher: Cipher) -> Inspector:
    """For the store at this postgresql:// address. Raises RelayError."""
    found: Inspector = _cluster().inspector(store, cipher)
    return found


def _cluster() -> ModuleType:
    # Most relays need none of it, and its libraries take a quarter of a second and 20 MB.
    try:
        return import_module("volok.relay.cluster")
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("volok"):
            raise
        raise RelayError(
            "The libraries for clusters are missing. Install them: pip install 'volok[cluster]'"
        ) from error
