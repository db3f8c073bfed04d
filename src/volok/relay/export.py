"""Everything a relay holds as JSON lines, sealed events included, in the order of its log."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import apsw

from volok.relay.errors import RelayError
from volok.store.sqlite_file import SqliteOptions, open_reader, store_errors
from volok.store.store import Store, StoreError

EVENTS_FILE = "events.db"
"""The store inside a relay's data folder."""

_PAGE = 500


async def export_events(store: Store, now: int) -> AsyncIterator[bytes]:
    """Yield the events of an open store, one per line. `now` is in Unix seconds.

    Raises StoreError.
    """
    position = 0
    while entries := await store.log(position, _PAGE, now):
        for entry in entries:
            yield entry.raw + b"\n"
        position = entries[-1].number


def export_folder(data_dir: Path, key: bytes | None = None) -> Iterator[bytes]:
    """Yield the events in a relay's data folder, one per line, also while the relay is running.

    What has expired and is not erased yet is there, too. `key` is that of an encrypted folder.
    Raises RelayError.
    """
    path = data_dir / EVENTS_FILE
    if not path.is_file():
        raise RelayError("There is no relay's data in this folder.")
    try:
        connection = open_reader(path, key, SqliteOptions())
        try:
            # Copying the log into the file is the relay's business: it erases as it goes.
            connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
            with store_errors():
                for (raw,) in connection.execute("SELECT raw FROM events ORDER BY number"):
                    yield raw + b"\n"
        finally:
            connection.close()
    except StoreError as error:
        raise RelayError("The relay's data in this folder cannot be read.") from error
