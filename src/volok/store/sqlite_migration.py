"""Bringing the file of an older version up to date, in one transaction.

Version 1 kept ids, keys and addresses beside each event and an index for each of them; version 2
one index of all ids.
"""

# ruff: noqa: S608 (what is put into these statements stands in this file)

from __future__ import annotations

from typing import Any

import apsw

from volok.model.supersession import address
from volok.store.sqlite_file import IDS, KEY_OF_EVENT, SCHEMA, VERSION, store_errors, version_of
from volok.store.sqlite_ids import merge, run_of
from volok.store.sqlite_rows import Batch
from volok.store.store import read_event

_AT_ONCE = 1000
_IDS_AT_ONCE = 100_000

_INDEX_IDS = (
    f"INSERT INTO ids SELECT {run_of('e.number', '0')}, {KEY_OF_EVENT}, e.number"
    " FROM events e WHERE e.number > ? AND e.number <= ? ORDER BY 1, 2"
)


def migrate(connection: apsw.Connection) -> bool:
    """Bring the tables up to date; returns whether they were old. Raises StoreError, StoreFull:
    then the file is as it was."""
    with store_errors():
        version = version_of(connection)
        if version == VERSION:
            return False
        with connection:
            if version == 1:
                _from_1(connection)
            else:
                _from_2(connection)
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
        merge(connection, rows[-1][0], _IDS_AT_ONCE)
        connection.execute("DELETE FROM old_events WHERE number <= ?", (rows[-1][0],))
    for table in old:
        connection.execute(f"DROP TABLE old_{table}")


def _next_rows(connection: apsw.Connection) -> list[Any]:
    rows = "SELECT number, raw FROM old_events ORDER BY number LIMIT ?"
    return connection.execute(rows, (_AT_ONCE,)).fetchall()


def _from_2(connection: apsw.Connection) -> None:
    connection.execute(f"DROP TABLE ids; {IDS}")
    after: Any = connection.execute("SELECT min(number) - 1 FROM events").get
    head: int = connection.execute("SELECT head FROM numbers").get
    while after is not None and after < head:
        before, after = after, min(after + _IDS_AT_ONCE, head)
        connection.execute(_INDEX_IDS, (before, after))
        while merge(connection, after, _IDS_AT_ONCE):
            pass
