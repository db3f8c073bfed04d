"""Which index answers a filter, and the conditions that it leaves.

1. What the filter says besides the keys of its index is a condition on the rows.
2. Where several indexes could drive, each is asked how many rows it has for the filter, up to a
   bound; the one with the fewest drives.
3. SQL is put together from constants of this file; whatever came from outside is bound.
"""

# ruff: noqa: S608 (rule 3)

from __future__ import annotations

from array import array
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import apsw

from volok.model.filters import Filter
from volok.model.supersession import DELETION
from volok.store.sqlite_file import author_key, index_key
from volok.store.store import Visibility

_PROBE = 200
"""Rows of an index that are counted before it is given up for another."""

EVER = 2**62
"""Later than any created_at, and more than any number of rows."""

Bindings = dict[str, Any]
"""Names to what SQLite can bind."""

Rows = list[tuple[Any, ...]]


class Ask(NamedTuple):
    """One statement to run."""

    sql: str
    bindings: Bindings


@dataclass(frozen=True, slots=True)
class Drive:
    """One way to answer a filter: an index, and the keys to ask it for."""

    table: str
    key: str
    """The column that holds the key."""
    keys: Sequence[int] | Sequence[bytes]
    covers: frozenset[str] = frozenset()
    """The conditions of the filter that the keys imply."""
    disjoint: bool = True
    """Whether no event is found under two keys."""

    @property
    def rows(self) -> str:
        """All rows of one key between `:since` and `:until`."""
        return (
            f"FROM {self.table} s WHERE {self.key} = :key"
            " AND created_at >= :since AND created_at <= :until"
        )

    @property
    def next_rows(self) -> str:
        """The newest rows of one key from `:since` on, below the place of the cursor."""
        return (
            f"FROM {self.table} s WHERE {self.key} = :key AND created_at >= :since"
            " AND (created_at, tie, number) < (:below, :below_tie, :below_number)"
            " ORDER BY created_at DESC, tie DESC, number DESC"
        )

    @property
    def merged_rows(self) -> str:
        """The newest rows of all keys, each once, below the place of the cursor; the keys are bound
        as `merged_keys` says. For a few keys: SQLite nests one merge in another."""
        return _merged(self.table, self.key, len(self.keys), self.disjoint)

    @property
    def merged_keys(self) -> Bindings:
        """What `merged_rows` calls the keys."""
        return {f"key{place}": key for place, key in enumerate(self.keys)}

    @property
    def all_keys(self) -> object:
        """The keys as SQLite takes them."""
        if isinstance(self.keys[0], bytes):
            return apsw.carray(tuple(self.keys))
        return apsw.carray(array("q", self.keys))


@cache
def _merged(table: str, key: str, keys: int, disjoint: bool) -> str:
    one = (
        f"SELECT created_at, tie, number, kind FROM {table} WHERE {key} = :key%d"
        " AND created_at >= :since"
        " AND (created_at, tie, number) < (:below, :below_tie, :below_number)"
    )
    parts = (" UNION ALL " if disjoint else " UNION ").join(one % place for place in range(keys))
    return parts + " ORDER BY created_at DESC, tie DESC, number DESC"


def choose(wanted: Filter, visible: Visibility | None) -> Generator[Ask, Rows, Drive]:
    """The index that has the fewest rows for a filter."""
    choices = list(_drives(wanted))
    if not choices:
        kinds = [kind for (kind,) in (yield Ask(_KINDS, {}))]
        if visible is not None and not visible.keys:
            kinds = [kind for kind in kinds if kind not in visible.sealed]
        return Drive("timeline", "kind", kinds or [0])
    if len(choices) == 1:
        return choices[0]
    best, fewest = choices[0], _PROBE
    for choice in choices:
        rows = yield from _probe(choice, bounds_of(wanted), fewest)
        if rows < fewest:
            best, fewest = choice, rows
    return best


_KINDS = (
    "WITH RECURSIVE there (kind) AS (SELECT min(kind) FROM timeline UNION ALL"
    " SELECT (SELECT min(kind) FROM timeline t WHERE t.kind > there.kind) FROM there"
    " WHERE kind IS NOT NULL) SELECT kind FROM there WHERE kind IS NOT NULL"
)


def _drives(wanted: Filter) -> Iterator[Drive]:
    """The indexes that could answer a filter; the more selective by nature first."""
    kinds, authors = wanted.kinds, wanted.authors
    for name, values in wanted.tags.items():
        keys = [index_key(name, value) for value in values]
        yield Drive("postings", "key", keys, frozenset(["#" + name]), len(keys) == 1)
    if authors is not None:
        yield Drive("postings", "key", [*map(author_key, authors)], frozenset(["authors"]))
    if kinds is not None:
        yield Drive("timeline", "kind", list(kinds), frozenset(["kinds"]))


def _probe(drive: Drive, bounds: Bindings, most: int) -> Generator[Ask, Rows, int]:
    rows = 0
    for key in drive.keys:
        if rows >= most:
            break
        ((more,),) = yield Ask(
            f"SELECT count(*) FROM (SELECT 1 {drive.rows} LIMIT :most)",
            bounds | {"key": key, "most": most - rows},
        )
        rows += more
    return rows


def bounds_of(wanted: Filter) -> Bindings:
    """The seconds between which a filter asks."""
    return {
        "since": 0 if wanted.since is None else wanted.since,
        "until": EVER if wanted.until is None else wanted.until,
    }


def conditions_of(
    wanted: Filter, drive: Drive, now: int, visible: Visibility | None
) -> tuple[str, Bindings]:
    """What is asked of each row `s` and its event `e` besides the drive: SQL and bindings."""
    bindings: Bindings = {"now": now}
    terms: list[str] = []

    def has_one(name: str, keys: Iterable[bytes]) -> str:
        bindings[name] = apsw.carray(tuple(keys))
        return (
            f"EXISTS (SELECT 1 FROM postings t WHERE t.key IN (SELECT value FROM carray(:{name}))"
            " AND t.created_at = s.created_at AND t.tie = s.tie AND t.number = s.number)"
        )

    if wanted.kinds is not None and "kinds" not in drive.covers:
        terms.append("s.kind IN (SELECT value FROM carray(:kinds))")
        bindings["kinds"] = apsw.carray(array("q", wanted.kinds))
    if wanted.authors is not None and "authors" not in drive.covers:
        terms.append(has_one("authors", map(author_key, wanted.authors)))
    for position, (name, values) in enumerate(wanted.tags.items()):
        if "#" + name not in drive.covers:
            keys = (index_key(name, value) for value in values)
            terms.append(has_one(f"tag{position}", keys))
    kinds = drive.keys if drive.table == "timeline" else wanted.kinds
    if visible is not None and _hides_some(visible, kinds):
        bindings["sealed"] = apsw.carray(array("q", visible.sealed))
        sealed = "s.kind IN (SELECT value FROM carray(:sealed))"
        deletes = has_one("names", (index_key("k", name) for name in visible.sealed_names))
        if visible.keys:
            named = has_one("readers", (index_key("p", key) for key in visible.keys))
            own = has_one("own", map(author_key, visible.keys))
        else:
            named = own = "0"
        terms.append(f"(NOT {sealed} OR {named})")
        terms.append(f"(s.kind <> {DELETION} OR NOT {deletes} OR {own})")
    return "".join(f" AND {term}" for term in terms), bindings


def _hides_some(visible: Visibility, kinds: Iterable[object] | None) -> bool:
    """Whether there are events of these kinds that are not for everybody; None for all kinds."""
    return bool(visible.sealed) and (
        kinds is None or any(kind == DELETION or kind in visible.sealed for kind in kinds)
    )
