"""The writer in a process of its own: it is killed, and nobody who waits is left waiting."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from volok.model.event import Event
from volok.store import sqlite_log
from volok.store.conformance_tools import NOW, make_event
from volok.store.inspection import verify
from volok.store.sqlite_file import SqliteOptions
from volok.store.sqlite_store import SqliteStore
from volok.store.store import Entry, Outcome, Store, StoreError

OPTIONS = SqliteOptions(own_process=True)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = await SqliteStore.open(tmp_path / "store.db", options=OPTIONS)
    yield store
    await store.close()


def children() -> list[int]:
    """The processes that this one started and that have not ended."""
    found = []
    for task in Path("/proc/self/task").iterdir():
        found += [int(word) for word in (task / "children").read_text().split()]
    return [pid for pid in found if b"sqlite_process_main" in command(pid)]


def command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


async def seen_by_a_follower(store: Store, seen: list[Entry]) -> None:
    async for entries in store.follow(0):
        seen += entries


async def test_it_ends_with_the_store(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "store.db", options=OPTIONS)
    assert len(children()) == 1
    await store.close()
    assert not children()


async def test_killed_it_is_started_again_and_nothing_is_lost(
    store: SqliteStore, tmp_path: Path
) -> None:
    added: dict[str, Event] = {}
    refused = 0
    seen: list[Entry] = []
    following = asyncio.create_task(seen_by_a_follower(store, seen))

    async def pour(name: str) -> None:
        nonlocal refused
        for number in range(60):
            event = make_event(content=f"{name} {number}")
            try:
                assert await store.add([event], NOW) == [Outcome.ADDED]
                added[event.id] = event
            except StoreError:
                refused += 1
                await asyncio.sleep(0.01)  # as a client that tries again with the next
            if number == 20 and name == "0":
                os.kill(children()[0], signal.SIGKILL)

    async with asyncio.timeout(30):
        await asyncio.gather(*(pour(str(number)) for number in range(8)))
        assert refused > 0
        while True:
            try:
                last = make_event(content="after all")
                await store.add([last], NOW)
                break
            except StoreError:
                await asyncio.sleep(0.05)
        while last.id not in {entry.event.id for entry in seen}:
            await asyncio.sleep(0.01)
    following.cancel()
    stored = await store.log(0, 10_000, NOW)
    assert added.keys() <= {entry.event.id for entry in stored}
    # Also what was committed without that anybody heard of it, in order and once.
    assert seen == stored
    await store.close()
    assert not verify(tmp_path / "store.db", NOW).problems


async def test_another_one_waits_for_the_first_and_gives_up(
    store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_log, "_PATIENCE", 0.1)
    with pytest.raises(StoreError):
        await SqliteStore.open(tmp_path / "store.db")
    assert await store.add([make_event()], NOW) == [Outcome.ADDED]


async def test_a_file_that_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "store.db").write_bytes(b"something else, and long enough" * 100)
    with pytest.raises(StoreError):
        await SqliteStore.open(tmp_path / "store.db", options=OPTIONS)
    assert not children()


async def test_what_is_refused_is_told_by_its_name(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "store.db", options=OPTIONS)
    event = make_event(content="x")
    assert await store.add([event, event], NOW) == [Outcome.ADDED, Outcome.DUPLICATE]
    assert await store.add([], NOW) == []
    assert await store.delete([event.id, "0" * 64]) == 1
    await store.close()
    with pytest.raises(StoreError):
        await store.add([event], NOW)
