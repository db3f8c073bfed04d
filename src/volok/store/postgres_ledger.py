"""The `Ledger` of a PostgresStore: what one transaction knows, and what it will change. Pure.

The rules ask while they run, and a database far away cannot answer as fast. So all that `settle`
may ask about a batch is read before it (`postgres_writer`) and told to the ledger by the `learn`
methods; what the rules change is gathered here and written after it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from volok.model.event import Event
from volok.model.supersession import (
    VANISH,
    Version,
    address,
    deletion_targets,
    is_expired,
    may_have_deleted,
    vanishing_keys,
)
from volok.store.postgres_rows import EventRow, Rows, TagRow
from volok.store.store import Entry


class PostgresLedger:
    """Lives for one transaction."""

    def __init__(self, rows: Rows, head: int, last: int) -> None:
        """`head`: the newest stored entry; `last`: the newest number given out."""
        self.before = last
        self.head = head
        self.last = last
        self.erased: dict[str, tuple[int, Event]] = {}
        """What was stored before and is to go: id to number and event."""
        self.marks: set[bytes] = set()
        """Tombstones to be written."""
        self.floors: dict[str, Version] = {}
        """Floors to be written."""
        self.vanishing: dict[str, int] = {}
        """Keys that have vanished, to be written."""
        self._rows = rows
        self._here: dict[str, int | None] = {}
        self._events: dict[str, Event] = {}
        self._current: dict[str, Event | None] = {}
        self._deleters: dict[str, frozenset[str]] = {}
        self._floors: dict[str, Version | None] = {}
        self._vanished: dict[str, int] = {}
        self._inserted: dict[int, Event] = {}
        self._fleeting: dict[int, Event] = {}

    def learn_here(self, ids: Iterable[str]) -> None:
        """These are stored."""
        for name in ids:
            self._here.setdefault(name, None)

    def learn_event(self, number: int, event: Event) -> None:
        """This is stored, under this number."""
        self._here[event.id] = number
        self._events[event.id] = event
        place = address(event)
        if place is not None:
            self._current[place] = event

    def learn_deleters(self, event_id: str, deleters: frozenset[str]) -> None:
        """These keys deleted this id."""
        self._deleters[event_id] = deleters

    def learn_vanished(self, key: str, until: int) -> None:
        """This key has asked to vanish."""
        self._vanished[key] = until

    def learn_place(self, place: str, floor: Version | None) -> None:
        """This is the floor of an address; what lies there is told by `learn_event`."""
        self._floors[place] = floor
        self._current.setdefault(place, None)

    def knows_place(self, place: str) -> bool:
        """Whether `learn_place` was called."""
        return place in self._floors

    def has(self, event_id: str) -> bool:
        return event_id in self._here

    def get(self, event_id: str) -> Event | None:
        return self._events.get(event_id)

    def current(self, place: str) -> Event | None:
        return self._current[place]

    def deleters(self, event_id: str) -> frozenset[str]:
        return self._deleters.get(event_id, frozenset())

    def floor(self, place: str) -> Version | None:
        return self._floors[place]

    def vanished(self, key: str) -> int | None:
        return self._vanished.get(key)

    def vanish(self, key: str, until: int) -> None:
        self.vanishing[key] = self._vanished[key] = until
        for event in list(self._events.values()):
            if event.created_at <= until and key in vanishing_keys(event):
                self.erase(event)

    def announce(self, event: Event) -> None:
        self.last += 1
        self._fleeting[self.last] = event

    def insert(self, event: Event) -> None:
        self.last += 1
        # A database that was restored from an older copy counts once more through what was erased.
        while not self._rows.can_seal(self.last):
            self.last += 1
        self.head = self.last
        self._inserted[self.last] = event
        self.learn_event(self.last, event)

    def erase(self, event: Event) -> None:
        number = self._here.pop(event.id)
        self._events.pop(event.id, None)
        if number is None:  # only `learn_event` leads here
            raise ValueError("An event that was not read cannot be erased.")
        if self._inserted.pop(number, None) is None:
            self.erased[event.id] = number, event
        place = address(event)
        if place is not None:
            self._current[place] = None

    def bury(self, event_id: str, deleter: str) -> None:
        self.marks.add(self._rows.mark(event_id, deleter))
        self._deleters[event_id] = self.deleters(event_id) | {deleter}

    def set_floor(self, place: str, floor: Version) -> None:
        self.floors[place] = self._floors[place] = floor

    def delete(self, ids: Iterable[str]) -> int:
        """Erase what of these was read; returns how many."""
        here = [event for name in set(ids) if (event := self.get(name)) is not None]
        for event in here:
            self.erase(event)
        return len(here)

    def expire(self, now: int) -> int:
        """Erase what was read and has expired; returns how many."""
        return self.delete([name for name, event in self._events.items() if is_expired(event, now)])

    def entries(self) -> list[Entry]:
        """What followers are to be shown, in the order of numbers."""
        fresh = self._inserted | self._fleeting
        return [Entry(number, fresh[number].to_json(), fresh[number]) for number in sorted(fresh)]

    def event_rows(self) -> list[EventRow]:
        """The rows to be written. Raises StoreError."""
        return [self._rows.event_row(number, event) for number, event in self._inserted.items()]

    def tag_rows(self) -> list[TagRow]:
        """The rows to be written for tags."""
        return [row for event in self._inserted.values() for row in self._rows.tag_rows(event)]


class Questions:
    """What has to be read before a batch is settled, by the hashes that stand in the rows."""

    def __init__(self, rows: Rows, events: Collection[Event], ids: Iterable[str]) -> None:
        """`events` will be settled; `ids` are to be read whole."""
        self.names = {rows.name(event.id): event.id for event in events}
        self.marks = {
            rows.mark(event.id, key): (event.id, key)
            for event in events
            for key in may_have_deleted(event)
        }
        targets = [deletion_targets(event) for event in events]
        whole = {name for target in targets for name in target.ids}.union(ids)
        self.targets = {rows.name(name): name for name in whole}
        places = {place for event in events if (place := address(event)) is not None}
        places.update(place for target in targets for place in target.addresses)
        self.places = {rows.place(place): place for place in places}
        self.people = {rows.author(key): key for event in events for key in vanishing_keys(event)}
        leaving = [event for event in events if event.kind == VANISH]
        self.people.update((rows.author(event.pubkey), event.pubkey) for event in leaving)
        self.leaving: dict[str, int] = {}
        """Keys that ask to vanish, and up to which second."""
        for event in leaving:
            until = self.leaving.get(event.pubkey, 0)
            self.leaving[event.pubkey] = max(until, event.created_at)
