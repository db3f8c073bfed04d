"""`python -m bench.relay_flat [EVENTS]`: is our relay as fast when much is stored?

Measures ingest and queries over 100,000 stored events, adds events until there are EVENTS of them
(10 million unless said otherwise, which takes an hour on two cores), and measures again. Writes
bench/relay_flat.json with --write.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import uvloop
from bench.__main__ import machine
from bench.relay_events import Batch, signed
from bench.relay_load import ingest, query
from bench.relay_peers import Peer, by_command, disk_bytes, ours, running
from bench.relay_rounds import CONNECTIONS, frames, requests_for

RESULTS = Path(__file__).with_name("relay_flat.json")
FEW = 100_000
_CHUNK = 50_000
_ASKING = 8
_MEASURED = 30_000
_SECONDS = 6.0
_FILL_SECONDS = 600.0


async def measure(peer: Peer, folder: Path, count: int) -> dict[str, Any]:
    """Rates at 100,000 and at `count` stored events, and the disk of one event."""
    found: dict[str, Any] = {"machine": machine(), "relay": peer.name}
    stored = 0
    for size in (FEW, count):
        async with running(peer, folder) as relay:
            last = await _fill(relay.url, stored, size)
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


async def _fill(url: str, low: int, high: int) -> Batch:
    """Publish until so many are stored; returns the last events. Signs while it publishes."""
    parts = [(start, min(_CHUNK, high - start)) for start in range(low, high, _CHUNK)]
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1) as pool:
        making = [loop.run_in_executor(pool, _sign, part) for part in parts[:2]]
        for number, _ in enumerate(parts):
            batch = await making[number]
            if number + 2 < len(parts):
                making.append(loop.run_in_executor(pool, _sign, parts[number + 2]))
            await ingest(url, frames(batch), CONNECTIONS, _FILL_SECONDS)
    return batch


def _sign(part: tuple[int, int]) -> Batch:
    start, count = part
    return signed(count, 1, f"filling from {start}")


def main(words: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.relay_flat", description=__doc__)
    parser.add_argument("events", nargs="?", type=int, default=10_000_000)
    parser.add_argument("--relay-command", type=by_command, default=ours(), metavar="NAME=COMMAND")
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args(words)
    if given.events < 2 * FEW:
        parser.error(f"EVENTS has to be at least {2 * FEW:,}.")
    with tempfile.TemporaryDirectory(prefix="volok-bench-") as folder:
        found = uvloop.run(measure(given.relay_command, Path(folder) / "relay", given.events))
    few, many = found[str(FEW)], found[str(given.events)]
    for name in ("ingest", "query"):
        share = many[name] / few[name]
        print(f"{name}: {few[name]:,} a second, then {many[name]:,} ({share:.0%})")
    print(f"disk: {many['disk']:,} bytes per event")
    if given.write:
        RESULTS.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
