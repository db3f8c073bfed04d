"""What a store and the process that writes for it say to each other (`volok.store.children`).

From the store come `Start` and then changes; from the process `OPENED` and then what became of
them, as `DONE` or `FAILED`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson

from volok.model.event import event_of
from volok.store.sqlite_changes import Add, Change, Delete, Expire, Flush, Job
from volok.store.sqlite_file import SqliteOptions
from volok.store.store import Entry, Outcome, StoreError, StoreFull

OPENED, DONE, FAILED = "opened", "done", "failed"

_OUTCOMES = tuple(Outcome)
_PLACE = {outcome: place for place, outcome in enumerate(_OUTCOMES)}


@dataclass(frozen=True, slots=True)
class Start:
    """Which file is to be written."""

    path: Path
    key: bytes | None
    options: SqliteOptions

    def to_message(self) -> Any:
        """As it is sent."""
        return str(self.path), self.key, asdict(self.options)

    @classmethod
    def of(cls, message: Any) -> Start:
        """As it was received."""
        path, key, options = message
        return cls(Path(path), key, SqliteOptions(**options))


def change_to_message(ticket: int, change: Change) -> Any:
    """A change as it is sent."""
    match change:
        case Add():
            return ticket, "add", change.now, [event.to_json() for event in change.events]
        case Delete():
            return ticket, "delete", list(change.ids)
        case Expire():
            return ticket, "expire", change.now
        case Flush():
            return ticket, "flush"


def job_of(message: Any) -> Job:
    """A change as it was received."""
    match message:
        case ticket, "add", now, raws:
            return Job(Add([event_of(orjson.loads(raw), raw) for raw in raws], now), ticket)
        case ticket, "delete", ids:
            return Job(Delete(ids), ticket)
        case ticket, "expire", now:
            return Job(Expire(now), ticket)
        case ticket, "flush":
            return Job(Flush(), ticket)
    raise ValueError


def done_to_message(jobs: Sequence[Job], fresh: Sequence[Entry], head: int) -> Any:
    """What became of jobs, as it is sent: events by their places, 0 where there is no number."""
    numbers = {id(entry.event): entry.number for entry in fresh}
    found: list[tuple[int, Any, list[int]]] = []
    for job in jobs:
        if isinstance(job.change, Add):
            outcomes = bytes(_PLACE[outcome] for outcome in job.result)
            own = [numbers.get(id(event), 0) for event in job.change.events]
            found.append((job.ticket, outcomes, own))
        else:
            found.append((job.ticket, job.result, []))
    return DONE, head, found


@dataclass(frozen=True, slots=True)
class Done:
    """What became of one change."""

    ticket: int
    result: Any
    numbers: Sequence[int]
    """Of the events of an `Add`, in order; 0 for those that are not new."""


def done_of(found: Any) -> list[Done]:
    """The same, as it was received."""
    return [
        Done(
            ticket,
            [_OUTCOMES[place] for place in given] if isinstance(given, bytes) else given,
            numbers,
        )
        for ticket, given, numbers in found
    ]


def error_to_message(tickets: Sequence[int], error: StoreError) -> Any:
    """A failure as it is sent; no tickets when the file cannot be opened."""
    return FAILED, isinstance(error, StoreFull), list(tickets)


def error_of(is_full: bool) -> StoreError:
    """The same, as it was received."""
    return StoreFull() if is_full else StoreError()
