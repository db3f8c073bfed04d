"""What the relays of a cluster share: PostgreSQL, NATS, S3-compatible storage (ADR 30)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from volok.relay.backends import Backends, Inspector
from volok.relay.errors import RelayError
from volok.store import postgres_inspection
from volok.store.blobs import Blobs
from volok.store.bus import BusError
from volok.store.key_file import KEY_FILE, WrongKeyFile
from volok.store.nats_bus import NatsBus
from volok.store.postgres_rows import Cipher
from volok.store.postgres_store import PostgresStore
from volok.store.s3_blobs import S3Blobs, bucket_path, s3_file_system
from volok.store.soundness import Stats, Verified
from volok.store.store import Store, StoreError

_SCHEMES = ("postgresql://", "postgres://")


def inspector(store: str, cipher: Cipher) -> Inspector:
    """See `volok.relay.backends.inspector`. Raises RelayError."""
    _check_address(store)

    async def stats() -> Stats:
        with _database_errors():
            return await postgres_inspection.stats(store)

    async def verify(folder: Path, now: int) -> Verified:
        with _database_errors():
            return await postgres_inspection.verify(store, folder, now, cipher)

    return Inspector(stats, verify)


def _check_address(store: str) -> None:
    if not store.startswith(_SCHEMES):
        raise RelayError("The store has to be an address like postgresql://host/database.")


@contextmanager
def _database_errors() -> Iterator[None]:
    try:
        yield
    except WrongKeyFile as error:
        raise RelayError(
            f"This database belongs to relays with another key. Copy {KEY_FILE} from the "
            "data folder of one of them into this one, over an encrypted connection."
        ) from error
    except StoreError as error:
        raise RelayError(
            "The database cannot be reached, or is from a newer version. "
            "Check the address, and that the server is up."
        ) from error


def joined(
    store: str,
    bus: str,
    blobs: str,
    cipher: Cipher,
    environment: Mapping[str, str],
    own: Backends,
) -> Backends:
    """See `volok.relay.backends.backends`. Raises RelayError."""
    if store:
        _check_address(store)
    if bus and not store:
        raise RelayError("A bus joins relays that share a store: add --store postgresql://…")
    try:
        if bus:
            NatsBus(bus)
        bucket = bucket_path(blobs) if blobs else ""
    except BusError as error:
        raise RelayError(str(error)) from error
    except ValueError as error:
        raise RelayError("Blobs go to an address like s3://bucket/prefix.") from error

    async def open_store(folder: Path) -> Store:
        with _database_errors():
            return await PostgresStore.open(store, folder, cipher, NatsBus(bus) if bus else None)

    def open_blobs(folder: Path) -> Blobs:
        return S3Blobs(s3_file_system(environment), bucket, folder / "uploading", cipher.random)

    return Backends(
        open_store if store else own.store, open_blobs if blobs else own.blobs, own.seal
    )
