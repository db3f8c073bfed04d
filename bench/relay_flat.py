"""`python -m bench.relay_flat [EVENTS]`: is our relay as fast when much is stored?

Fills one store with 100,000 events and one with EVENTS of them (10 million unless said otherwise: a
quarter of an hour on two cores), and measures ingest and queries over both, in interleaved rounds.
Ingest is measured twice: as soon as the relay has started (`start`), when the pages that it changes
are still on the disk where there are many, and after that (`ingest`). Writes bench/relay_flat.json
with --write.

The stored events are those of a month, in the order of their times; what is published while it is
measured is of now, as everywhere where people write. Where a relay takes in the past of others, the
times are in no order: `--scattered` stores and publishes events so.

What is stored before is put straight into the store, with signatures that nobody has made: a relay
verifies what comes, not what is there. All words of it are in the index before anything is
measured, as they are on a relay that had a quiet minute.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import uvloop
from bench.__main__ import machine
from bench.relay_events import Batch, Crowd, signed, unsigned
from bench.relay_load import ingest, query
from bench.relay_peers import Peer, disk_bytes, ours, running
from bench.relay_rounds import CONNECTIONS, frames, requests_for

from volok.model.event import event_of
from volok.relay.export import EVENTS_FILE
from volok.store.sqlite_file import PAGE_BYTES, SqliteOptions, open_writer
from volok.store.sqlite_ledger import SqliteLedger
from volok.store.sqlite_log import Log
from volok.store.sqlite_store import SqliteStore

RESULTS = Path(__file__).with_name("relay_flat.json")
FEW = 100_000
_CHUNK = 10_000
_FILLING_LOG, _FILLING_CACHE = 512 << 20, 1 << 30
"""Large, so that filling takes minutes: it is not what is measured, and gives the same file."""
_AUTHORS = 1_000
_MONTH = 30 * 86_400
_ASKING = 8
_RATES = ("start", "ingest", "query")
_MEASURED = 60_000
_SECONDS = 6.0
_TOLD = 500_000


@dataclass(frozen=True, slots=True)
class Month:
    """When the events were written: `count` of them since `start`, in Unix seconds."""

    start: int
    count: int
    scattered: bool

    def crowd(self, low: int, high: int) -> Crowd:
        """Of the events that are stored between these."""
        if self.scattered:
            return Crowd(_AUTHORS, self.start, _MONTH)
        start, end = (self.start + number * _MONTH // self.count for number in (low, high))
        return Crowd(_AUTHORS, start, end - start)

    @property
    def now(self) -> Crowd:
        """Of the events that are published while it is measured."""
        return self.crowd(0, self.count) if self.scattered else Crowd(_AUTHORS, seconds=60)


@dataclass(frozen=True, slots=True)
class Stored:
    """A filled folder that rounds begin from, and where it was filled."""

    month: Month
    folder: Path
    last: Batch


async def measure(peer: Peer, stored: Sequence[Stored], rounds: int) -> list[dict[str, list[int]]]:
    """Rates over each of these, a list of one for each round. Each round of a store begins with it
    as it was filled, but for the last of them, which is too large to be copied."""
    found: list[dict[str, list[int]]] = [{name: [] for name in _RATES} for _ in stored]
    for number in range(rounds):
        for one, rates in list(zip(stored, found, strict=True))[:: 1 if number % 2 == 0 else -1]:
            with tempfile.TemporaryDirectory(prefix="volok-bench-") as copy:
                folder = one.folder
                if one is not stored[-1]:
                    folder = Path(shutil.copytree(one.folder, copy, dirs_exist_ok=True))
                more = frames(signed(2 * _MEASURED, 1, f"measured in {number}", one.month.now))
                async with running(peer, folder) as relay:
                    measured = (
                        await ingest(relay.url, more[:_MEASURED], CONNECTIONS, _SECONDS),
                        await ingest(relay.url, more[_MEASURED:], CONNECTIONS, _SECONDS),
                        await query(relay.url, requests_for(one.last), _ASKING, _SECONDS),
                    )
            for name, rate in zip(_RATES, measured, strict=True):
                rates[name].append(round(rate.per_second))
            told = {name: values[-1] for name, values in rates.items()}
            print(f"{one.month.count:,}", told, file=sys.stderr, flush=True)
    return found


async def _run(folder: Path, count: int, scattered: bool, rounds: int) -> dict[str, Any]:
    stored, disk = [], {}
    for size in (FEW, count):
        month = Month(int(time.time()) - _MONTH, size, scattered)
        there = folder / str(size)
        stored.append(Stored(month, there, await fill(there, month)))
        disk[str(size)] = round(disk_bytes(there) / size)
    found = await measure(ours(), stored, rounds)
    return {
        "machine": machine(),
        "scattered": scattered,
        "disk": disk,
        **{str(one.month.count): rates for one, rates in zip(stored, found, strict=True)},
    }


async def fill(folder: Path, month: Month) -> Batch:
    """Store the events of a month; returns the last ones."""
    folder.mkdir(exist_ok=True)
    options = SqliteOptions(
        own_process=True,
        group_events=_CHUNK,
        log_bytes=_FILLING_LOG,
        cache_bytes=_FILLING_CACHE,
    )
    store = await SqliteStore.open(folder / EVENTS_FILE, options=options)
    adding: asyncio.Task[object] | None = None
    for start in range(0, month.count, _CHUNK):
        end = min(start + _CHUNK, month.count)
        last = unsigned(end - start, 1, f"filling from {start}", month.crowd(start, end))
        events = [event_of(orjson.loads(raw), raw) for raw in last.events]
        if adding is not None:
            await adding
        adding = asyncio.create_task(store.add(events, int(time.time())))
        if start % _TOLD == 0:
            print(f"{start:,} stored", file=sys.stderr, flush=True)
        await asyncio.sleep(0)  # it begins
    if adding is not None:
        await adding
    await store.close()
    _take_words(folder / EVENTS_FILE, options)
    return last


def _take_words(path: Path, options: SqliteOptions) -> None:
    connection = open_writer(path, None, options)
    log = Log(connection, path, None)
    ledger = SqliteLedger(connection)
    while ledger.take_words():
        if log.pages * PAGE_BYTES > options.log_bytes:
            log.cut()
    log.cut()
    connection.close()
    log.close()


def spread(values: Sequence[int]) -> str:
    """The median, and the least and the most."""
    return f"{statistics.median(values):,.0f} ({min(values):,} to {max(values):,})"


def main(words: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.relay_flat", description=__doc__)
    parser.add_argument("events", nargs="?", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scattered", action="store_true", help="times in no order")
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args(words)
    if given.events < 2 * FEW:
        parser.error(f"EVENTS has to be at least {2 * FEW:,}.")
    with tempfile.TemporaryDirectory(prefix="volok-bench-") as folder:
        found = uvloop.run(_run(Path(folder), given.events, given.scattered, given.rounds))
    few, many = found[str(FEW)], found[str(given.events)]
    for name in _RATES:
        shares = [large / small for large, small in zip(many[name], few[name], strict=True)]
        print(
            f"{name}: {spread(few[name])} a second with {FEW:,} stored, {spread(many[name])} with"
            f" {given.events:,}: {statistics.median(shares):.0%}"
            f" ({min(shares):.0%} to {max(shares):.0%})"
        )
    print(f"disk: {found['disk'][str(given.events)]:,} bytes per event")
    if given.write:
        RESULTS.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
