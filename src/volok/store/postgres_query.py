"""Answering filters from PostgreSQL: which index drives, and the SQL for it.

1. A filter is answered by one index, driven by the keys that the filter names for it: its ids, the
   addresses it pins down, one of its tags, its authors, its kinds; else by time. Each key is read
   newest first and no further than the limit goes; the conditions that are left hold on the rows.
2. Where several indexes could drive, each is asked how many rows it has, up to a bound; the one
   with the fewest drives.
3. Keys are asked for in groups that grow. Once as many rows are found as are wanted, the oldest of
   these bounds what the next group is asked for.
4. Rows come in the order of time and the first bytes of the id, with all that tie with the last:
   the exact order needs the ids, which are sealed.
5. SQL is put together from constants of this file; whatever came from outside is bound.
"""

# ruff: noqa: S608 (rule 5)

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

import asyncpg  # type: ignore[import-untyped]

from volok.model.filters import Filter
from volok.model.supersession import DELETION, Lifetime, lifetime
from volok.store.postgres_rows import Rows
from volok.store.store import Entry, Visibility

_PROBE = 200
"""Rows of an index that are counted before it is given up for another."""
_FIRST_GROUP = 16
"""Keys that are asked for at once, the first time; four times as many each time after."""
_EVER = 2**62
_SEARCHED = 500
"""The most events that a search reads at first."""
_AT_ONCE = 500
"""Events that are opened without a pause."""

_TAGS = "tags i JOIN events e ON e.name = i.name AND e.shelf = i.shelf"


@dataclass(frozen=True, slots=True)
class _Drive:
    """One way to answer a filter: an index, and the keys to ask it for."""

    source: str
    """Tables: in them, `e` is the event."""
    key: str
    """The condition on `k.key`."""
    keys: Sequence[Any]
    type: str = "bytea"
    covers: frozenset[str] = frozenset()
    """The conditions of the filter that the keys imply."""
    alias: str = "e"
    """The indexed rows."""

    def rows(self, since: str, until: str) -> str:
        """What one key has."""
        return f"{self.source} WHERE {self._bounds(since, until)}"

    def probe(self, since: str, until: str) -> str:
        """The same without joins, to be counted."""
        table = "tags i" if self.alias == "i" else "events e"
        return f"{table} WHERE {self._bounds(since, until)}"

    def _bounds(self, since: str, until: str) -> str:
        return f"{self.key} AND {self.alias}.created_at BETWEEN {since} AND {until}"


@dataclass(frozen=True, slots=True)
class Asking:
    """What is the same for all filters of a question."""

    rows: Rows
    now: int
    """Unix seconds."""
    visible: Visibility | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """One event as a query reads it."""

    created_at: int
    entry: Entry

    @property
    def id(self) -> str:
        """Where canonical JSON has the id."""
        return self.entry.raw[7:71].decode()

    @property
    def place(self) -> tuple[int, str]:
        """Sorts newest first, then by id (NIP-01)."""
        return -self.created_at, self.id


@dataclass(slots=True)
class _Bindings:
    """What SQL refers to by number."""

    values: list[Any] = field(default_factory=list)

    def add(self, value: Any) -> str:
        self.values.append(value)
        return f"${len(self.values)}"


async def newest(
    connection: asyncpg.Connection, asking: Asking, filters: Sequence[Filter], limit: int
) -> list[Found]:
    """The newest `limit` events that match any filter, each filter's own limit honoured."""
    found: dict[int, Found] = {}
    for wanted in filters:
        most = limit if wanted.limit is None else min(limit, wanted.limit)
        if most > 0 and _is_satisfiable(wanted):
            for one in await _newest(connection, asking, wanted, most):
                found[one.entry.number] = one
    return sorted(found.values(), key=lambda one: one.place)[: max(limit, 0)]


async def count(connection: asyncpg.Connection, asking: Asking, filters: Sequence[Filter]) -> int:
    """How many events match any of the filters; `limit` is no condition here."""
    if any(wanted.search is not None for wanted in filters):
        unbounded = [replace(wanted, limit=None) for wanted in filters]
        return len(await newest(connection, asking, unbounded, _EVER))
    rows, bindings = asking.rows, _Bindings()
    parts = []
    for wanted in filters:
        if _is_satisfiable(wanted):
            terms = [
                f"e.created_at BETWEEN {bindings.add(wanted.since or 0)}"
                f" AND {bindings.add(_until(wanted))}",
                *_conditions(asking, wanted, frozenset(), bindings),
            ]
            if wanted.ids is not None:
                terms.append(f"e.name = ANY({bindings.add(_names(rows, wanted.ids))}::bytea[])")
            parts.append(f"SELECT e.number FROM events e WHERE {' AND '.join(terms)}")
    if not parts:
        return 0
    sql = f"SELECT count(*) FROM ({' UNION '.join(parts)}) found"
    return int(await connection.fetchval(sql, *bindings.values))


async def log(
    connection: asyncpg.Connection, rows: Rows, after: int, until: int, limit: int, now: int
) -> list[Entry]:
    """Entries numbered above `after`, up to `until`, in the order of numbers."""
    found = await connection.fetch(
        "SELECT number, sealed FROM events WHERE number > $1 AND number <= $2 AND ends > $3"
        " ORDER BY number LIMIT $4",
        after,
        until,
        now,
        max(limit, 0),
    )
    entries = (rows.entry(number, sealed) for number, sealed in found)
    return [entry for entry in entries if entry is not None]


async def _newest(
    connection: asyncpg.Connection, asking: Asking, wanted: Filter, limit: int
) -> list[Found]:
    if wanted.search is None:
        return await _page(connection, asking, wanted, limit)
    # The index knows how words begin, not the words: what it yields is looked at.
    found: dict[int, Found] = {}
    size = 2 * min(limit, _SEARCHED)
    while len(found) < limit:
        page = await _page(connection, asking, wanted, size)
        found.update((o.entry.number, o) for o in page if wanted.matches(o.entry.event))
        if len(page) < size:
            break
        last = page[-1].created_at
        # A page within one second has to grow, or the next would be the same.
        size = size if last < page[0].created_at else size * 4
        wanted = replace(wanted, until=last)
    return sorted(found.values(), key=lambda one: one.place)[:limit]


async def _page(
    connection: asyncpg.Connection, asking: Asking, wanted: Filter, limit: int
) -> list[Found]:
    drive = await _drive(connection, asking.rows, wanted)
    bindings = _Bindings([None, wanted.since or 0, _until(wanted), limit])
    terms = "".join(f" AND {term}" for term in _conditions(asking, wanted, drive.covers, bindings))
    order = f"{drive.alias}.created_at DESC, {drive.alias}.rank"
    sql = (
        "SELECT f.number, f.created_at, f.rank, f.sealed FROM ("
        f"SELECT one.* FROM unnest($1::{drive.type}[]) AS k (key) CROSS JOIN LATERAL ("
        f"SELECT e.name, e.shelf, e.created_at, e.rank FROM {drive.rows('$2', '$3')}{terms}"
        f" ORDER BY {order} FETCH FIRST ($4::bigint) ROWS WITH TIES) AS one"
        " ORDER BY one.created_at DESC, one.rank FETCH FIRST ($4::bigint) ROWS WITH TIES"
        ") AS best JOIN events f ON f.name = best.name AND f.shelf = best.shelf"
    )
    found: dict[int, Any] = {}
    start, size = 0, _FIRST_GROUP
    while start < len(drive.keys):
        bindings.values[0] = list(drive.keys[start : start + size])
        start, size = start + size, size * 4
        for row in await connection.fetch(sql, *bindings.values):
            found[row[0]] = row
        if len(found) >= limit and start < len(drive.keys):
            order_of = sorted((-row[1], row[2]) for row in found.values())
            worst = order_of[limit - 1]
            found = {n: row for n, row in found.items() if (-row[1], row[2]) <= worst}
            bindings.values[1] = -worst[0]
    whole: list[Found] = []
    for count_, (number, created_at, _, sealed) in enumerate(found.values(), 1):
        entry = asking.rows.entry(number, sealed)
        if entry is not None:
            whole.append(Found(created_at, entry))
        if count_ % _AT_ONCE == 0:
            await asyncio.sleep(0)  # what is long gives way to others
    return sorted(whole, key=lambda one: one.place)[:limit]


def _until(wanted: Filter) -> int:
    return _EVER if wanted.until is None else wanted.until


def _names(rows: Rows, ids: Iterable[str]) -> list[bytes]:
    return [rows.name(name) for name in ids]


def _is_satisfiable(wanted: Filter) -> bool:
    sets = (wanted.ids, wanted.authors, wanted.kinds, *wanted.tags.values())
    return all(values is None or values for values in sets)


async def _drive(connection: asyncpg.Connection, rows: Rows, wanted: Filter) -> _Drive:
    choices = list(_drives(rows, wanted))
    if len(choices) == 1:
        return choices[0]
    probes, bindings = [], _Bindings([wanted.since or 0, _until(wanted), _PROBE])
    for choice in choices:
        keys = bindings.add(choice.keys)
        probes.append(
            f"(SELECT count(*) FROM (SELECT 1 FROM unnest({keys}::{choice.type}[]) AS k (key),"
            f" LATERAL (SELECT 1 FROM {choice.probe('$1', '$2')} LIMIT $3::bigint) AS one"
            " LIMIT $3::bigint) AS seen)"
        )
    counts = await connection.fetchrow(f"SELECT {', '.join(probes)}", *bindings.values)
    return choices[min(range(len(choices)), key=lambda n: counts[n])]


def _drives(rows: Rows, wanted: Filter) -> Iterator[_Drive]:
    """The indexes that could answer a filter; the more selective by nature first."""

    def of_events(key: str, keys: Sequence[Any], type_: str, *covers: str) -> _Drive:
        return _Drive("events e", key, keys, type_, frozenset(covers))

    if wanted.ids is not None:
        yield of_events("e.name = k.key", _names(rows, wanted.ids), "bytea", "ids")
        return
    kinds, authors = wanted.kinds, wanted.authors
    if kinds and authors and all(lifetime(kind) is Lifetime.REPLACEABLE for kind in kinds):
        places = [rows.place(f"{kind}:{author}:") for kind, author in product(kinds, authors)]
        yield of_events("e.place = k.key", places, "bytea", "authors", "kinds")
        return
    for name, values in wanted.tags.items():
        keys = [rows.tag(name, value) for value in values]
        yield _Drive(_TAGS, "i.key = k.key", keys, covers=frozenset(["#" + name]), alias="i")
    if authors is not None:
        keys = [rows.author(author) for author in authors]
        yield of_events("e.author = k.key", keys, "bytea", "authors")
    if kinds is not None:
        yield of_events("e.kind = k.key", list(kinds), "int", "kinds")
    if not (wanted.tags or authors or kinds):
        yield of_events("k.key = 0", [0], "int")


def _conditions(
    asking: Asking, wanted: Filter, covered: frozenset[str], bindings: _Bindings
) -> list[str]:
    """What is asked of each event besides the drive and its time."""
    rows = asking.rows
    terms = [f"e.ends > {bindings.add(asking.now)}"]
    if asking.visible is not None:
        terms += _shown(rows, asking.visible, bindings)
    if wanted.search is not None:
        tokens = rows.search_tokens(wanted.search)
        terms.append(f"e.tokens @> {bindings.add(tokens)}::bigint[]")
    if wanted.authors is not None and "authors" not in covered:
        authors = [rows.author(author) for author in wanted.authors]
        terms.append(f"e.author = ANY({bindings.add(authors)}::bytea[])")
    if wanted.kinds is not None and "kinds" not in covered:
        terms.append(f"e.kind = ANY({bindings.add(list(wanted.kinds))}::int[])")
    for name, values in wanted.tags.items():
        if "#" + name not in covered:
            terms.append(_has_tag([rows.tag(name, value) for value in values], bindings))
    return terms


def _shown(rows: Rows, visible: Visibility, bindings: _Bindings) -> list[str]:
    """`Visibility.shows` in SQL."""
    own = [rows.author(key) for key in visible.keys]
    addressed = [rows.tag("p", key) for key in visible.keys]
    about = [rows.tag("k", name) for name in visible.sealed_names]
    sealed = f"{bindings.add(list(visible.sealed))}::int[]"
    return [
        f"(e.kind <> ALL({sealed}) OR {_has_tag(addressed, bindings)})",
        f"(e.kind <> {bindings.add(DELETION)}::int OR e.kind = ANY({sealed})"
        f" OR e.author = ANY({bindings.add(own)}::bytea[]) OR NOT {_has_tag(about, bindings)})",
    ]


def _has_tag(keys: list[bytes], bindings: _Bindings) -> str:
    return (
        "EXISTS (SELECT 1 FROM tags t WHERE t.name = e.name AND t.shelf = e.shelf"
        " AND t.created_at = e.created_at AND t.rank = e.rank"
        f" AND t.key = ANY({bindings.add(keys)}::bytea[]))"
    )
