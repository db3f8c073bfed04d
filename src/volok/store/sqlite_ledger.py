"""The `Ledger` of a SqliteStore: what one transaction reads and changes.

`expect` reads with a few statements what the rules will ask about a whole batch of events, and
inserts wait until the commit or until something needs to read them back; so a batch costs a few
statements, not a few per event.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import apsw

from volok.model.event import Event
from volok.model.supersession import GIFT_WRAP, VANISH, Version, address
from volok.store.sqlite_file import ID_OF_EVENT, author_key, id_key, index_key, tie_of
from volok.store.sqlite_ids import EVENT_OF, MOVED_PER_EVENT, merge
from volok.store.sqlite_rows import Batch, erase
from volok.store.sqlite_words import take_words
from volok.store.store import Entry, read_event

RESERVE = 1000
"""Numbers that one commit reserves for ephemeral events to come."""

ERASE_AT_ONCE = 1000
"""Events that are read and erased together."""

# An event says itself where it stands among those of its kind, so that no index of all ids is read.
_STORED = (
    f"SELECT {ID_OF_EVENT} FROM carray(?) c CROSS JOIN timeline t"  # noqa: S608
    " ON t.kind = CAST(substr(c.value, 1, 5) AS INTEGER)"
    " AND t.created_at = CAST(substr(c.value, 6, 16) AS INTEGER)"
    " AND t.tie = CAST(substr(c.value, 22) AS INTEGER)"
    " CROSS JOIN events e ON e.number = t.number"
)
_BURIED = "SELECT t.id, t.deleter FROM carray(?) c CROSS JOIN tombstones t ON t.id = c.value"
_CURRENT = (
    "SELECT p.place, e.raw FROM carray(?) c CROSS JOIN places p ON p.place = c.value"
    " CROSS JOIN events e ON e.number = p.number"
)
_FLOORS = "SELECT place, created_at, id FROM floors WHERE place IN (SELECT value FROM carray(?))"
_ALIKE = (
    "SELECT e.number, e.raw FROM timeline t JOIN events e ON e.number = t.number"
    " WHERE t.kind = ? AND t.created_at = ? AND t.tie = ?"
)
_EXPIRED = (
    "SELECT e.number, e.raw FROM expiry x JOIN events e ON e.number = x.number"
    " WHERE x.expires_at <= ? LIMIT ?"
)
_OF_KEY = (
    "SELECT e.number, e.raw FROM postings p JOIN events e ON e.number = p.number"
    " WHERE p.key = ? AND p.created_at <= ? AND p.kind <> ? AND (? IS NULL OR p.kind = ?) LIMIT ?"
)


class SqliteLedger:
    """Belongs to one thread. `begin` and `commit` (or `roll_back`) enclose everything else."""

    def __init__(self, connection: apsw.Connection) -> None:
        """Raises apsw.Error, as all methods do."""
        self._connection = connection
        numbers: Any = connection.execute("SELECT head, reserved, searched FROM numbers").fetchone()
        self.head: int = numbers[0]
        self._reserved: int = numbers[1]
        self.searched: int = numbers[2]
        """The newest entry whose words are in the index, if it has any."""
        self._number = self._reserved
        self._forget()

    def begin(self) -> None:
        """Start a transaction."""
        self._connection.execute("BEGIN IMMEDIATE")
        self._saved = self.head, self._number, self._reserved
        self._forget()

    def commit(self) -> list[Entry]:
        """Make it durable; returns what followers are to be shown."""
        self._write_rows()
        if self.head != self._saved[0]:
            merge(self._connection, self.head, MOVED_PER_EVENT * len(self._fresh))
        if self._number > self._reserved:
            # A number shown to followers must not be given out again after a crash, and to write
            # one row per ephemeral event would cost a sync each.
            self._reserved = self._number + (RESERVE if self._announced else 0)
            numbers = self.head, self._reserved
            self._connection.execute("UPDATE numbers SET head = ?, reserved = ?", numbers)
        elif self.head != self._saved[0]:
            self._connection.execute("UPDATE numbers SET head = ?", (self.head,))
        self._connection.execute("COMMIT")
        return list(self._fresh.values())

    def roll_back(self) -> None:
        """Leave everything as it was at `begin`."""
        # After some errors SQLite has rolled back already.
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")
        self.head, self._number, self._reserved = self._saved

    def expect(self, events: Sequence[Event]) -> None:
        """Read ahead what `settle` will ask about these events."""
        if not events:
            return
        self._asked.update(event.id for event in events)
        stands = tuple(
            b"%05d%016d%014d" % (event.kind, event.created_at, tie_of(event.id)) for event in events
        )
        self._here.update(name for (name,) in self._run(_STORED, apsw.carray(stands)))
        if self._any("tombstones"):
            whole = apsw.carray(tuple(bytes.fromhex(event.id) for event in events))
            for name, deleter in self._run(_BURIED, whole):
                self._deleters[name.hex()] = self.deleters(name.hex()) | {deleter.hex()}
        places = {place for event in events if (place := address(event)) is not None}
        if places:
            self._expect_places(places)
        self._nobody_vanished = not self._any("vanished")

    def has(self, event_id: str) -> bool:
        if event_id not in self._asked:
            return self.get(event_id) is not None
        return event_id in self._here

    def get(self, event_id: str) -> Event | None:
        stored = self._stored(event_id)
        return None if stored is None else stored[1]

    def current(self, place: str) -> Event | None:
        if place not in self._current:
            self._expect_places([place])
        return self._current[place]

    def deleters(self, event_id: str) -> frozenset[str]:
        return self._deleters.get(event_id, frozenset())

    def floor(self, place: str) -> Version | None:
        if place not in self._floors:
            self._expect_places([place])
        return self._floors[place]

    def vanished(self, key: str) -> int | None:
        if self._nobody_vanished:
            return None
        if key not in self._vanished:
            rows = self._run("SELECT until FROM vanished WHERE key = ?", author_key(key))
            self._vanished[key] = rows[0][0] if rows else None
        return self._vanished[key]

    def announce(self, event: Event) -> None:
        self._number += 1
        self._announced = True
        self._fresh[self._number] = Entry(self._number, event.to_json(), event)

    def insert(self, event: Event) -> None:
        self._number += 1
        self.head = number = self._number
        self._fresh[number] = Entry(number, event.to_json(), event)
        place = address(event)
        if place is not None:
            self._current[place] = event
        self._here.add(event.id)
        self._batch.add(number, event, place)

    def erase(self, event: Event) -> None:
        self._write_rows()
        alike = self._run(_ALIKE, event.kind, event.created_at, tie_of(event.id))
        stored = [(number, read_event(raw)) for number, raw in alike]
        self._erase([one for one in stored if one[1].id == event.id])

    def bury(self, event_id: str, deleter: str) -> None:
        self._connection.execute(
            "INSERT OR IGNORE INTO tombstones VALUES (?, ?)",
            (bytes.fromhex(event_id), bytes.fromhex(deleter)),
        )
        self._deleters[event_id] = self.deleters(event_id) | {deleter}

    def set_floor(self, place: str, floor: Version) -> None:
        self._connection.execute(
            "INSERT OR REPLACE INTO floors VALUES (?, ?, ?)",
            (index_key("a", place), floor.created_at, bytes.fromhex(floor.id)),
        )
        self._floors[place] = floor

    def vanish(self, key: str, until: int) -> None:
        self._connection.execute(
            "INSERT OR REPLACE INTO vanished VALUES (?, ?)", (author_key(key), until)
        )
        self._vanished[key] = until
        self._nobody_vanished = False
        self._write_rows()
        for index, kind in ((author_key(key), None), (index_key("p", key), GIFT_WRAP)):
            while rows := self._run(_OF_KEY, index, until, VANISH, kind, kind, ERASE_AT_ONCE):
                self._erase([(number, read_event(raw)) for number, raw in rows])

    def delete(self, ids: Iterable[str]) -> int:
        """Erase what of these is here; returns how many were."""
        here = [stored for name in set(ids) if (stored := self._stored(name)) is not None]
        self._erase(here)
        return len(here)

    def expire(self, now: int, limit: int) -> int:
        """Erase at most `limit` events that have expired by `now`; returns how many."""
        self._write_rows()
        expired = self._run(_EXPIRED, now, limit)
        self._erase([(number, read_event(raw)) for number, raw in expired])
        return len(expired)

    def take_words(self) -> bool:
        """Put the words of some events into the index, in a transaction of its own; whether there
        were any events left."""
        with self._connection:
            searched = take_words(self._connection, self.searched)
        more = searched > self.searched
        self.searched = searched
        return more

    def _stored(self, event_id: str) -> tuple[int, Event] | None:
        self._write_rows()
        rows = self._run(EVENT_OF, id_key(event_id))
        if not rows:
            return None
        event = read_event(rows[0][1])
        return (rows[0][0], event) if event.id == event_id else None

    def _erase(self, stored: Sequence[tuple[int, Event]]) -> None:
        if not stored:
            return
        self._write_rows()
        erase(self._connection, stored, self.searched)
        for number, event in stored:
            self._here.discard(event.id)
            self._fresh.pop(number, None)
            place = address(event)
            if place is not None:
                self._current[place] = None
        self.erased = True

    def _forget(self) -> None:
        self._asked: set[str] = set()
        self._here: set[str] = set()
        self._current: dict[str, Event | None] = {}
        self._deleters: dict[str, frozenset[str]] = {}
        self._floors: dict[str, Version | None] = {}
        self._vanished: dict[str, int | None] = {}
        self._nobody_vanished = False
        self._batch = Batch()
        self._fresh: dict[int, Entry] = {}
        self._announced = False
        self.erased = False
        """Whether anything was erased in this transaction."""

    def _any(self, table: str) -> bool:
        return bool(self._run(f"SELECT EXISTS (SELECT 1 FROM {table})")[0][0])  # noqa: S608

    def _expect_places(self, places: Iterable[str]) -> None:
        # What is known already may have been changed by rows that are not written yet.
        unknown = {index_key("a", place): place for place in places if place not in self._floors}
        for place in unknown.values():
            self._floors[place] = None
            self._current.setdefault(place, None)
        if not unknown:
            return
        keys = apsw.carray(tuple(unknown))
        for key, created_at, name in self._run(_FLOORS, keys):
            self._floors[unknown[key]] = Version(created_at, name.hex())
        for key, raw in self._run(_CURRENT, keys):
            self._current[unknown[key]] = read_event(raw)

    def _run(self, sql: str, *bindings: Any) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql, bindings).fetchall()

    def _write_rows(self) -> None:
        if self._batch:
            self._batch.insert(self._connection)
