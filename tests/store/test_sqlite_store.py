"""What only a store on a disk can get wrong: erasing, crashes, a full disk, keys, versions."""

from __future__ import annotations

import asyncio
import os
import random
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import apsw
import pytest

from volok.model.event import Event
from volok.model.filters import Filter
from volok.store import sqlite_log
from volok.store.conformance import ALICE, BOB, NOW, contents, make_event
from volok.store.sqlite_file import PAGE_BYTES, SqliteOptions
from volok.store.sqlite_store import SqliteStore
from volok.store.store import Outcome, StoreError, StoreFull

MARKER = re.compile(rb"<\d{12}>")


def all_bytes(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.iterdir()))


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = await SqliteStore.open(tmp_path / "store.db")
    yield store
    await store.close()


class Traffic:
    """Random events, which leave in every way there is; content and author carry markers."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.here: dict[str, tuple[Event, set[bytes]]] = {}
        self.deleters: set[bytes] = set()

    def new(self) -> Event:
        dice = self.random
        author, marker = (f"<{dice.randrange(10**12):012}>" for _ in range(2))
        tags = [["t", "x" + marker], ["expiration", str(NOW + dice.randrange(1, 60))]]
        event = make_event(
            dice.choice([0, 1, 1, 1059, 30_000]),
            (author.encode() + dice.randbytes(18)).hex(),
            NOW - dice.randrange(10**6),
            [*tags[: dice.randrange(3)], ["d", marker]],
            marker * dice.choice([1, 5, 20, 60, 120, 600]),
        )
        self.here[event.id] = event, {author.encode(), marker.encode()}
        return event

    async def turn(self, store: SqliteStore, now: int) -> None:
        await store.add([self.new() for _ in range(150)], NOW)
        await store.expire(now)
        for name in self.here.keys() - await contents(store, now):
            del self.here[name]
        leaving = self.random.sample(sorted(self.here), self.random.choice([20, 60, 120]))
        half = len(leaving) // 2
        assert await store.delete(leaving[:half]) == half
        deletions = []
        for name in leaving[half:]:
            event = self.here[name][0]
            deletions.append(make_event(5, event.pubkey, tags=[["e", name]]))
            self.deleters.add(bytes.fromhex(event.pubkey)[:14])
        assert set(await store.add(deletions, NOW)) == {Outcome.ADDED}
        for name in leaving:
            del self.here[name]
        await store.flush()


async def leftovers(folder: Path, turns: int) -> int:
    """How many markers of events that have left are in any file."""
    traffic = Traffic(seed=turns)
    store = await SqliteStore.open(folder / "store.db")
    for turn in range(turns):
        await traffic.turn(store, NOW + turn)
    expected = traffic.deleters.union(*(markers for _, markers in traffic.here.values()))
    found = set(MARKER.findall(all_bytes(folder)))
    await store.close()
    assert expected <= found
    assert set(MARKER.findall(all_bytes(folder))) == found
    return len(found - expected)


async def test_what_has_left_is_in_no_file(tmp_path: Path) -> None:
    assert await leftovers(tmp_path, turns=30) == 0


async def test_sqlite_alone_would_leave_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Why the log zeroes gaps; and that the test above can fail."""
    monkeypatch.setattr(sqlite_log, "_gap", lambda image, header: (0, 0))
    assert await leftovers(tmp_path, turns=30) > 0
