"""What an event costs on PostgreSQL and NATS: `python -m bench.cluster [--events N] [--rounds N]`.

Starts a PostgreSQL that syncs every commit and a NATS server, both private to the run, and measures
the store as relays use it, without sockets and signatures: durable events a second by one process
and by two, processor time of each side, bytes in tables, indices and log, deletion, queries, and
the delay from one store to a follower of another over the bus; then whole relays, with both.
docs/scale.md is worked out from this.

The events are sealed messages of the smallest size (kind 1059, one `p` tag, 30 days), 64 callers
each adding 16 at a time.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import uvloop
import websockets
from bench.proc import cpu_ms
from tests.relay.cluster import new_relay
from tests.store.cluster_servers import Postgres, nats_server, postgres_server

from volok.model.envelope import BUCKETS, KIND_ENVELOPE, content_length
from volok.model.event import Event, sign_event
from volok.model.filters import Filter
from volok.native import NativeCrypto
from volok.store.conformance_tools import make_event
from volok.store.key_file import KEY_FILE, KeyFile
from volok.store.nats_bus import NatsBus
from volok.store.postgres_store import PostgresStore

NOW = int(time.time())
DAY = 86_400
INBOXES = 2000
CALLERS, AT_ONCE = 64, 16
OPEN_KIND = 7


def messages(count: int, seed: int) -> list[Event]:
    """Sealed messages of the smallest size to many inboxes, from keys that are used once."""
    dice = random.Random(seed)
    inboxes = [random.Random(n).randbytes(32).hex() for n in range(INBOXES)]
    events = []
    for _ in range(count):
        sent = NOW - DAY // 2 - dice.randrange(DAY)
        tags = [["p", dice.choice(inboxes)], ["expiration", str(sent + 30 * DAY)]]
        content = base64.b64encode(dice.randbytes(content_length(BUCKETS[0]) // 4 * 3)).decode()
        events.append(make_event(KIND_ENVELOPE, dice.randbytes(32).hex(), sent, tags, content))
        events[-1].to_json()
    return events


async def add_all(store: PostgresStore, events: Sequence[Event]) -> None:
    """Add them from many callers."""

    async def caller(part: Sequence[Event]) -> None:
        for start in range(0, len(part), AT_ONCE):
            await store.add(part[start : start + AT_ONCE], NOW)

    await asyncio.gather(*(caller(events[n::CALLERS]) for n in range(CALLERS)))


async def work(url: str, bus: str, folder: Path, count: int, seed: int) -> None:
    """One relay's share, in a process of its own: waits for a line, works, prints what it took."""
    events = messages(count, seed)
    store = await PostgresStore.open(url, folder, NativeCrypto(), NatsBus(bus))
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    start, used = time.perf_counter(), time.process_time()
    await add_all(store, events)
    took, used = time.perf_counter() - start, time.process_time() - used
    print(json.dumps({"seconds": took, "cpu": used}), flush=True)
    await store.close()


def ingest(
    postgres: Postgres, bus: str, url: str, folders: list[Path], count: int, seed: int
) -> dict[str, float]:
    """Durable events a second by as many processes as there are folders."""
    share = count // len(folders)
    processes = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "bench.cluster", "--worker"),
                *(url, bus, str(folder), str(share), str(seed + n)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for n, folder in enumerate(folders)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    lsn = postgres.sql("SELECT pg_current_wal_lsn()")
    used = server_cpu(postgres)
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    said = [json.loads(process.stdout.readline()) for process in processes if process.stdout]
    used = server_cpu(postgres) - used
    written = int(postgres.sql(f"SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '{lsn}')"))
    for process in processes:
        process.communicate()
    events = share * len(folders)
    return {
        "rate": events / max(one["seconds"] for one in said),
        "relay_us": 1e6 * sum(one["cpu"] for one in said) / events,
        "server_us": 1000 * used / events,
        "log_bytes": written / events,
    }


def server_cpu(postgres: Postgres) -> float:
    """Milliseconds of processor time of the server, its children that ended included."""
    assert postgres.process is not None
    pid = postgres.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return cpu_ms(pid, ended=True) + sum(cpu_ms(int(child)) for child in children)


async def reading(url: str, bus: str, folders: list[Path], count: int) -> dict[str, float]:
    """Queries, delay to another process's followers, deletion, and the size of the key file."""
    crypto = NativeCrypto()
    one = await PostgresStore.open(url, folders[0], crypto, NatsBus(bus))
    other = await PostgresStore.open(url, folders[1], crypto, NatsBus(bus))
    found: dict[str, float] = {}
    dice = random.Random(3)
    inboxes = [random.Random(dice.randrange(INBOXES)).randbytes(32).hex() for _ in range(200)]
    filters = [
        Filter(kinds=frozenset([KIND_ENVELOPE]), tags={"p": frozenset([name])}, limit=100)
        for name in inboxes
    ]
    start, rows = time.perf_counter(), 0
    for wanted in filters:
        rows += len(await one.query([wanted], 100, NOW))
    found["query_ms"] = 1000 * (time.perf_counter() - start) / len(filters)
    found["query_rows"] = rows / len(filters)
    found |= await delays(one, other)
    names = [entry.event.id for entry in await one.log(0, count, NOW)]
    gone = dice.sample(names, len(names) * 9 // 10)
    start = time.perf_counter()
    for place in range(0, len(gone), 500):
        await one.delete(gone[place : place + 500])
    found["delete_rate"] = len(gone) / (time.perf_counter() - start)
    await one.close()
    await other.close()
    left = len(names) - len(gone)
    found["key_nodes"], found["key_memory"] = key_figures(folders[0], crypto, left)
    return found


def key_figures(folder: Path, crypto: NativeCrypto, left: int) -> tuple[float, float]:
    """Nodes for each event that is left, and the memory that each takes."""
    tracemalloc.start()
    keys = KeyFile.open(folder / KEY_FILE, crypto.random)
    memory, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    nodes = len(keys.tree.nodes)
    keys.close()
    return nodes / left, memory / nodes


async def delays(one: PostgresStore, other: PostgresStore, rate: float = 100.0) -> dict[str, float]:
    """Milliseconds from handing in an event to its durable commit, and to another's follower."""
    sent: dict[str, float] = {}
    seen: list[float] = []
    commits: list[float] = []
    events = messages(300, 99)

    async def follow() -> None:
        async with aclosing(other.follow(other.head)) as batches:  # type: ignore[type-var]
            async for batch in batches:
                seen.extend(
                    time.perf_counter() - sent[entry.event.id]
                    for entry in batch
                    if entry.event.id in sent
                )
                if len(seen) >= len(events):
                    return

    async def publish(event: Event) -> None:
        sent[event.id] = time.perf_counter()
        await one.add([event], NOW)
        commits.append(time.perf_counter() - sent[event.id])

    following = asyncio.create_task(follow())
    await asyncio.sleep(1)
    async with asyncio.TaskGroup() as group:
        for event in events:
            group.create_task(publish(event))
            await asyncio.sleep(1 / rate)
    await asyncio.wait_for(following, 20)
    return {
        "commit_ms": 1000 * statistics.median(commits),
        "delivery_ms": 1000 * statistics.median(seen),
        "delivery_99_ms": 1000 * statistics.quantiles(seen, n=100)[98],
    }


async def relays(postgres: Postgres, bus: str, home: Path, count: int) -> dict[str, float]:
    """Processor time of whole relays: one takes signed events in, another delivers them."""
    store, crypto, secret = postgres.new_store(), NativeCrypto(), b"\x07" * 32
    first = new_relay(home / "first", store, bus)
    await first.start()
    second = new_relay(home / "second", store, bus, first.folder)
    await second.start()
    assert first.process is not None
    assert second.process is not None
    # A kind that everybody may read and nobody searches; all else as above.
    frames = [
        '["EVENT",'
        + sign_event(crypto, secret, event.created_at, OPEN_KIND, event.tags, event.content)
        .to_json()
        .decode()
        + "]"
        for event in messages(count, 7)
    ]
    async with (
        websockets.connect(first.url, max_queue=None) as publisher,
        websockets.connect(second.url, max_queue=None) as reader,
    ):
        await reader.send(json.dumps(["REQ", "all", {"kinds": [OPEN_KIND], "limit": 0}]))
        while json.loads(await reader.recv())[0] != "EOSE":
            pass
        pids = first.process.pid, second.process.pid
        before = [cpu_ms(pid) for pid in pids]
        room = asyncio.Semaphore(200)

        async def publish() -> None:
            for frame in frames:
                await room.acquire()
                await publisher.send(frame)

        async def answers(connection: websockets.ClientConnection, wanted: str) -> None:
            left = count
            async for text in connection:
                if str(text).startswith(f'["{wanted}"'):
                    left -= 1
                    if wanted == "OK":
                        room.release()
                if not left:
                    return

        await asyncio.wait_for(
            asyncio.gather(publish(), answers(publisher, "OK"), answers(reader, "EVENT")), 120
        )
        taken, delivered = (cpu_ms(pid) - b for pid, b in zip(pids, before, strict=True))
    await first.kill()
    await second.kill()
    return {"ingest_us": 1000 * taken / count, "deliver_us": 1000 * delivered / count}


def measure(count: int) -> dict[str, float]:
    """One round, on servers and folders of its own."""
    home = Path(tempfile.mkdtemp(prefix="volok-bench-"))
    found: dict[str, float] = {}
    with postgres_server(durable=True) as postgres, nats_server() as nats:
        for processes in (1, 2):
            url = postgres.new_store()
            folders = [home / f"{processes}-{n}" for n in range(2)]
            for folder in folders:
                folder.mkdir()
            asyncio.run(_create(url, folders[0]))
            shutil.copy(folders[0] / KEY_FILE, folders[1])
            figures = ingest(postgres, nats.url, url, folders[:processes], count, processes * 10)
            found |= {f"{name}_{processes}": value for name, value in figures.items()}
        schema = url.rpartition("=")[2]
        postgres.sql("VACUUM ANALYZE")
        for name in ("table", "indexes"):
            size = postgres.sql(
                f"SELECT sum(pg_{name}_size(c.oid)) FROM pg_class c"  # two names of this file
                f" WHERE relkind = 'r' AND relnamespace = '{schema}'::regnamespace"
            )
            found[f"{name}_bytes"] = int(size) / count
        found |= uvloop.run(reading(url, nats.url, folders, count))
        found |= uvloop.run(relays(postgres, nats.url, home, count // 2))
    shutil.rmtree(home)
    return found


async def _create(url: str, folder: Path) -> None:
    store = await PostgresStore.open(url, folder, NativeCrypto())
    await store.close()


LINES: dict[str, tuple[str, str]] = {
    "rate_1": ("Durable events, one process", "1/s"),
    "rate_2": ("Durable events, two processes", "1/s"),
    "relay_us_1": ("Processor time of the store's side", "us/event"),
    "ingest_us": ("Processor time of a whole relay, to take one in", "us/event"),
    "deliver_us": ("Processor time of another, to deliver it", "us/event"),
    "server_us_1": ("Processor time of PostgreSQL, one process", "us/event"),
    "server_us_2": ("Processor time of PostgreSQL, two processes", "us/event"),
    "table_bytes": ("Tables", "bytes/event"),
    "indexes_bytes": ("Indices", "bytes/event"),
    "log_bytes_1": ("Write-ahead log", "bytes/event"),
    "query_ms": ("One inbox read, one after the other", "ms"),
    "query_rows": ("  of so many events", ""),
    "commit_ms": ("Commit at 100 events/s, median", "ms"),
    "delivery_ms": ("To a follower elsewhere, median", "ms"),
    "delivery_99_ms": ("To a follower elsewhere, 99th percentile", "ms"),
    "delete_rate": ("Deleted, keys erased, 500 at a time", "1/s"),
    "key_nodes": ("Nodes of the key tree, nine of ten deleted", "for each left"),
    "key_memory": ("Memory for these", "bytes/node"),
}


def main(arguments: argparse.Namespace) -> None:
    """Measure and print."""
    raw = len(messages(1, 0)[0].to_json())
    rounds = [measure(arguments.events) for _ in range(arguments.rounds)]
    print(f"{arguments.events} events of {raw} bytes, {arguments.rounds} rounds, median (min-max)")
    for name, (said, unit) in LINES.items():
        values: list[Any] = [one[name] for one in rounds]
        span = f"({min(values):,.1f}-{max(values):,.1f})"
        print(f"{said:46}{statistics.median(values):>12,.1f} {unit:17}{span}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.cluster", description=__doc__)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--worker", nargs=5, help=argparse.SUPPRESS)
    parsed = parser.parse_args()
    if parsed.worker:
        where, through, home, many, first = parsed.worker
        uvloop.run(work(where, through, Path(home), int(many), int(first)))
    else:
        main(parsed)
