"""Answering filters from SQLite: which index drives, and the merge of what it yields.

1. A filter is answered by one index, driven by the keys that the filter names for it: its ids, the
   addresses it pins down, one of its tags, its authors, its kinds; else by time. What the filter
   says besides is a condition on the rows.
2. Where several indexes could drive, each is asked how many rows it has for the filter, up to a
   bound; the one with the fewest drives.
3. Keys are read one after the other, newest first. Once as many rows are found as are wanted, the
   oldest of these bounds what the next key is asked for.
4. SQL is put together from constants of this file; whatever came from outside is bound.
"""

# ruff: noqa: S608 (rule 4)

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

import apsw

from volok.model.filters import Filter
from volok.model.supersession import Lifetime, lifetime
from volok.store.sqlite_file import index_key

_PROBE = 200
"""Rows of an index that are counted before it is given up for another."""

_EVER = 2**62
"""Later than any created_at, and more than any number of rows."""

Bindings = dict[str, Any]
"""Names to what SQLite can bind."""


class Row(NamedTuple):
    """One event as a query reads it."""

    number: int
    created_at: int
    id: bytes
    raw: bytes

    @property
    def place(self) -> tuple[int, bytes]:
        """Sorts newest first, then by id (NIP-01)."""
        return -self.created_at, self.id


@dataclass(frozen=True, slots=True)
class _Drive:
    """One way to answer a filter: an index, and the keys to ask it for."""

    index: str
    key: str
    """The condition on `:key`."""
    keys: Sequence[int | bytes | None]
    covers: frozenset[str] = frozenset()
    """The conditions of the filter that the keys imply."""

    @property
    def source(self) -> str:
        """What one key has: in it, `e` is the event and `i` the indexed row, where they differ."""
        if self.index == "tags":
            return f"tags i CROSS JOIN events e ON e.number = i.number WHERE {self._bounds('i')}"
        return f"events e INDEXED BY {self.index} WHERE {self._bounds('e')}"

    @property
    def order(self) -> str:
        return "i.created_at DESC, e.id" if self.index == "tags" else "e.created_at DESC, e.id"

    @property
    def probe(self) -> str:
        """How many rows of the index one key has, up to `:most`."""
        table = "tags i" if self.index == "tags" else f"events i INDEXED BY {self.index}"
        rows = f"SELECT 1 FROM {table} WHERE {self._bounds('i')} LIMIT :most"
        return f"SELECT count(*) FROM ({rows})"

    def _bounds(self, alias: str) -> str:
        return f"{self.key} AND {alias}.created_at BETWEEN :since AND :until"


def newest(
    connection: apsw.Connection, filters: Sequence[Filter], limit: int, now: int
) -> list[Row]:
    """The newest `limit` events that match any filter, each filter's own limit honoured."""
    found: dict[int, Row] = {}
    for wanted in filters:
        most = limit if wanted.limit is None else min(limit, wanted.limit)
        if most > 0 and _is_satisfiable(wanted):
            found |= {row.number: row for row in _newest(connection, wanted, most, now)}
    return sorted(found.values(), key=lambda row: row.place)[: max(limit, 0)]


def numbers(connection: apsw.Connection, filters: Sequence[Filter], now: int) -> set[int]:
    """The numbers of all events that match any filter; `limit` is no condition here."""
    found: set[int] = set()
    for wanted in filters:
        if _is_satisfiable(wanted):
            drive = _drive(connection, wanted)
            conditions, bindings = _conditions(wanted, drive.covers, now)
            sql = f"SELECT e.number FROM {drive.source}{conditions}"
            for key in drive.keys:
                found.update(n for (n,) in connection.execute(sql, bindings | {"key": key}))
    return found


def _newest(connection: apsw.Connection, wanted: Filter, limit: int, now: int) -> list[Row]:
    drive = _drive(connection, wanted)
    conditions, bindings = _conditions(wanted, drive.covers, now)
    bindings["limit"] = limit
    sql = (
        f"SELECT e.number, e.created_at, e.id, e.raw FROM {drive.source}{conditions}"
        f" ORDER BY {drive.order} LIMIT :limit"
    )
    found: dict[int, Row] = {}
    for key in drive.keys:
        bindings["key"] = key
        found |= {row[0]: Row(*row) for row in connection.execute(sql, bindings)}
        if len(found) >= limit and len(drive.keys) > 1:
            best = sorted(found.values(), key=lambda row: row.place)[:limit]
            found = {row.number: row for row in best}
            bindings["since"] = best[-1].created_at
    return list(found.values())


def _is_satisfiable(wanted: Filter) -> bool:
    sets = (wanted.ids, wanted.authors, wanted.kinds, *wanted.tags.values())
    return all(values is None or values for values in sets)


def _drive(connection: apsw.Connection, wanted: Filter) -> _Drive:
    choices = list(_drives(wanted))
    if len(choices) == 1:
        return choices[0]
    best, fewest = choices[0], _PROBE
    for choice in choices:
        rows = _probe(connection, choice, _bounds(wanted), fewest)
        if rows < fewest:
            best, fewest = choice, rows
    return best


def _drives(wanted: Filter) -> Iterator[_Drive]:
    """The indexes that could answer a filter; the more selective by nature first."""
    if wanted.ids is not None:
        ids = [bytes.fromhex(name) for name in wanted.ids]
        yield _Drive("by_id", "e.id = :key", ids, frozenset(["ids"]))
        return
    kinds, authors = wanted.kinds, wanted.authors
    if kinds and authors and all(lifetime(kind) is Lifetime.REPLACEABLE for kind in kinds):
        places = [index_key("a", f"{kind}:{author}:") for kind, author in product(kinds, authors)]
        yield _Drive("by_place", "e.place = :key", places, frozenset(["authors", "kinds"]))
        return
    for name, values in wanted.tags.items():
        keys = [index_key(name, value) for value in values]
        yield _Drive("tags", "i.key = :key", keys, frozenset(["#" + name]))
    if authors is not None:
        keys = [bytes.fromhex(author) for author in authors]
        yield _Drive("by_author", "pubkey = :key", keys, frozenset(["authors"]))
    if kinds is not None:
        yield _Drive("by_kind", "kind = :key", list(kinds), frozenset(["kinds"]))
    if not (wanted.tags or authors or kinds):
        yield _Drive("by_time", ":key IS NULL", [None])


def _probe(connection: apsw.Connection, drive: _Drive, bounds: Bindings, most: int) -> int:
    rows = 0
    for key in drive.keys:
        if rows >= most:
            break
        bindings = bounds | {"key": key, "most": most - rows}
        rows += connection.execute(drive.probe, bindings).get
    return rows


def _bounds(wanted: Filter) -> Bindings:
    return {
        "since": 0 if wanted.since is None else wanted.since,
        "until": _EVER if wanted.until is None else wanted.until,
    }


def _conditions(wanted: Filter, covered: frozenset[str], now: int) -> tuple[str, Bindings]:
    """What is asked of each event besides the drive: SQL to append, and all bindings."""
    bindings = _bounds(wanted) | {"now": now}
    terms = ["(e.expires_at IS NULL OR e.expires_at > :now)"]
    if wanted.authors is not None and "authors" not in covered:
        terms.append("e.pubkey IN (SELECT value FROM carray(:authors))")
        bindings["authors"] = apsw.carray(tuple(map(bytes.fromhex, wanted.authors)))
    if wanted.kinds is not None and "kinds" not in covered:
        terms.append("e.kind IN (SELECT value FROM carray(:kinds))")
        bindings["kinds"] = apsw.carray(array("q", wanted.kinds))
    for position, (name, values) in enumerate(wanted.tags.items()):
        if "#" + name not in covered:
            keys = f"tag{position}"
            terms.append(
                f"EXISTS (SELECT 1 FROM tags t WHERE t.key IN (SELECT value FROM carray(:{keys}))"
                " AND t.created_at = +e.created_at AND t.number = +e.number)"
            )
            bindings[keys] = apsw.carray(tuple(index_key(name, value) for value in values))
    return "".join(f" AND {term}" for term in terms), bindings
