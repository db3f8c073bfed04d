"""`python -m bench.negentropy_relays`: reconciling with relays that hold a million events (NIP-77).

    --peer-command NAME=COMMAND  another relay, as for bench.relay_figures
    --records N                  a million unless said otherwise
    --differ N                   so many events are on one side alone; 100
    --rounds N                   3, in turns

Every relay is sent the same signed events. Then our client, which lacks half of `differ` and has as
many that the relay lacks, reconciles over a websocket with frames of at most 60,000 bytes. Seconds
are those from its first frame until it knows what differs, and of these those in which it waited
for the relay.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import uvloop
import websockets
from bench.relay_events import signed
from bench.relay_load import ingest
from bench.relay_peers import Peer, by_command, ours, running
from bench.relay_rounds import CONNECTIONS, frames

from volok.sync.negentropy import Initiator
from volok.sync.negentropy_records import Records, assemble, finish

_FRAME = 60_000
_FILL_SECONDS = 3600.0
_SECONDS = 300.0
_KIND = 1


def records_of(events: Sequence[bytes]) -> Records:
    """The set of some events: their times and ids."""
    found = [json.loads(one) for one in events]
    packed = sorted(
        one["created_at"].to_bytes(8, "big") + bytes.fromhex(one["id"]) for one in found
    )
    return finish(assemble([b"".join(packed)]))


async def reconcile(url: str, mine: Records) -> dict[str, float]:
    """One reconciliation as its client sees it."""
    up = down = trips = 0
    waited = 0.0
    need: set[bytes] = set()
    have: set[bytes] = set()
    async with websockets.connect(url, max_size=None, compression=None) as socket:
        begun = time.perf_counter()
        initiator = Initiator(mine, _FRAME)
        frame: bytes | None = initiator.start()
        head: list[Any] = ["NEG-OPEN", "bench", {"kinds": [_KIND]}]
        while frame is not None:
            up, trips = up + len(frame), trips + 1
            await socket.send(json.dumps([*head, frame.hex()]))
            asked = time.perf_counter()
            answer: list[Any] = []
            while answer[:2] != ["NEG-MSG", "bench"]:
                async with asyncio.timeout(_SECONDS):
                    answer = json.loads(await socket.recv())
                if answer[0] in ("NEG-ERR", "CLOSED"):
                    raise RuntimeError(f"The relay does not reconcile: {answer}")
            waited += time.perf_counter() - asked
            got = bytes.fromhex(answer[2])
            down += len(got)
            step = initiator.take(got)
            need |= set(step.need)
            have |= set(step.have)
            head, frame = ["NEG-MSG", "bench"], step.reply
        seconds = time.perf_counter() - begun
    found: dict[str, float] = {"seconds": seconds, "waited": waited, "up": up, "down": down}
    return {**found, "round_trips": trips, "differ": len(need) + len(have)}


async def run(peers: Sequence[Peer], records: int, differ: int, rounds: int, folder: Path) -> None:
    """Fill all, measure in turns, print."""
    half = differ // 2
    batch = signed(records + half, _KIND, "reconciled")
    mine = records_of(batch.events[half:])
    theirs = frames(replace(batch, events=batch.events[:records]))
    del batch
    async with AsyncExitStack() as stack:
        urls: dict[str, str] = {}
        for peer in peers:
            relay = await stack.enter_async_context(running(peer, folder / peer.name))
            rate = await ingest(relay.url, theirs, CONNECTIONS, _FILL_SECONDS)
            print(f"{peer.name} holds {rate.done:,}", file=sys.stderr, flush=True)
            urls[peer.name] = relay.url
        found: dict[str, list[dict[str, float]]] = {name: [] for name in urls}
        for _ in range(rounds):
            for name, url in urls.items():
                found[name].append(await reconcile(url, mine))
    for name, runs in found.items():
        line: dict[str, Any] = {"name": name, **runs[0]}
        for key in ("seconds", "waited"):
            values = [one[key] for one in runs]
            line[key] = round(statistics.median(values), 3)
            line[f"{key}_first"] = round(values[0], 3)
            line[f"{key}_range"] = [round(min(values), 3), round(max(values), 3)]
        print(json.dumps(line))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.negentropy_relays",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--peer-command", type=by_command, action="append", default=[])
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--differ", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory(prefix="volok-bench-") as folder:
        peers = [ours(), *given.peer_command]
        uvloop.run(run(peers, given.records, given.differ, given.rounds, Path(folder)))


if __name__ == "__main__":
    main()
