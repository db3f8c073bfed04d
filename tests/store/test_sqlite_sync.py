"""Nobody hears of a commit before the log is synced."""

from __future__ import annotations

import queue
from collections.abc import Sequence
from threading import Event as Flag

import pytest

from volok.model.event import Event
from volok.store.sqlite_changes import Flush, Job
from volok.store.sqlite_sync import Commit, Syncing
from volok.store.store import Entry, StoreError


class Heard:
    """Callers who note what they are told."""

    def __init__(self) -> None:
        self.told: queue.SimpleQueue[tuple[str, object]] = queue.SimpleQueue()

    def gather(self, events: int, seconds: float | None) -> tuple[list[Job], bool]:
        return [], False

    def done(self, jobs: Sequence[Job], fresh: Sequence[Entry], head: int) -> None:
        self.told.put(("done", head))

    def failed(self, jobs: Sequence[Job], error: StoreError) -> None:
        self.told.put(("failed", jobs[0].ticket))


ENTRY = Entry(1, b"{}", Event("", "", 0, 1, (), "", ""))
FEW, MANY = 1, 100


def commit(number: int, events: int = MANY) -> Commit:
    return Commit([Job(Flush(), number)], [ENTRY] * events, number)


def test_commits_are_told_in_order_after_the_sync() -> None:
    heard, may_sync = Heard(), Flag()
    syncing = Syncing(lambda: may_sync.wait(30) or None, heard)
    syncing.put(commit(1))
    syncing.put(commit(2))
    assert heard.told.empty()
    may_sync.set()
    syncing.put(commit(3))
    syncing.close()
    assert [heard.told.get(timeout=30) for _ in range(3)] == [("done", n) for n in (1, 2, 3)]
    assert not syncing.has_failed


def test_a_small_commit_is_told_at_once_and_never_before_those_that_wait() -> None:
    heard, may_sync = Heard(), Flag()
    may_sync.set()
    syncing = Syncing(lambda: may_sync.wait(30) or None, heard)
    syncing.put(commit(1, FEW))
    assert heard.told.get_nowait() == ("done", 1)
    may_sync.clear()
    syncing.put(commit(2))
    syncing.put(commit(3, FEW))
    assert heard.told.empty()
    may_sync.set()
    syncing.close()
    assert [heard.told.get(timeout=30) for _ in range(2)] == [("done", 2), ("done", 3)]


@pytest.mark.parametrize("events", [FEW, MANY])
def test_a_disk_that_fails(events: int) -> None:
    heard = Heard()
    fails = iter([False, True, False])

    def sync() -> None:
        if next(fails):
            raise OSError

    syncing = Syncing(sync, heard)
    for number in (1, 2, 3):
        syncing.put(commit(number, events))
    told = [heard.told.get(timeout=30) for _ in range(3)]
    assert told == [("done", 1), ("failed", 2), ("failed", 3)]  # the third is behind a gap
    assert syncing.has_failed
    syncing.has_failed = False  # somebody made up for it
    syncing.put(commit(4, events))
    syncing.close()
    assert heard.told.get(timeout=30) == ("done", 4)
    assert not syncing.has_failed
