"""Whether a store stays as fast as it fills: `python -m bench.flat --events 2000000`.

Unsigned synthetic events go through the store alone, as a relay would hand them over: batches from
several callers, each answered when it is durable. Nine in ten are wraps from throw-away keys to
some thousand inboxes, with ids in random order: the hardest mix for an index. At each tenfold count
from 10,000 on, and at the end, it prints what the last tenth of that count was taken in at, the
rates of queries, the bytes on disk per event, and how long the longest wait of a caller was.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import resource
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from volok.model.event import Event
from volok.model.filters import Filter
from volok.store.sqlite_store import SqliteStore

NOW = 1_700_000_000
DAY = 86_400
INBOXES = 5_000
AUTHORS = 2_000
BATCH = 500
CALLERS = 4
QUERIES = 60


class Source:
    """Events without end. Ids are random, as hashes are."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(seed)
        self.inboxes = [self._dice.randbytes(32).hex() for _ in range(INBOXES)]
        self.authors = [self._dice.randbytes(32).hex() for _ in range(AUTHORS)]
        self.made = 0

    def batch(self) -> list[Event]:
        """The next events."""
        events = [self._event() for _ in range(BATCH)]
        self.made += BATCH
        return events

    def _event(self) -> Event:
        dice = self._dice
        name, second = dice.randbytes(32).hex(), NOW + self.made // 2_000
        if dice.random() < 0.9:
            expires = str((second // DAY + 30) * DAY)
            tags = (("p", dice.choice(self.inboxes)), ("expiration", expires))
            content = dice.randbytes(dice.choice([150, 300, 300, 600])).hex()
            author, second, kind = dice.randbytes(32).hex(), second - dice.randrange(2 * DAY), 1059
        else:
            tags = (("e", dice.randbytes(32).hex()), ("p", dice.choice(self.authors)))
            content, author, kind = "a note of no great length", dice.choice(self.authors), 1
        event = Event(name, author, second, kind, tags, content, "0" * 128)
        event.to_json()
        return event


@dataclass(slots=True)
class Intake:
    """How batches were taken in."""

    events: int = 0
    seconds: float = 0
    cpu: float = 0
    longest: float = 0


async def fill(store: SqliteStore, source: Source, count: int) -> Intake:
    """Add `count` events; making them is not part of the time."""
    done = Intake()
    while done.events < count:
        some = [source.batch() for _ in range(min(40, (count - done.events) // BATCH or 1))]
        batches: Iterator[list[Event]] = iter(some)

        async def caller(batches: Iterator[list[Event]] = batches) -> None:
            for batch in batches:
                start = time.perf_counter()
                await store.add(batch, NOW)
                done.longest = max(done.longest, time.perf_counter() - start)

        start, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(caller() for _ in range(CALLERS)))
        done.seconds += time.perf_counter() - start
        done.cpu += time.process_time() - cpu
        done.events += len(some) * BATCH
    return done


async def ask(store: SqliteStore, source: Source) -> dict[str, float]:
    """Stored events read per second, by what is asked for; ids in questions per second."""
    dice = random.Random(1)
    some = [entry.event for entry in await store.log(store.head // 2, QUERIES, NOW)]
    asked = {
        "newest": [Filter(limit=500)] * QUERIES,
        "by kind": [Filter(kinds=frozenset([1]), limit=500)] * QUERIES,
        "by inbox": [
            Filter(kinds=frozenset([1059]), tags={"p": frozenset([key])}, limit=500)
            for key in dice.sample(source.inboxes, QUERIES)
        ],
        "by author": [
            Filter(authors=frozenset([key]), limit=500)
            for key in dice.sample(source.authors, QUERIES)
        ],
        "by id": [Filter(ids=frozenset([event.id])) for event in some],
    }
    rates = {}
    for what, filters in asked.items():
        start, found = time.perf_counter(), 0
        for wanted in filters:
            found += len(await store.query([wanted], 500, NOW))
        rates[what] = found / (time.perf_counter() - start)
    return rates


async def main(events: int, folder: Path | None) -> None:
    """Fill a store and print a line at each size."""
    sizes = [10**n for n in range(4, 9) if 10**n < events] + [events]
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        path = Path(temporary) / "store.db"
        source = Source(1)
        store = await SqliteStore.open(path)
        for size in sizes:
            await fill(store, source, (size - source.made) * 9 // 10)
            last = await fill(store, source, size - source.made)
            await store.flush()
            rates = await ask(store, source)
            print(
                f"{source.made:>10} events: {last.events / last.seconds:>7.0f}/s taken in,"
                f" {last.cpu / last.events * 1e6:>5.1f} us of CPU each,"
                f" longest wait {last.longest * 1000:>5.0f} ms,"
                f" {path.stat().st_size / source.made:>5.0f} bytes each; read per second:",
                ", ".join(f"{what} {rate:.0f}" for what, rate in rates.items()),
                flush=True,
            )
        await store.close()
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"most memory {memory:.0f} MiB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, help="where the store is made, for another disk")
    options = parser.parse_args()
    asyncio.run(main(options.events, options.folder))
