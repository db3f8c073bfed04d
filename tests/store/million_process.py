"""Adds wraps without end and says how many were taken in; to be killed."""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path

from volok.model.event import Event
from volok.store.conformance_tools import NOW
from volok.store.sqlite_store import SqliteStore

AT_ONCE = 2000


def wrap(dice: random.Random) -> Event:
    """A wrap whose id is no hash: to hash a million would take longer than to store them."""
    name, author, inbox = (dice.randbytes(32).hex() for _ in range(3))
    tags = (("p", inbox), ("expiration", str(NOW + 86_400)))
    content = dice.randbytes(200).hex()
    return Event(name, author, NOW - dice.randrange(172_800), 1059, tags, content, "0" * 128)


async def main(path: Path) -> None:
    store = await SqliteStore.open(path)
    dice, taken = random.Random(1), 0
    waiting: set[asyncio.Task[object]] = set()
    while True:
        events = [wrap(dice) for _ in range(AT_ONCE)]
        waiting.add(asyncio.create_task(store.add(events, NOW)))
        if len(waiting) > 2:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            taken += AT_ONCE * len(done)
            print(taken, flush=True)


asyncio.run(main(Path(sys.argv[1])))
