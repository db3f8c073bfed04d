"""What happens when an event reaches a store: the rules of `supersession`, applied to a ledger.

One procedure for every backend; a backend supplies the `Ledger`.
"""

from __future__ import annotations

from typing import Protocol

from volok.model.event import Event
from volok.model.supersession import (
    DELETION,
    VANISH,
    Lifetime,
    Version,
    address,
    deletion_floor,
    deletion_targets,
    is_expired,
    lifetime,
    may_delete,
    vanishing_keys,
    version,
)
from volok.store.store import Outcome


class Ledger(Protocol):
    """The state that the rules read and change. Each change is seen by the calls after it."""

    def has(self, event_id: str) -> bool:
        """Whether this event is stored."""

    def get(self, event_id: str) -> Event | None:
        """The stored event with this id."""

    def current(self, place: str) -> Event | None:
        """The one stored event at this address."""

    def deleters(self, event_id: str) -> frozenset[str]:
        """The keys whose deletions named this id."""

    def floor(self, place: str) -> Version | None:
        """The newest version of this address that a deletion took away."""

    def vanished(self, key: str) -> int | None:
        """The second of this key's newest request to vanish."""

    def announce(self, event: Event) -> None:
        """Number an ephemeral event and show it to followers."""

    def insert(self, event: Event) -> None:
        """Number an event, store it and show it to followers."""

    def erase(self, event: Event) -> None:
        """Remove a stored event and all that was kept of it."""

    def bury(self, event_id: str, deleter: str) -> None:
        """Remember that this key deleted this id."""

    def set_floor(self, place: str, floor: Version) -> None:
        """Remember the floor of an address."""

    def vanish(self, key: str, until: int) -> None:
        """Erase every stored event of up to `until` that has `key` among its `vanishing_keys`, and
        remember that it vanished."""


def settle(ledger: Ledger, event: Event, now: int) -> Outcome:
    """Offer one event to the ledger. `now` is in Unix seconds."""
    refused = _refusal(ledger, event, now)
    if refused is not None:
        return refused
    life = lifetime(event.kind)
    if life is Lifetime.EPHEMERAL:
        ledger.announce(event)
        return Outcome.ADDED
    if ledger.has(event.id):
        return Outcome.DUPLICATE
    deleted = _is_deleted(ledger, event)
    place = None if life is Lifetime.REGULAR else address(event)
    if place is not None:
        floor, here = ledger.floor(place), version(event)
        if deleted:
            _raise_floor(ledger, place, here)
        deleted = deleted or (floor is not None and not here.newer_than(floor))
        old = ledger.current(place)
        if old is not None:
            if here.newer_than(version(old)) or is_expired(old, now):
                ledger.erase(old)
            elif not deleted:
                return Outcome.SUPERSEDED
    if deleted:
        return Outcome.DELETED
    ledger.insert(event)
    if event.kind == DELETION:
        _delete(ledger, event)
    elif event.kind == VANISH:
        _vanish(ledger, event)
    return Outcome.ADDED


def _refusal(ledger: Ledger, event: Event, now: int) -> Outcome | None:
    """Why an event is not taken in, whatever is stored."""
    if is_expired(event, now):
        return Outcome.EXPIRED
    for key in vanishing_keys(event):
        until = ledger.vanished(key)
        if until is not None and event.created_at <= until:
            return Outcome.DELETED
    return None


def _vanish(ledger: Ledger, request: Event) -> None:
    until = ledger.vanished(request.pubkey)
    if until is None or request.created_at > until:
        ledger.vanish(request.pubkey, request.created_at)


def _is_deleted(ledger: Ledger, event: Event) -> bool:
    deleters = ledger.deleters(event.id)
    return bool(deleters) and any(may_delete(_request(key, event.id), event) for key in deleters)


def _request(deleter: str, target: str) -> Event:
    """What a remembered deletion said, as far as it is remembered."""
    return Event("", deleter, 0, DELETION, (("e", target),), "", "")


def _delete(ledger: Ledger, deletion: Event) -> None:
    targets = deletion_targets(deletion)
    for name in sorted(targets.ids):
        target = ledger.get(name)
        if target is None:
            ledger.bury(name, deletion.pubkey)
        elif may_delete(deletion, target):
            ledger.bury(name, deletion.pubkey)
            ledger.erase(target)
            place = address(target)
            if place is not None:
                _raise_floor(ledger, place, version(target))
    for place in sorted(targets.addresses):
        target = ledger.current(place)
        if target is not None and may_delete(deletion, target):
            ledger.erase(target)
        _raise_floor(ledger, place, deletion_floor(deletion))


def _raise_floor(ledger: Ledger, place: str, to: Version) -> None:
    floor = ledger.floor(place)
    if floor is None or to.newer_than(floor):
        ledger.set_floor(place, to)
