"""A store in memory: pure Python, for a browser and for tests. Nothing outlives the process."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import AsyncIterator, Iterator, Sequence

from volok.model.event import Event
from volok.model.filters import Filter
from volok.model.supersession import Version, address, is_expired, vanishing_keys
from volok.store.relevance import CANDIDATES, ranked
from volok.store.settle import settle
from volok.store.store import Entry, Outcome, Store, StoreError, Visibility
from volok.store.tail import Tail

_Place = tuple[int, str]


class MemoryStore(Store):
    """The `Store` contract over dictionaries.

    A query looks at every event unless it names ids: meant for some ten thousand events.
    Ephemeral events take numbers like all others; `head` is that of the newest stored one.
    """

    def __init__(self, backlog: int = 10_000) -> None:
        """`backlog`: entries kept for a follower that does not keep up."""
        self._ledger = _MemoryLedger()
        self._tail = Tail(0, backlog)
        self._closed = False

    @property
    def head(self) -> int:
        """See Store."""
        return self._tail.head

    async def add(self, events: Sequence[Event], now: int) -> list[Outcome]:
        """See Store."""
        self._check_open()
        outcomes = [settle(self._ledger, event, now) for event in events]
        self._tail.publish(self._ledger.take_fresh(), self._ledger.head)
        return outcomes

    async def query(
        self,
        filters: Sequence[Filter],
        limit: int,
        now: int,
        visible: Visibility | None = None,
    ) -> list[Entry]:
        """See Store."""
        self._check_open()
        best: dict[int, Entry] = {}
        found: dict[int, Entry] = {}
        for wanted in filters:
            most = _least(wanted.limit, limit)
            if wanted.search is None:
                entries = self._ledger.newest(wanted, most, now, visible)
                found.update((entry.number, entry) for entry in entries)
            elif most > 0:
                candidates = self._ledger.newest(wanted, CANDIDATES, now, visible)
                matching = ranked(wanted.search, candidates)[:most]
                best.update((entry.number, entry) for entry in matching)
        rest = [entry for number, entry in found.items() if number not in best]
        rest.sort(key=lambda entry: _place(entry.event))
        return [*best.values(), *rest][: max(limit, 0)]

    async def count(
        self, filters: Sequence[Filter], now: int, visible: Visibility | None = None
    ) -> int:
        """See Store; `limit` is no condition here."""
        self._check_open()
        return len(
            {
                entry.number
                for wanted in filters
                for entry in self._ledger.newest(wanted, len(self._ledger.by_id), now, visible)
            }
        )

    async def log(self, after: int, limit: int, now: int) -> list[Entry]:
        """See Store."""
        self._check_open()
        return self._ledger.log(after, limit, now)

    def follow(self, after: int) -> AsyncIterator[Sequence[Entry]]:
        """See Store. Ends with StoreError when the store is closed."""

        async def read(start: int, limit: int) -> list[Entry]:
            return self._ledger.log(start, limit, None)

        return self._tail.follow(after, read)

    async def delete(self, ids: Sequence[str]) -> int:
        """See Store."""
        self._check_open()
        return self._ledger.erase_all([self._ledger.by_id.get(name) for name in set(ids)])

    async def expire(self, now: int) -> int:
        """See Store."""
        self._check_open()
        entries = self._ledger.by_id.values()
        return self._ledger.erase_all([e for e in entries if is_expired(e.event, now)])

    async def flush(self) -> None:
        """See Store: nothing is delayed, and nothing is durable."""
        self._check_open()

    async def close(self) -> None:
        """See Store. Harmless when called twice."""
        self._closed = True
        self._tail.close()

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError


class _MemoryLedger:
    """The state of a MemoryStore."""

    def __init__(self) -> None:
        self.by_id: dict[str, Entry] = {}
        self.head = 0
        self._number = 0
        self._by_number: dict[int, Entry] = {}
        self._order: list[_Place] = []
        self._current: dict[str, Event] = {}
        self._deleters: dict[str, frozenset[str]] = {}
        self._floors: dict[str, Version] = {}
        self._vanished: dict[str, int] = {}
        self._fresh: dict[int, Entry] = {}

    def newest(
        self, wanted: Filter, limit: int, now: int, visible: Visibility | None
    ) -> Iterator[Entry]:
        """The newest `limit` events that match, are shown and have not expired."""
        if wanted.ids is None:
            names: Iterator[str] = (name for _, name in self._order)
        else:
            here = [self.by_id[name].event for name in wanted.ids if name in self.by_id]
            names = (name for _, name in sorted(map(_place, here)))
        for name in names if limit > 0 else ():
            entry = self.by_id[name]
            if (
                wanted.matches(entry.event)
                and not is_expired(entry.event, now)
                and (visible is None or visible.shows(entry.event))
            ):
                yield entry
                limit -= 1
                if limit <= 0:
                    return

    def log(self, after: int, limit: int, now: int | None) -> list[Entry]:
        """Entries numbered above `after`; also expired ones if `now` is None."""
        entries: list[Entry] = []
        for number, entry in self._by_number.items():
            if len(entries) >= limit:
                break
            if number > after and (now is None or not is_expired(entry.event, now)):
                entries.append(entry)
        return entries

    def take_fresh(self) -> list[Entry]:
        """What followers have not been shown yet."""
        fresh = list(self._fresh.values())
        self._fresh.clear()
        return fresh

    def erase_all(self, entries: Sequence[Entry | None]) -> int:
        """Erase those that are here; returns how many were."""
        here = [entry.event for entry in entries if entry is not None]
        for event in here:
            self.erase(event)
        return len(here)

    def has(self, event_id: str) -> bool:
        return event_id in self.by_id

    def get(self, event_id: str) -> Event | None:
        entry = self.by_id.get(event_id)
        return None if entry is None else entry.event

    def current(self, place: str) -> Event | None:
        return self._current.get(place)

    def deleters(self, event_id: str) -> frozenset[str]:
        return self._deleters.get(event_id, frozenset())

    def floor(self, place: str) -> Version | None:
        return self._floors.get(place)

    def announce(self, event: Event) -> None:
        self._number += 1
        self._fresh[self._number] = Entry(self._number, event.to_json(), event)

    def insert(self, event: Event) -> None:
        self.announce(event)
        self.head = self._number
        self.by_id[event.id] = self._by_number[self.head] = self._fresh[self.head]
        insort(self._order, _place(event))
        place = address(event)
        if place is not None:
            self._current[place] = event

    def erase(self, event: Event) -> None:
        number = self.by_id.pop(event.id).number
        del self._by_number[number]
        self._fresh.pop(number, None)
        del self._order[bisect_left(self._order, _place(event))]
        place = address(event)
        if place is not None:
            del self._current[place]

    def bury(self, event_id: str, deleter: str) -> None:
        self._deleters[event_id] = self.deleters(event_id) | {deleter}

    def set_floor(self, place: str, floor: Version) -> None:
        self._floors[place] = floor

    def vanished(self, key: str) -> int | None:
        return self._vanished.get(key)

    def vanish(self, key: str, until: int) -> None:
        self._vanished[key] = until
        for event in [entry.event for entry in self.by_id.values()]:
            if event.created_at <= until and key in vanishing_keys(event):
                self.erase(event)


def _place(event: Event) -> _Place:
    return -event.created_at, event.id


def _least(limit: int | None, other: int) -> int:
    return other if limit is None else min(limit, other)
