"""The index of ids of a SQLite store, kept in runs.

Ids come in no order: in one tree of all of them every new one changes a page that nothing else
changes, and that has left memory when they are many. So an event is indexed among those that came
with it: the ids of 2**14 neighbouring numbers are one run, of few pages. Eight neighbouring runs
that are full are merged into one of the next level, a piece at a time and in the order of ids, as
events come in (O'Neil et al., The Log-Structured Merge-Tree, 1996). To find an id is to look into
each run: at most eight of a level, and those of the level that is being merged.

What is stored about merging is the runs alone: what is due follows from them and from the head.
"""

# ruff: noqa: S608 (what is put into these statements stands in this file)

from __future__ import annotations

from array import array
from typing import Any

import apsw

from volok.store.sqlite_file import KEY_OF_EVENT

LEVELS = 5
"""Runs of the last have 2**26 entries and are merged no further."""
_FIRST_BITS = 14
_MORE_BITS = 3
_LEVEL_BITS = 28
"""The number of a run is that of its level, then that of its entries without their last bits."""

_PIECE = 128
"""Entries of each run that are looked at to move a piece."""
MOVED_PER_EVENT = 2 * (LEVELS - 1)
"""How many entries are to be moved for each event that comes in: twice as often as each has to move
itself, so that nothing is left behind."""


def _bits(level: int) -> int:
    return _FIRST_BITS + _MORE_BITS * level


def run_of(number: str, level: str) -> str:
    """SQL that says in which run of a level an entry is."""
    bits = f"({_FIRST_BITS} + {_MORE_BITS} * {level})"
    return f"(({level} << {_LEVEL_BITS}) + ({number} >> {bits}))"


# The largest first: there most ids are found.
ALL_RUNS = (
    "WITH RECURSIVE runs (run) AS MATERIALIZED (SELECT max(run) FROM ids UNION ALL"
    " SELECT (SELECT max(i.run) FROM ids i WHERE i.run < r.run) FROM runs r WHERE r.run NOT NULL)"
)
"""SQL of the table `runs`, which has the numbers of all runs there are in its column `run`."""


def number_of(key: str) -> str:
    """SQL of the number to which an id leads, of which `key` is the first 16 bytes; it comes after
    `ALL_RUNS`."""
    return (
        f"(SELECT i.number FROM runs r CROSS JOIN ids i ON i.run = r.run AND i.id = {key} LIMIT 1)"
    )


EVENT_OF = f"{ALL_RUNS} SELECT e.number, e.raw FROM events e WHERE e.number = {number_of('?')}"
"""SQL of the number and the JSON of the event whose id begins with these 16 bytes."""

EVENTS_OF = (
    f"{ALL_RUNS} SELECT e.number, e.raw FROM carray(:keys) c"
    f" CROSS JOIN events e ON e.number = {number_of('c.value')}"
)
"""SQL of the same for many ids."""

_HOME = ", ".join(run_of("e.number", str(level)) for level in range(LEVELS))
ENTRY_OF = f"(SELECT i.number FROM ids i WHERE i.run IN ({_HOME}) AND i.id = {KEY_OF_EVENT})"
"""SQL of the number to which the id of an event `e` leads; null where it leads nowhere."""

_LOWEST = "SELECT min(run) FROM ids WHERE run >= ? AND run < ?"
_UP_TO = (
    "SELECT min(id) FROM (SELECT (SELECT i.id FROM ids i WHERE i.run = r.value"
    f" ORDER BY i.id LIMIT 1 OFFSET {_PIECE - 1}) AS id FROM carray(?) r)"
)
_PIECES = "FROM carray(?) r CROSS JOIN ids i ON i.run = r.value AND i.id <= ?"
_MOVE = f"INSERT OR IGNORE INTO ids SELECT ?, i.id, i.number {_PIECES} ORDER BY 2"
_LEAVE = f"DELETE FROM ids WHERE (run, id) IN (SELECT i.run, i.id {_PIECES})"
_LAST_ID = b"\xff" * 16


def merge(connection: apsw.Connection, head: int, budget: int) -> int:
    """Move about `budget` entries of runs that are due, some more or fewer; returns how many were
    moved, 0 when none is due. Belongs into a transaction. Raises apsw.Error."""
    moved = 0
    for level in range(LEVELS - 1):
        while moved < budget and (group := _due(connection, head, level)) is not None:
            moved += _move_piece(connection, group, level)
    return moved


def _due(connection: apsw.Connection, head: int, level: int) -> int | None:
    """The oldest group of runs of a level that all that belongs there has come into."""
    base = level << _LEVEL_BITS
    lowest: Any = connection.execute(_LOWEST, (base, base + (1 << _LEVEL_BITS))).get
    if lowest is None:
        return None
    group = int(lowest - base) >> _MORE_BITS
    return group if group < head >> _bits(level + 1) else None


def _move_piece(connection: apsw.Connection, group: int, level: int) -> int:
    first = (level << _LEVEL_BITS) + (group << _MORE_BITS)
    runs = apsw.carray(array("q", range(first, first + (1 << _MORE_BITS))))
    last = connection.execute(_UP_TO, (runs,)).get or _LAST_ID
    connection.execute(_MOVE, ((level + 1 << _LEVEL_BITS) + group, runs, last))
    connection.execute(_LEAVE, (runs, last))
    return connection.changes()
