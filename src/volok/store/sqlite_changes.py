"""What can be asked of whoever writes a SqliteStore, and how a ledger carries it out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from volok.model.event import Event
from volok.store.settle import settle
from volok.store.sqlite_ledger import SqliteLedger
from volok.store.store import Entry, StoreError

EXPIRE_AT_ONCE = 1000
"""Events that one commit erases, so that others need not wait for all."""


@dataclass(frozen=True, slots=True)
class Add:
    """Offer events; gives their outcomes. `now` is in Unix seconds."""

    events: Sequence[Event]
    now: int
    cuts: ClassVar[bool] = False
    """Whether what was erased must be in no file any more when the change is done."""


@dataclass(frozen=True, slots=True)
class Delete:
    """Erase events by id; gives how many were here."""

    ids: Sequence[str]
    cuts: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class Expire:
    """Erase at most `EXPIRE_AT_ONCE` events that have expired by `now`; gives how many."""

    now: int
    cuts: ClassVar[bool] = False


@dataclass(frozen=True, slots=True)
class Flush:
    """Change nothing; done when all before it is durable."""

    cuts: ClassVar[bool] = True


Change = Add | Delete | Expire | Flush


def carry_out(change: Change, ledger: SqliteLedger) -> Any:
    """Make a change inside the ledger's transaction; returns what the change gives."""
    match change:
        case Add():
            return [settle(ledger, event, change.now) for event in change.events]
        case Delete():
            return ledger.delete(change.ids)
        case Expire():
            return ledger.expire(change.now, EXPIRE_AT_ONCE)
        case Flush():
            return None


@dataclass(slots=True)
class Job:
    """A change that waits for its commit."""

    change: Change
    ticket: Any
    """What whoever asked for it knows it by."""
    result: Any = None
    """What the change gave."""


class Callers(Protocol):
    """Those who ask for changes, as the writer sees them."""

    def gather(self, events: int, seconds: float | None) -> tuple[list[Job], bool]:
        """The jobs of the next commit, and whether there will be more.

        Waits for the first, at most so many seconds: then there may be none. No more are taken
        once they hold so many events.
        """

    def done(self, jobs: Sequence[Job], fresh: Sequence[Entry], head: int) -> None:
        """These are durable; `fresh` is what the commit brought, by number."""

    def failed(self, jobs: Sequence[Job], error: StoreError) -> None:
        """None of these changed anything, or what they erased may still be in a file."""


def events_in(job: Job) -> Sequence[Event]:
    """What a job will offer to the ledger."""
    return job.change.events if isinstance(job.change, Add) else ()
