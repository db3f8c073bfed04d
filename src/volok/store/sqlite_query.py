"""Answering filters from SQLite: the merge of what the index yields that drives (`sqlite_drive`).

1. A filter is answered by one index, driven by the keys that the filter names for it: its ids, the
   addresses it pins down, one of its tags, its authors, its kinds; else all kinds there are.
2. A few keys are merged by SQLite (`sqlite_pages.merged`). Many are read one after the other, those
   with the newest rows first, each newest first. Once as many rows are found as are wanted, the
   oldest of these bounds what the next key is asked for.
3. A read is a generator: it yields statements (`Ask`) and is sent their rows. No statement looks at
   more than some thousand rows of an index, so whoever runs them can give way to others in between.
4. SQL is put together from constants of this file; whatever came from outside is bound.
"""

# ruff: noqa: S608 (rule 4)

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from itertools import product

import apsw

from volok.model.filters import Filter
from volok.model.supersession import Lifetime, lifetime
from volok.store.relevance import CANDIDATES, ranked
from volok.store.sqlite_drive import (
    EVER,
    Ask,
    Bindings,
    Drive,
    Rows,
    bounds_of,
    choose,
    conditions_of,
)
from volok.store.sqlite_file import ID_OF_EVENT, id_key, index_key
from volok.store.sqlite_ids import EVENTS_OF
from volok.store.sqlite_pages import (
    FETCH,
    LOOK,
    MERGED,
    Found,
    cursor,
    last_looked_at,
    merged,
    page_of,
    place_of,
    read_all,
)
from volok.store.store import STAMP_BYTES, Entry, Visibility, stamp

_MANY = ""
_NUMBERS = ", group_concat(s.number, ' ')"
# To sort in SQLite would take longer than all the rest.
_STAMPS = f", group_concat(printf('%016x', s.created_at) || {ID_OF_EVENT}, '')"


Finding = Generator[Ask, Rows, list[Found]]


def entries(
    filters: Sequence[Filter], limit: int, now: int, visible: Visibility | None
) -> Generator[Ask, Rows, list[Entry]]:
    """The newest `limit` events that match any filter, each filter's own limit honoured.

    What filters with words find (NIP-50) comes first, the best first.
    """
    if len(filters) == 1 and filters[0].search is None and _names(filters[0]) is None:
        return (yield from _of_one(filters[0], limit, now, visible))
    found: set[Found] = set()
    best: dict[int, Entry] = {}
    for wanted in filters:
        most = limit if wanted.limit is None else min(limit, wanted.limit)
        if most <= 0 or not _is_satisfiable(wanted):
            continue
        if wanted.search is not None:
            for entry in (yield from _search(wanted, most, now, visible)):
                best[entry.number] = entry
        elif names := _names(wanted):
            found.update((yield from _by_name(names, wanted, most, now, visible)))
        else:
            drive = yield from choose(wanted, visible)
            found.update((yield from _newest(drive, wanted, most, now, visible)))
    order = sorted(found, reverse=True)[: max(limit, 0)]
    rest = [one.number for one in order if one.number not in best]
    return [*best.values(), *(yield from read_all(rest))][: max(limit, 0)]


def _of_one(
    wanted: Filter, limit: int, now: int, visible: Visibility | None
) -> Generator[Ask, Rows, list[Entry]]:
    """The same for one filter that names neither words nor single events."""
    limit = limit if wanted.limit is None else min(limit, wanted.limit)
    if limit <= 0 or not _is_satisfiable(wanted):
        return []
    drive = yield from choose(wanted, visible)
    if len(drive.keys) <= MERGED:
        return (yield from merged(drive, wanted, limit, now, visible))
    found = yield from _newest(drive, wanted, limit, now, visible)
    order = sorted(found, reverse=True)[:limit]
    return (yield from read_all([one.number for one in order]))


def count(
    filters: Sequence[Filter], now: int, visible: Visibility | None
) -> Generator[Ask, Rows, int]:
    """How many events match any of the filters; `limit` is no condition here."""
    asked = [wanted for wanted in filters if _is_satisfiable(wanted)]
    seen: set[int] = set()
    for wanted in asked:
        if wanted.search is not None:
            found = yield from _search(wanted, EVER, now, visible)
            seen.update(entry.number for entry in found)
        elif names := _names(wanted):
            places = yield from _by_name(names, wanted, EVER, now, visible)
            seen.update(place.number for place in places)
        else:
            drive = yield from choose(wanted, visible)
            alone = drive.disjoint and len(asked) == 1
            digest = _MANY if alone else _NUMBERS
            pages = yield from _pages(drive, wanted, now, visible, digest, EVER)
            if alone:
                return sum(many for (many,) in pages)
            for _, numbers in pages:
                seen.update(map(int, numbers.split()))
    return len(seen)


def stamps(
    filters: Sequence[Filter], limit: int, now: int, visible: Visibility | None
) -> Generator[Ask, Rows, list[bytes]]:
    """See `Store.stamps`: a run for each page that is read."""
    runs: list[bytes] = []
    for wanted in filter(_is_satisfiable, filters):
        if limit < 0:
            break
        if wanted.search is not None or _names(wanted) is not None:
            everything = [replace(wanted, limit=None)]
            found = yield from entries(everything, limit + 1, now, visible)
            names = sorted(stamp(one.event.created_at, one.event.id) for one in found)
            pages = [b"".join(names)]
        else:
            drive = yield from choose(wanted, visible)
            rows = yield from _pages(drive, wanted, now, visible, _STAMPS, limit)
            pages = [_in_order(bytes.fromhex(text)) for _, text in rows]
        limit -= sum(map(len, pages)) // STAMP_BYTES
        runs += filter(None, pages)
    return runs


def _in_order(stamps: bytes) -> bytes:
    return b"".join(
        sorted(stamps[start : start + STAMP_BYTES] for start in range(0, len(stamps), STAMP_BYTES))
    )


def log(after: int, limit: int, now: int) -> Generator[Ask, Rows, list[Entry]]:
    """Entries numbered above `after`, in the order of numbers."""
    result: list[Entry] = []
    while len(result) < limit:
        most = min(FETCH, limit - len(result))
        page = yield from page_of(
            "FROM (SELECT number, raw FROM events WHERE number > :after"
            " AND (expires_at IS NULL OR expires_at > :now) ORDER BY number LIMIT :most)",
            {"after": after, "now": now, "most": most},
        )
        result += page
        if len(page) < most:
            break
        after = page[-1].number
    return result


def _is_satisfiable(wanted: Filter) -> bool:
    sets = (wanted.ids, wanted.authors, wanted.kinds, *wanted.tags.values())
    return all(values is None or values for values in sets)


_AT_PLACES = (
    "SELECT e.number, e.raw FROM carray(:keys) c CROSS JOIN places i ON i.place = c.value"
    " CROSS JOIN events e ON e.number = i.number"
)


@dataclass(frozen=True, slots=True)
class _Names:
    """What leads to single events: few, so that the rest of a filter is checked on these."""

    events: str
    """SQL of the numbers and JSON of events, `e`, to which `:keys` lead."""
    keys: Sequence[bytes]


def _names(wanted: Filter) -> _Names | None:
    """The ids of a filter, or all addresses that it leaves."""
    kinds, authors = wanted.kinds, wanted.authors
    if wanted.ids is not None:
        return _Names(EVENTS_OF, sorted(map(id_key, wanted.ids)))
    if kinds and authors and all(lifetime(kind) is Lifetime.REPLACEABLE for kind in kinds):
        places = [index_key("a", f"{kind}:{author}:") for kind, author in product(kinds, authors)]
        return _Names(_AT_PLACES, places)
    return None


def _by_name(
    names: _Names, wanted: Filter, limit: int, now: int, visible: Visibility | None
) -> Finding:
    found: list[Found] = []
    for start in range(0, len(names.keys), FETCH):
        page = yield from page_of(
            f"FROM ({names.events} WHERE (e.expires_at IS NULL OR e.expires_at > :now) LIMIT -1)",
            {"keys": apsw.carray(tuple(names.keys[start : start + FETCH])), "now": now},
        )
        found += [place_of(entry) for entry in page if _shows(wanted, entry, visible)]
    return sorted(found, reverse=True)[:limit]


def _search(
    wanted: Filter, limit: int, now: int, visible: Visibility | None
) -> Generator[Ask, Rows, list[Entry]]:
    """The best of the latest events that have all words and meet the other conditions."""
    # Quoted, each is a word and no operator; the star asks for words that begin so.
    asked = " ".join(f'"{word}"*' for word in (wanted.search or "").split())
    if not asked:
        return []
    page = yield from page_of(
        "FROM (SELECT e.number, e.raw FROM"
        " (SELECT rowid FROM texts WHERE texts MATCH :asked ORDER BY rowid DESC LIMIT :most) t"
        " CROSS JOIN events e ON e.number = t.rowid"
        " WHERE (e.expires_at IS NULL OR e.expires_at > :now) LIMIT -1)",
        {"asked": asked, "most": CANDIDATES, "now": now},
    )
    found = [entry for entry in page if _shows(wanted, entry, visible)]
    return ranked(wanted.search or "", found)[:limit]


def _shows(wanted: Filter, entry: Entry, visible: Visibility | None) -> bool:
    return wanted.matches(entry.event) and (visible is None or visible.shows(entry.event))


def _newest(
    drive: Drive, wanted: Filter, limit: int, now: int, visible: Visibility | None
) -> Finding:
    conditions, bindings = conditions_of(wanted, drive, now, visible)
    bindings |= bounds_of(wanted)
    found: set[Found] = set()
    for newest_at, key in (yield from _by_newest(drive, bindings)):
        if newest_at >= bindings["since"]:
            bindings["key"] = key
            found.update((yield from _newest_of_key(drive, conditions, bindings, limit)))
            if len(found) >= limit and len(drive.keys) > 1:
                found = set(sorted(found, reverse=True)[:limit])
                bindings["since"] = min(found).created_at
    return list(found)


def _by_newest(
    drive: Drive, bindings: Bindings
) -> Generator[Ask, Rows, list[tuple[int, int | bytes]]]:
    """The keys that have any rows, each with the second of its newest, the newest first."""
    if len(drive.keys) == 1:
        return [(EVER, drive.keys[0])]
    newest = f"SELECT max(created_at) {drive.rows.replace(':key', 'k.value')}"
    rows = yield Ask(
        f"SELECT at, value FROM (SELECT value, ({newest}) AS at FROM carray(:keys) k)"
        " WHERE at IS NOT NULL ORDER BY at DESC",
        bindings | {"keys": drive.all_keys},
    )
    return [(at, key) for at, key in rows]


def _newest_of_key(drive: Drive, conditions: str, bindings: Bindings, limit: int) -> Finding:
    look = limit if not conditions else max(limit, 100)
    below = Found(bindings["until"] + 1, -1, -1)
    found: list[Found] = []
    while len(found) < limit:
        most = min(limit - len(found), LOOK)
        page = bindings | cursor(below) | {"look": min(look, LOOK), "most": most}
        ((created, ties, numbers),) = yield Ask(
            "SELECT group_concat(created_at, ' '), group_concat(tie, ' '),"
            " group_concat(number, ' ') FROM (SELECT s.created_at, s.tie, s.number FROM"
            f" (SELECT * {drive.next_rows} LIMIT :look) s"
            f" CROSS JOIN events e ON e.number = s.number"
            f" WHERE (e.expires_at IS NULL OR e.expires_at > :now){conditions} LIMIT :most)",
            page,
        )
        got: list[Found] = []
        if created is not None:
            columns = (map(int, column.split()) for column in (created, ties, numbers))
            got = list(map(Found, *columns))
            found += got
        if len(got) == most:
            below = got[-1]
            continue
        last = yield from last_looked_at(f"SELECT * {drive.next_rows}", page)
        if last is None:
            break
        below, look = last, look * 4
    return found


def _pages(
    drive: Drive, wanted: Filter, now: int, visible: Visibility | None, digest: str, most: int
) -> Generator[Ask, Rows, Rows]:
    """All events that match, page by page: how many, then what the columns of `digest` say of them.

    Stops when they are more than `most`.
    """
    conditions, bindings = conditions_of(wanted, drive, now, visible)
    bindings |= bounds_of(wanted) | {"look": LOOK}
    result: Rows = []
    for _, key in (yield from _by_newest(drive, bindings)):
        bindings["key"] = key
        below: Found | None = Found(bindings["until"] + 1, -1, -1)
        while below is not None and most >= 0:
            page = bindings | cursor(below)
            rows = yield Ask(
                f"SELECT count(*){digest} FROM (SELECT * {drive.next_rows} LIMIT :look) s"
                " CROSS JOIN events e ON e.number = s.number"
                f" WHERE (e.expires_at IS NULL OR e.expires_at > :now){conditions}",
                page,
            )
            if rows[0][0]:
                result += rows
                most -= rows[0][0]
            below = yield from last_looked_at(f"SELECT * {drive.next_rows}", page)
    return result
