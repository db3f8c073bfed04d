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
from volok.model.supersession import Version, address, expiration
from volok.store.sqlite_file import event_of, index_key, tag_keys
from volok.store.store import Entry

RESERVE = 1000
"""Numbers that one commit reserves for ephemeral events to come."""

_STORED = "SELECT id FROM events WHERE id IN (SELECT value FROM carray(?))"
_BURIED = "SELECT id, deleter FROM tombstones WHERE id IN (SELECT value FROM carray(?))"
_CURRENT = "SELECT place, raw FROM events WHERE place IN (SELECT value FROM carray(?))"
_FLOORS = "SELECT place, created_at, id FROM floors WHERE place IN (SELECT value FROM carray(?))"
_INSERT = (
    "INSERT INTO events (number, id, pubkey, created_at, kind, place, expires_at, raw)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)


class SqliteLedger:
    """Belongs to one thread. `begin` and `commit` (or `roll_back`) enclose everything else."""

    def __init__(self, connection: apsw.Connection) -> None:
        """Raises apsw.Error, as all methods do."""
        self._connection = connection
        ((self.head, self._reserved),) = connection.execute("SELECT head, reserved FROM numbers")
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
        if self._number > self._reserved:
            ephemeral = any(entry.event.id not in self._here for entry in self._fresh.values())
            # A number shown to followers must not be given out again after a crash, and to write
            # one row per ephemeral event would cost a sync each.
            self._reserved = self._number + (RESERVE if ephemeral else 0)
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
        ids = apsw.carray(tuple(bytes.fromhex(event.id) for event in events))
        self._asked.update(event.id for event in events)
        self._here.update(name.hex() for (name,) in self._run(_STORED, ids))
        for name, deleter in self._run(_BURIED, ids):
            self._deleters[name.hex()] = self.deleters(name.hex()) | {deleter.hex()}
        places = {place for event in events if (place := address(event)) is not None}
        if places:
            self._expect_places(places)

    def has(self, event_id: str) -> bool:
        if event_id not in self._asked:
            return self.get(event_id) is not None
        return event_id in self._here

    def get(self, event_id: str) -> Event | None:
        self._write_rows()
        rows = self._run("SELECT raw FROM events WHERE id = ?", bytes.fromhex(event_id))
        return event_of(rows[0][0]) if rows else None

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

    def announce(self, event: Event) -> None:
        self._number += 1
        self._fresh[self._number] = Entry(self._number, event.to_json(), event)

    def insert(self, event: Event) -> None:
        self.announce(event)
        self.head = number = self._number
        place = address(event)
        if place is not None:
            self._current[place] = event
        self._here.add(event.id)
        self._rows.append(
            (
                number,
                bytes.fromhex(event.id),
                bytes.fromhex(event.pubkey),
                event.created_at,
                event.kind,
                None if place is None else index_key("a", place),
                expiration(event),
                event.to_json(),
            )
        )
        self._tags += [(key, event.created_at, number) for key in tag_keys(event)]

    def erase(self, event: Event) -> None:
        self._write_rows()
        name = bytes.fromhex(event.id)
        ((number,),) = self._run("DELETE FROM events WHERE id = ? RETURNING number", name)
        self._connection.executemany(
            "DELETE FROM tags WHERE key = ? AND created_at = ? AND number = ?",
            [(key, event.created_at, number) for key in tag_keys(event)],
        )
        self._here.discard(event.id)
        self._fresh.pop(number, None)
        place = address(event)
        if place is not None:
            self._current[place] = None
        self.erased = True

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

    def delete(self, ids: Iterable[str]) -> int:
        """Erase what of these is here; returns how many were."""
        here = [event for name in set(ids) if (event := self.get(name)) is not None]
        for event in here:
            self.erase(event)
        return len(here)

    def expire(self, now: int, limit: int) -> int:
        """Erase at most `limit` events that have expired by `now`; returns how many."""
        expired = self._run("SELECT raw FROM events WHERE expires_at <= ? LIMIT ?", now, limit)
        for (raw,) in expired:
            self.erase(event_of(raw))
        return len(expired)

    def _forget(self) -> None:
        self._asked: set[str] = set()
        self._here: set[str] = set()
        self._current: dict[str, Event | None] = {}
        self._deleters: dict[str, frozenset[str]] = {}
        self._floors: dict[str, Version | None] = {}
        self._rows: list[tuple[Any, ...]] = []
        self._tags: list[tuple[bytes, int, int]] = []
        self._fresh: dict[int, Entry] = {}
        self.erased = False
        """Whether anything was erased in this transaction."""

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
            self._current[unknown[key]] = event_of(raw)

    def _run(self, sql: str, *bindings: Any) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql, bindings).fetchall()

    def _write_rows(self) -> None:
        if self._rows:
            self._connection.executemany(_INSERT, self._rows)
            self._connection.executemany("INSERT INTO tags VALUES (?, ?, ?)", self._tags)
            self._rows, self._tags = [], []
