"""`python -m bench.relay_flat [EVENTS]`: is our relay as fast when much is stored?

Measures ingest and queries over 100,000 stored events, adds events until there are EVENTS of them
(10 million unless said otherwise: a quarter of an hour on two cores), and measures again. Writes
bench/relay_flat.json with --write.

What is stored in between is put straight into the store, with signatures that nobody has made: a
relay verifies what comes, not what is there.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import uvloop
from bench.__main__ import machine
from bench.relay_events import Batch, signed, unsigned
from bench.relay_load import ingest, query
from bench.relay_peers import Peer, disk_bytes, ours, running
from bench.relay_rounds import CONNECTIONS, frames, requests_for

from volok.model.event import event_of
from volok.relay.export import EVENTS_FILE
from volok.store.sqlite_file import SqliteOptions
from volok.store.sqlite_store import SqliteStore

RESULTS = Path(__file__).with_name("relay_flat.json")
FEW = 100_000
_CHUNK = 10_000
_FILLING_LOG, _FILLING_CACHE = 512 << 20, 1 << 30
"""Large, so that filling takes minutes: it is not what is measured, and gives the same file."""
_ASKING = 8
_MEASURED = 30_000
_SECONDS = 6.0
_TOLD = 500_000


async def measure(peer: Peer, folder: Path, count: int) -> dict[str, Any]:
    """Rates at 100,000 and at `count` stored events, and the disk of one event."""
    found: dict[str, Any] = {"machine": machine(), "relay": peer.name}
    stored = 0
    for size in (FEW, count):
        last = await _fill(folder, stored, size)
        async with running(peer, folder) as relay:
            more = signed(_MEASURED, 1, f"measured at {size}")
            taken = await ingest(relay.url, frames(more), CONNECTIONS, _SECONDS)
            asked = await query(relay.url, requests_for(last), _ASKING, _SECONDS)
        stored = size + taken.done
        found[str(size)] = {
            "ingest": round(taken.per_second),
            "query": round(asked.per_second),
            "disk": round(disk_bytes(folder) / stored),
        }
        print(size, found[str(size)], file=sys.stderr, flush=True)
    return found


async def _fill(folder: Path, low: int, high: int) -> Batch:
    """Store events until there are so many; returns the last ones."""
    folder.mkdir(exist_ok=True)
    options = SqliteOptions(
        own_process=True,
        group_events=_CHUNK,
        log_bytes=_FILLING_LOG,
        cache_bytes=_FILLING_CACHE,
    )
    store = await SqliteStore.open(folder / EVENTS_FILE, options=options)
    adding: asyncio.Task[object] | None = None
    for start in range(low, high, _CHUNK):
        last = unsigned(min(_CHUNK, high - start), 1, f"filling from {start}")
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
    return last


def main(words: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.relay_flat", description=__doc__)
    parser.add_argument("events", nargs="?", type=int, default=10_000_000)
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args(words)
    if given.events < 2 * FEW:
        parser.error(f"EVENTS has to be at least {2 * FEW:,}.")
    with tempfile.TemporaryDirectory(prefix="volok-bench-") as folder:
        found = uvloop.run(measure(ours(), Path(folder) / "relay", given.events))
    few, many = found[str(FEW)], found[str(given.events)]
    for name in ("ingest", "query"):
        share = many[name] / few[name]
        print(f"{name}: {few[name]:,} a second, then {many[name]:,} ({share:.0%})")
    print(f"disk: {many['disk']:,} bytes per event")
    if given.write:
        RESULTS.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
