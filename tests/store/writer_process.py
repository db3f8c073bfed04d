"""Adds and deletes without end, and says each thing that a store acknowledged; to be killed."""

from __future__ import annotations

import asyncio
import sys
from hashlib import sha256
from pathlib import Path

from volok.store.conformance_tools import ALICE, BOB, NOW, make_event
from volok.store.sqlite_file import SqliteOptions
from volok.store.sqlite_store import SqliteStore
from volok.store.store import Outcome

OPTIONS = SqliteOptions(log_bytes=300_000, own_process="own" in sys.argv)


def say(*words: object) -> None:
    print(*words, flush=True)


async def show_numbers(store: SqliteStore) -> None:
    async for batch in store.follow(store.head):
        say("number", batch[-1].number)


async def work(store: SqliteStore, name: str) -> None:
    turn = 0
    while True:
        turn += 1
        event = make_event(content=f"<{name}-{turn}>" + "x" * (turn % 900), tags=[["p", BOB]])
        await store.add([event], NOW)
        say("added", event.id, f"<{name}-{turn}>")
        await store.add([make_event(20_000, content=f"{name} {turn}")], NOW)
        if turn % 3 == 0:
            say("deleting", event.id)
            await store.delete([event.id])
            say("deleted", event.id)


async def pour(store: SqliteStore, name: str) -> None:
    """Batches of wraps, and profiles that replace each other."""
    turn = 0
    while True:
        turn += 1
        wraps = [
            make_event(
                1059,
                sha256(f"{name} {turn} {n}".encode()).hexdigest(),
                NOW - n,
                [["p", ALICE], ["expiration", str(NOW + 86_400)]],
                "y" * 600,
            )
            for n in range(60)
        ]
        profile = make_event(0, sha256(name.encode()).hexdigest(), NOW + turn, content="profile")
        outcomes = await store.add([*wraps, profile], NOW)
        assert set(outcomes) <= {Outcome.ADDED, Outcome.DUPLICATE, Outcome.SUPERSEDED}
        for event in wraps:
            say("added", event.id, name)


async def main() -> None:
    store = await SqliteStore.open(Path(sys.argv[1]), options=OPTIONS)
    async with asyncio.TaskGroup() as group:
        group.create_task(show_numbers(store))
        for n in range(8):
            group.create_task(work(store, f"{sys.argv[2]}-{n}"))
        group.create_task(pour(store, f"{sys.argv[2]}-pour"))


asyncio.run(main())
