"""Pages of rows and events of SQLite: what the answers of `sqlite_query` are made of.

1. A statement answers with one row, its columns put together as text: to step once per row would
   take and give back the interpreter's lock each time.
2. SQL is put together from constants of this file; whatever came from outside is bound.
"""

# ruff: noqa: S608 (rule 2)

from __future__ import annotations

from array import array
from collections.abc import Generator, Iterable, Sequence
from typing import NamedTuple

import apsw

from volok.model.filters import Filter
from volok.store.sqlite_drive import Ask, Bindings, Drive, Rows, bounds_of, conditions_of
from volok.store.sqlite_file import tie_of
from volok.store.store import Entry, Visibility

LOOK = 2000
"""Rows of an index that one statement looks at."""

FETCH = 512
"""Events that one statement reads: a page of a REQ, and one to tell whether there are more."""

MERGED = 16
"""Keys of an index that one statement merges."""


class Found(NamedTuple):
    """The place of one event in the order of NIP-01: the highest comes first."""

    created_at: int
    tie: int
    number: int


def cursor(below: Found) -> Bindings:
    """What `Drive.next_rows` and `Drive.merged_rows` call the place below which they go on."""
    return {
        "below": below.created_at,
        "below_tie": below.tie,
        "below_number": below.number,
    }


def last_looked_at(rows_of: str, page: Bindings) -> Generator[Ask, Rows, Found | None]:
    """Where a page of rows ended; None when there were no more of them."""
    rows = yield Ask(
        f"SELECT created_at, tie, number FROM ({rows_of} LIMIT 1 OFFSET :look - 1)", page
    )
    return Found(*rows[0]) if rows else None


def place_of(entry: Entry) -> Found:
    """The place of an event that was read."""
    return Found(entry.event.created_at, tie_of(entry.event.id), entry.number)


def read_all(numbers: Sequence[int]) -> Generator[Ask, Rows, list[Entry]]:
    """These events, in this order."""
    result: list[Entry] = []
    for start in range(0, len(numbers), FETCH):
        result += yield from _read(numbers[start : start + FETCH])
    return result


def _read(numbers: Iterable[int]) -> Generator[Ask, Rows, list[Entry]]:
    """These events, in this order."""
    return (
        yield from page_of(
            "FROM (SELECT e.number, e.raw FROM carray(:numbers) c"
            " CROSS JOIN events e ON e.number = c.value LIMIT -1)",
            {"numbers": apsw.carray(array("q", numbers))},
        )
    )


def page_of(rows: str, bindings: Bindings) -> Generator[Ask, Rows, list[Entry]]:
    """The events of these rows, which have a `number` and a `raw`, in their order."""
    # Canonical JSON holds no line feed: strings escape it.
    columns = "group_concat(number, ' '), CAST(group_concat(CAST(raw AS TEXT), char(10)) AS BLOB)"
    ((numbers, raws),) = yield Ask(f"SELECT {columns} {rows}", bindings)
    if numbers is None:
        return []
    return list(map(Entry, map(int, numbers.split()), raws.split(b"\n")))


def merged(
    drive: Drive, wanted: Filter, limit: int, now: int, visible: Visibility | None
) -> Generator[Ask, Rows, list[Entry]]:
    """The newest events that match a filter, which a drive of at most `MERGED` keys answers.

    SQLite merges the keys and reads the events as it goes along: what Python puts in order is
    looked up twice, and each place becomes a value.
    """
    conditions, bindings = conditions_of(wanted, drive, now, visible)
    bindings |= bounds_of(wanted) | drive.merged_keys
    look = limit if not conditions else max(limit, 100)
    below = Found(bindings["until"] + 1, -1, -1)
    result: list[Entry] = []
    while len(result) < limit:
        most = min(limit - len(result), FETCH)
        page = bindings | cursor(below) | {"look": min(look, LOOK), "most": most}
        got = yield from page_of(
            f"FROM (SELECT e.number, e.raw FROM ({drive.merged_rows} LIMIT :look) s"
            " CROSS JOIN events e ON e.number = s.number"
            f" WHERE (e.expires_at IS NULL OR e.expires_at > :now){conditions} LIMIT :most)",
            page,
        )
        result += got
        if len(result) >= limit:
            break
        if len(got) == most:
            below = place_of(got[-1])
            continue
        last = yield from last_looked_at(drive.merged_rows, page)
        if last is None:
            break
        below, look = last, look * 4
    return result
