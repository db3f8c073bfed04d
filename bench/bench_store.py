"""SQLite with group commit against LMDB as the store of a relay: `python bench/bench_store.py`.

Both take the same events from many concurrent callers, and answer each only when it is durable,
with as many callers sharing a sync as wait for it. Signatures are not part of this. The LMDB side
is the least that does comparable work: a writer thread with group commit, the events by number, and
indexes by id, author, kind, time and tag. It neither replaces nor remembers deletions nor tells
followers, which would slow it further.

Rounds are interleaved, so that what else the machine does falls on all; ratios say more than the
figures themselves.
"""

from __future__ import annotations

import argparse
import asyncio
import queue
import random
import statistics
import struct
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import lmdb
import orjson

from volok.model.event import Event, parse_event
from volok.model.filters import Filter
from volok.store.conformance_tools import NOW, make_event
from volok.store.sqlite_file import index_key, tag_keys
from volok.store.sqlite_store import SqliteStore

MARK = b"content to be erased"


class LmdbStore:
    """Events in LMDB: durable group commit and the queries of this benchmark, nothing else."""

    INDEXES = ("id", "author", "kind", "time", "tag")

    def __init__(self, folder: Path) -> None:
        self.env = lmdb.open(str(folder), map_size=8 << 30, max_dbs=8)
        self.events = self.env.open_db(b"events", integerkey=True)
        self.by = {name: self.env.open_db(name.encode()) for name in self.INDEXES}
        self.number = 0
        self.loop = asyncio.get_running_loop()
        self.queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    async def add(self, events: Sequence[Event], now: int) -> list[bool]:
        future: asyncio.Future[list[bool]] = self.loop.create_future()
        self.queue.put((events, future))
        return await future

    async def query(self, filters: Sequence[Filter], limit: int, now: int) -> list[Event]:
        return await asyncio.to_thread(self._query, filters[0])

    async def flush(self) -> None:
        """Every commit is in place already."""

    async def delete(self, ids: Sequence[str]) -> int:
        return await asyncio.to_thread(self._delete, ids)

    async def close(self) -> None:
        self.queue.put(None)
        await asyncio.to_thread(self.thread.join)
        self.env.close()

    def _run(self) -> None:
        while (job := self.queue.get()) is not None:
            jobs = [job]
            while len(jobs) < 2000 and not self.queue.empty():
                jobs.append(self.queue.get())
            stop = None in jobs
            jobs = [job for job in jobs if job is not None]
            with self.env.begin(write=True) as txn:
                results = [[self._put(txn, event) for event in events] for events, _ in jobs]
            futures = [future for _, future in jobs]
            self.loop.call_soon_threadsafe(self._done, futures, results)
            if stop:
                return

    def _done(self, futures: list[asyncio.Future[Any]], results: list[list[bool]]) -> None:
        for future, result in zip(futures, results, strict=True):
            future.set_result(result)

    def _keys(self, event: Event, number: int) -> list[tuple[str, bytes]]:
        tail = struct.pack(">QQ", event.created_at, number)
        return [
            ("author", bytes.fromhex(event.pubkey) + tail),
            ("kind", struct.pack(">I", event.kind) + tail),
            ("time", tail),
            *(("tag", key + tail) for key in tag_keys(event)),
        ]

    def _put(self, txn: lmdb.Transaction, event: Event) -> bool:
        name = bytes.fromhex(event.id)
        if txn.get(name, db=self.by["id"]) is not None:
            return False
        self.number += 1
        txn.put(name, struct.pack("=Q", self.number), db=self.by["id"])
        txn.put(struct.pack("=Q", self.number), event.to_json(), db=self.events, append=True)
        for index, key in self._keys(event, self.number):
            txn.put(key, b"", db=self.by[index])
        return True

    def _query(self, wanted: Filter) -> list[Event]:
        found: list[Event] = []
        with self.env.begin() as txn:
            if wanted.ids is not None:
                for name in wanted.ids:
                    number = bytes(txn.get(bytes.fromhex(name), db=self.by["id"]) or b"")
                    found.append(self._read(txn, number))
                return found
            index, prefix = self._prefix(wanted)
            cursor = txn.cursor(db=self.by[index])
            # From the first key above the prefix backwards: newest first.
            if not cursor.set_range(prefix + b"\xff" * 16):
                cursor.last()
            else:
                cursor.prev()
            for key in cursor.iterprev(values=False):
                if not key.startswith(prefix):
                    break
                number = struct.pack("=Q", struct.unpack(">Q", key[-8:])[0])
                event = self._read(txn, number)
                if wanted.matches(event):
                    found.append(event)
                    if len(found) == wanted.limit:
                        break
        return found

    def _read(self, txn: lmdb.Transaction, number: bytes) -> Event:
        raw = bytes(txn.get(number, db=self.events) or b"")
        return parse_event(orjson.loads(raw), raw)

    def _prefix(self, wanted: Filter) -> tuple[str, bytes]:
        if wanted.tags:
            ((name, values),) = wanted.tags.items()
            (value,) = values
            return "tag", index_key(name, value)
        if wanted.authors:
            (author,) = wanted.authors
            return "author", bytes.fromhex(author)
        kind = min(wanted.kinds or [0])
        return "kind", struct.pack(">I", kind)

    def _delete(self, ids: Sequence[str]) -> int:
        with self.env.begin(write=True) as txn:
            for name in map(bytes.fromhex, ids):
                number = bytes(txn.pop(name, db=self.by["id"]) or b"")
                event = self._read(txn, number)
                txn.delete(number, db=self.events)
                for index, key in self._keys(event, struct.unpack("=Q", number)[0]):
                    txn.delete(key, db=self.by[index])
        return len(ids)


def make_events(count: int, seed: int) -> list[Event]:
    """Notes and sealed messages of some hundred bytes to some kilobytes, with two tags each."""
    dice = random.Random(seed)
    people = [dice.randbytes(32).hex() for _ in range(300)]
    events = []
    for n in range(count):
        tags = [["p", dice.choice(people)], ["e", dice.randbytes(32).hex()]]
        size = dice.choice([40, 80, 150, 300, 300, 1400])
        content = MARK.decode() + f" {seed} {n} " + dice.randbytes(size).hex()
        events.append(
            make_event(
                dice.choice([1, 1, 7, 1059]), dice.choice(people), NOW + n // 9, tags, content
            )
        )
        events[-1].to_json()
    return events


async def ingest(store: Any, events: list[Event], callers: int) -> float:
    """Durable events per second, each caller adding one event at a time."""

    async def caller(part: list[Event]) -> None:
        for event in part:
            await store.add([event], NOW)

    start = time.perf_counter()
    await asyncio.gather(*(caller(events[n::callers]) for n in range(callers)))
    return len(events) / (time.perf_counter() - start)


async def ask(store: Any, filters: list[Filter]) -> float:
    """Queries per second, four at a time."""

    async def caller(part: list[Filter]) -> None:
        for wanted in part:
            assert await store.query([wanted], 500, NOW)

    start = time.perf_counter()
    await asyncio.gather(*(caller(filters[n::4]) for n in range(4)))
    return len(filters) / (time.perf_counter() - start)


def make_filters(events: list[Event], count: int) -> dict[str, list[Filter]]:
    some = random.Random(1).sample(events, count)
    return {
        "query by id": [Filter(ids=frozenset([e.id])) for e in some],
        "query by author": [Filter(authors=frozenset([e.pubkey]), limit=20) for e in some],
        "query by tag": [
            Filter(tags={"p": frozenset(e.values("p"))}, kinds=frozenset([e.kind]), limit=20)
            for e in some
        ],
    }


def disk(folder: Path) -> int:
    """Bytes that the files occupy (LMDB's are sparse)."""
    return sum(path.stat().st_blocks * 512 for path in folder.iterdir())


def left(folder: Path, turn: int) -> int:
    """How often the contents of a round are found in the raw files."""
    return sum(path.read_bytes().count(b"%s %d " % (MARK, turn)) for path in folder.iterdir())


async def main(rounds: int, count: int, callers: int) -> None:
    makers: dict[str, Callable[[Path], Awaitable[Any]]] = {
        "SQLite": lambda folder: SqliteStore.open(folder / "store.db"),
        "SQLite encrypted": lambda folder: SqliteStore.open(folder / "store.db", b"k" * 32),
        "LMDB": _open_lmdb,
    }
    figures: dict[str, dict[str, list[float]]] = {name: {} for name in makers}

    def note(name: str, what: str, figure: float) -> None:
        figures[name].setdefault(what, []).append(figure)

    for turn in range(rounds):
        events = make_events(count, turn)
        filters = make_filters(events, 400)
        names = list(makers)
        for name in names[turn % 3 :] + names[: turn % 3]:
            with tempfile.TemporaryDirectory() as temporary:
                folder = Path(temporary)
                store = await makers[name](folder)
                note(name, "ingest", await ingest(store, events, callers))
                note(name, "ingest by one caller", await ingest(store, make_events(200, -1), 1))
                for what, asked in filters.items():
                    note(name, what, await ask(store, asked))
                await store.flush()
                note(name, "bytes on disk per event", disk(folder) / (count + 200))
                start = time.perf_counter()
                ids = [event.id for event in events]
                assert await store.delete(ids) == count
                note(name, "erased", count / (time.perf_counter() - start))
                await store.close()
                note(name, "copies left per erased event", left(folder, turn) / count)
    report(figures)


async def _open_lmdb(folder: Path) -> LmdbStore:
    return LmdbStore(folder)


def report(figures: dict[str, dict[str, list[float]]]) -> None:
    """Print the median of each figure, and the median over rounds of its ratio to LMDB."""
    lmdb_figures = figures["LMDB"]
    print(f"{'per second, unless it says otherwise':38}", *(f"{n:>24}" for n in figures))
    for what, base in lmdb_figures.items():
        cells = []
        for of_one in figures.values():
            pairs = zip(of_one[what], base, strict=True)
            ratios = [one / other for one, other in pairs if other > 0]
            ratio = f"{statistics.median(ratios):.2f}x" if ratios else "-"
            cells.append(f"{statistics.median(of_one[what]):>14,.2f} {ratio:>9}")
        print(f"{what:38}", *cells)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--events", type=int, default=12_000, help="in each round")
    parser.add_argument("--callers", type=int, default=500, help="that add at the same time")
    options = parser.parse_args()
    asyncio.run(main(options.rounds, options.events, options.callers))
