"""Keeping the words of a SqliteStore's events (NIP-50), a little at a time, behind the intake."""

from __future__ import annotations

from typing import Any

import apsw

from volok.model.search import is_searched
from volok.model.supersession import GIFT_WRAP
from volok.store.sqlite_rows import indexed_text
from volok.store.store import read_event

_AT_ONCE = 100
"""Events whose words go in together: some milliseconds."""

_NEXT = (
    "SELECT number, kind, CASE WHEN kind = ? THEN NULL ELSE raw END FROM events"
    " WHERE number > ? ORDER BY number LIMIT ?"
)


def take_words(connection: apsw.Connection, searched: int) -> int:
    """Put the words of the next events after `searched` into the index; returns how far it got.

    Inside a transaction of the caller. Raises apsw.Error.
    """
    rows: list[Any] = connection.execute(_NEXT, (GIFT_WRAP, searched, _AT_ONCE)).fetchall()
    if not rows:
        return searched
    texts = [
        (number, text)
        for number, kind, raw in rows
        if is_searched(kind) and (text := indexed_text(read_event(raw)))
    ]
    connection.executemany("INSERT INTO texts (rowid, text) VALUES (?, ?)", texts)
    connection.execute("UPDATE numbers SET searched = ?", (rows[-1][0],))
    return int(rows[-1][0])
