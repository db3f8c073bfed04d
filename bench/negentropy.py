"""`python -m bench.negentropy`: two sets that differ in a few records, ours beside other libraries.

    python -m bench.negentropy [--records N] [--differ N] [--limit BYTES] [--rounds N]
                               [--reference Negentropy.js] [--sqlite]

The same two sets go through our implementation and, with --reference, through js/Negentropy.js of
the reference implementation (github.com/hoytech/negentropy), in turns. Bytes are those of the
binary frames; seconds are those of the library alone: making both sets, then all frames of both
sides. With --sqlite, one set is read from a store of as many events besides, as a relay does it.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.sync.negentropy_peer import Other, Ours, Side, course

from volok.model.event import Event
from volok.model.filters import Filter
from volok.store.sqlite_file import SqliteOptions
from volok.store.sqlite_store import SqliteStore

START = 1_600_000_000
_BATCH = 5_000


def two_sets(count: int, differ: int) -> tuple[bytes, bytes]:
    """Two sets of `count` records each, packed; half of `differ` is in one alone, half in the
    other."""
    one_sided = random.Random(77).sample(range(count + differ - differ // 2), differ)
    first, second = set(one_sided[: differ // 2]), set(one_sided[differ // 2 :])
    total = count + differ - differ // 2
    records = [
        (START + number * 60 // 7).to_bytes(8, "big") + hashlib.sha256(b"%d" % number).digest()
        for number in range(total)
    ]
    ours, theirs = (
        b"".join(one for number, one in enumerate(records) if number not in missing)
        for missing in (second, first)
    )
    return ours, theirs


def measure(name: str, initiator: Side, responder: Side, differ: int) -> dict[str, Any]:
    """One reconciliation, as a line of the table."""
    made = initiator.seconds + responder.seconds
    result = course(initiator, responder)
    assert len(result.have) + len(result.need) == differ, "The sets were not reconciled."
    return {
        "name": name,
        "up": sum(map(len, result.up)),
        "down": sum(map(len, result.down)),
        "round_trips": len(result.up),
        "make_seconds": made,
        "frame_seconds": initiator.seconds + responder.seconds - made,
    }


async def read_from_store(count: int) -> float:
    """Seconds in which a store of `count` small events gives the stamps of all."""
    with tempfile.TemporaryDirectory() as folder:
        options = SqliteOptions(group_events=_BATCH)
        store = await SqliteStore.open(Path(folder) / "events.db", options=options)
        try:
            for start in range(0, count, _BATCH):
                await store.add([_event(n) for n in range(start, min(start + _BATCH, count))], 0)
            begun = time.perf_counter()
            runs = await store.stamps([Filter()], count, 0)
            seconds = time.perf_counter() - begun
            assert sum(map(len, runs)) == 40 * count
            return seconds
        finally:
            await store.close()


def _event(number: int) -> Event:
    name = hashlib.sha256(b"%d" % number).hexdigest()
    author = hashlib.sha256(b"author %d" % (number % 1_000)).hexdigest()
    return Event(name, author, START + number * 60 // 7, 1, (), "x" * 100, "00" * 64)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--differ", type=int, default=100)
    parser.add_argument("--limit", type=int, default=60_000, help="bytes of a frame; 0 for any")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sqlite", action="store_true")
    given_by_environment = os.environ.get("VOLOK_NEGENTROPY_JS")
    parser.add_argument("--reference", type=Path, default=given_by_environment)
    given = parser.parse_args()
    ours, theirs = two_sets(given.records, given.differ)
    runs: list[dict[str, Any]] = []
    for _ in range(given.rounds):
        mine = [Ours(one, given.limit, initiates=one is ours) for one in (ours, theirs)]
        runs.append(measure("Volok", *mine, given.differ))
        if given.reference:
            its = [Other(Path(given.reference), one, given.limit) for one in (ours, theirs)]
            runs.append(measure("reference (JavaScript)", *its, given.differ))
    for name in dict.fromkeys(run["name"] for run in runs):
        of_name = [run for run in runs if run["name"] == name]
        line = {**of_name[0]}
        for key in ("make_seconds", "frame_seconds"):
            values = [run[key] for run in of_name]
            line[key] = round(statistics.median(values), 3)
            line[f"{key}_range"] = [round(min(values), 3), round(max(values), 3)]
        print(json.dumps(line))
    if given.sqlite:
        print(
            json.dumps(
                {"name": "store", "read_seconds": asyncio.run(read_from_store(given.records))}
            )
        )


if __name__ == "__main__":
    main()
