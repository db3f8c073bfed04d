"""A relay's data folder: who may use it, and its keys where it is encrypted.

An encrypted folder holds `keyslot.json` (see `volok.store.keyslot`): the master key, wrapped under
a passphrase that is typed at each start and kept nowhere. Events and blobs each have a key that is
derived from it. What clients know the relay by (the key of its certificate, its secret path, its
onion service) is not under it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from volok.model.crypto import Crypto, hkdf
from volok.relay.backends import OpenStore
from volok.relay.errors import RelayError
from volok.relay.export import EVENTS_FILE
from volok.store.blobs import BlobError
from volok.store.keyslot import STORE_LABEL, KeySlot
from volok.store.secure_files import HomeLock
from volok.store.sqlite_store import SqliteStore
from volok.store.store import Store, StoreError, StoreFull
from volok.store.vault import VaultBusy, VaultError, WrongPassphrase

SLOT_FILE = "keyslot.json"
BLOBS_LABEL = b"volok relay blobs v1"

Ask = Callable[[bool], str]
"""Gives the passphrase; True asks for a new one."""

_LOOK_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class FolderKeys:
    """The keys of a folder, 32 bytes each; None for one that is not encrypted."""

    store: bytes | None = None
    blobs: bytes | None = None


def unlocked(data_dir: Path, crypto: Crypto, ask: Ask, encrypt: bool = False) -> FolderKeys:
    """The keys of a folder. With `encrypt`, a folder that is new becomes an encrypted one.

    Takes a fraction of a second of all cores: call it off the loop, with the folder's lock held.
    Raises RelayError, and what `ask` raises.
    """
    slot = KeySlot(data_dir / SLOT_FILE, crypto)
    try:
        if slot.exists():
            master = slot.unlock(ask(False))
        elif not encrypt:
            return FolderKeys()
        elif (data_dir / EVENTS_FILE).exists() or (data_dir / "blobs").exists():
            raise RelayError(
                "This folder holds a relay's data already, and it is not encrypted. Start with an "
                "empty folder, and bring the events over with volok relay export and import."
            )
        else:
            data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            master = slot.create(ask(True))
    except WrongPassphrase as error:
        raise RelayError("The passphrase is wrong. Try again.") from error
    except (VaultError, OSError, ValueError) as error:
        raise RelayError(f"The folder cannot be unlocked. {error}") from error
    return FolderKeys(hkdf(master, STORE_LABEL), hkdf(master, BLOBS_LABEL))


async def own(data_dir: Path, wait: float = 0.0) -> HomeLock:
    """The right to use the folder, which is made if needed. Raises VaultBusy when another still
    has it after so many seconds, OSError."""
    await asyncio.to_thread(data_dir.mkdir, mode=0o700, parents=True, exist_ok=True)
    deadline = time.monotonic() + wait
    while True:
        try:
            return HomeLock(data_dir)
        except VaultBusy:
            if time.monotonic() >= deadline:
                raise
        await asyncio.sleep(_LOOK_SECONDS)


@contextlib.contextmanager
def stated_errors() -> Iterator[None]:
    """Turn the errors of opening a folder into a RelayError."""
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


@contextlib.asynccontextmanager
async def stopped(data_dir: Path) -> AsyncIterator[None]:
    """Have the folder to oneself. Raises RelayError when its relay runs."""
    try:
        with stated_errors():
            lock = await own(data_dir)
    except RelayError as error:
        if isinstance(error.__cause__, VaultBusy):
            raise RelayError("A relay uses this data folder. Stop it, then try again.") from error
        raise
    with lock:
        yield


@contextlib.asynccontextmanager
async def folder_store(
    data_dir: Path, crypto: Crypto, ask: Ask, *, create: bool = False
) -> AsyncIterator[Store]:
    """The events of a folder whose relay is stopped. With `create`, a folder that is no relay's yet
    becomes one. Raises RelayError."""
    if not create and not (data_dir / EVENTS_FILE).is_file():
        raise RelayError("There is no relay's data in this folder.")
    async with stopped(data_dir):
        keys = await asyncio.to_thread(unlocked, data_dir, crypto, ask)
        with stated_errors():
            store = await SqliteStore.open(data_dir / EVENTS_FILE, keys.store)
        async with _used(store, "The relay's data in this folder cannot be used."):
            yield store


@contextlib.asynccontextmanager
async def shared_store(data_dir: Path, open_store: OpenStore) -> AsyncIterator[Store]:
    """The events that several relays share, while they run; the folder holds the key file, and its
    own relay is stopped. `open_store`: see `volok.relay.backends.backends`. Raises RelayError."""
    async with stopped(data_dir):
        with stated_errors():
            store = await open_store(data_dir)
        async with _used(store, "The database does not answer any more. Start again."):
            yield store


@contextlib.asynccontextmanager
async def _used(store: Store, problem: str) -> AsyncIterator[None]:
    try:
        yield
    except StoreFull as error:
        raise RelayError("The disk is full. Free some space and start again.") from error
    except StoreError as error:
        raise RelayError(problem) from error
    finally:
        await store.close()
