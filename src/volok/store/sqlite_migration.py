"""Bringing the file of an older version up to date, in one transaction.

Version 1 kept ids, keys and addresses beside each event and an index for each of them.
"""

from __future__ import annotations

from typing import Any

import apsw

from volok.model.supersession import address
from volok.store.sqlite_file import SCHEMA, VERSION, store_errors, version_of
from volok.store.sqlite_rows import Batch
from volok.store.store import read_event

_AT_ONCE = 1000


def migrate(connection: apsw.Connection) -> bool:
    """Bring the tables up to date; returns whether they were old. Raises StoreError, StoreFull:
    then the file is as it was."""
    with store_errors():
        if version_of(connection) != 1:
            return False
        with connection:
            _from_1(connection)
            connection.pragma("user_version", VERSION)
    return True


def _from_1(connection: apsw.Connection) -> None:
    old = ("events", "tags", "tombstones", "floors", "numbers")
    for index in ("by_id", "by_author", "by_kind", "by_time", "by_place", "by_expiry"):
        connection.execute(f"DROP INDEX {index}")
    for table in old:
        connection.execute(f"ALTER TABLE {table} RENAME TO old_{table}")
    connection.execute(SCHEMA)
    connection.execute("INSERT INTO tombstones SELECT * FROM old_tombstones")
    connection.execute("INSERT INTO floors SELECT * FROM old_floors")
    connection.execute(
        "UPDATE numbers SET (head, reserved) = (SELECT head, reserved FROM old_numbers)"
    )
    batch = Batch()
    while rows := _next_rows(connection):
        for number, raw in rows:
            event = read_event(raw)
            batch.add(number, event, address(event))
        batch.insert(connection)
        connection.execute("DELETE FROM old_events WHERE number <= ?", (rows[-1][0],))
    for table in old:
        connection.execute(f"DROP TABLE old_{table}")


def _next_rows(connection: apsw.Connection) -> list[Any]:
    rows = "SELECT number, raw FROM old_events ORDER BY number LIMIT ?"
    return connection.execute(rows, (_AT_ONCE,)).fetchall()
