"""One round of one relay: the figures of one part, measured over a fresh folder."""

from __future__ import annotations

import itertools
import json
import shutil
import statistics
from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench.messages import percentile
from bench.relay_events import AUTHORS, TOPICS, Batch, author, signed, topic
from bench.relay_load import delays, delays_under_ingest, fanout, idle, ingest, query
from bench.relay_peers import Peer, disk_bytes, running
from bench.relay_wire import Link, frame

PARTS = ("ingest", "query", "fanout", "delay", "idle")
"""What can be asked for."""
CONNECTIONS = 16
READERS = 100
_ASKING = 8
_AHEAD = 200
_LIMIT = 500
_PER_SECOND = 100.0
_SEED_SECONDS = 300.0
_NOTE, _FANOUT, _CALM, _BUSY = 1, 4243, 4244, 4245
"""Kinds, one for each purpose (regular ones, NIP-01)."""

Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is done in one round."""

    seconds: float = 4.0
    """The longest that events are published or queries asked."""
    events: int = 80_000
    """Events at hand for each ingest."""
    stored: int = 20_000
    """Events that are stored when queries are asked."""
    fanout: int = 2_000
    """Events that a hundred subscribers receive."""
    probes: int = 300
    """Deliveries that are timed."""
    idle: int = 10_000
    """Connections that do nothing."""


QUICK = Sizes(seconds=1.5, events=30_000, stored=5_000, fanout=500, probes=100, idle=500)


class Material:
    """Everything that one round sends. Each round has events of its own, so that a relay that
    keeps them all is not sent the same ones twice."""

    def __init__(self, sizes: Sizes, parts: Collection[str], number: int, stored: Batch) -> None:
        """`stored` is what queries find; it is the same in every round."""

        def batch(part: str, count: int, kind: int, label: str) -> Batch:
            return signed(count if part in parts else 0, kind, f"{label} {number}")

        self.sizes = sizes
        self.stored = stored
        self.many = batch("ingest", sizes.events, _NOTE, "many")
        self.one = batch("ingest", sizes.events // 2, _NOTE, "one")
        self.fanout = batch("fanout", sizes.fanout, _FANOUT, "fanout")
        self.load = batch("delay", sizes.events, _NOTE, "load")
        self.calm = batch("delay", sizes.probes, _CALM, "calm")
        self.busy = batch("delay", sizes.probes, _BUSY, "busy")


async def measure(peer: Peer, folder: Path, part: str, number: int, given: Material) -> Figures:
    """The figures of one part. `folder` is the relay's own; what it has stored for queries stays
    there over the rounds. Raises Stalled, NotStarted, Refused, OSError, TimeoutError.
    """
    folder.mkdir(exist_ok=True)
    if part == "query":
        return await _query(peer, folder / "kept", given)
    fresh = folder / f"{part}{number}"
    measuring = {"ingest": _ingest, "fanout": _fanout, "delay": _delay, "idle": _idle}[part]
    try:
        return await measuring(peer, fresh, given)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


async def _ingest(peer: Peer, folder: Path, given: Material) -> Figures:
    seconds = given.sizes.seconds
    async with running(peer, folder) as relay:
        many = await ingest(relay.url, frames(given.many), CONNECTIONS, seconds)
        one = await ingest(relay.url, frames(given.one), 1, seconds)
    found: Figures = {"ingest_many": many.per_second, "ingest_one": one.per_second}
    if relay.pid:
        found["disk"] = disk_bytes(folder) / (many.done + one.done)
    return found


async def _query(peer: Peer, folder: Path, given: Material) -> Figures:
    mark = folder.with_suffix(".stored")
    async with running(peer, folder) as relay:
        if not mark.exists():
            rest = frames(given.stored)
            await ingest(relay.url, rest, CONNECTIONS, _SEED_SECONDS)
            mark.touch()
        rate = await query(relay.url, requests_for(given.stored), _ASKING, given.sizes.seconds)
    return {"query": rate.per_second}


async def _fanout(peer: Peer, folder: Path, given: Material) -> Figures:
    async with running(peer, folder) as relay:
        wanted = _req(b"live", {"kinds": [_FANOUT]})
        rate = await fanout(relay.url, frames(given.fanout), wanted, READERS, _AHEAD)
    return {"fanout": rate.per_second}


async def _delay(peer: Peer, folder: Path, given: Material) -> Figures:
    async with running(peer, folder) as relay:
        calm = await _probe(relay.url, given.calm, _CALM)
        load = frames(given.load)
        probe = partial(_probe, relay.url, given.busy, _BUSY)
        busy = await delays_under_ingest(relay.url, load, CONNECTIONS, probe)
    return {
        "delay_median": statistics.median(calm),
        "delay_99": percentile(calm, 0.99),
        "delay_busy_median": statistics.median(busy),
        "delay_busy_99": percentile(busy, 0.99),
    }


async def _idle(peer: Peer, folder: Path, given: Material) -> Figures:
    links: list[Link] = []
    async with running(peer, folder) as relay:
        requests = [
            _req(b"idle", {"kinds": [_NOTE], "authors": [f"{number:064x}"]})
            for number in range(given.sizes.idle)
        ]
        try:
            taken = await idle(relay.url, requests, links)
            memory = relay.memory()
        finally:
            for link in links:
                link.close()
    found: Figures = {"idle_connections": taken}
    if memory:
        found |= {"idle_pss": memory.get("PSS", 0.0), "idle_rss": memory["RSS"]}
    return found


async def _probe(url: str, batch: Batch, kind: int) -> list[float]:
    ids = [json.loads(event)["id"].encode() for event in batch.events]
    wanted = _req(b"probe", {"kinds": [kind]})
    return await delays(url, frames(batch), ids, wanted, _PER_SECOND)


def frames(batch: Batch) -> list[bytes]:
    """The messages that publish these events."""
    return [frame(b'["EVENT",' + event + b"]") for event in batch.events]


def questions_about(stored: Batch) -> list[dict[str, Any]]:
    """Filters of three kinds in turn: the newest up to a time, those of authors, of topics."""
    newest = stored.start + stored.seconds
    by_time = [{"kinds": [_NOTE], "until": newest - stored.seconds * n // 120} for n in range(40)]
    by_author = [{"authors": [author(n + k) for k in range(5)]} for n in range(0, AUTHORS - 5, 5)]
    by_topic = [{"#t": [topic(n), topic(n + 1)]} for n in range(TOPICS)]
    turns = zip(by_time, itertools.cycle(by_author), itertools.cycle(by_topic))
    return [{**one, "limit": _LIMIT} for turn in turns for one in turn]


def requests_for(stored: Batch) -> list[bytes]:
    """The messages that ask so. The subscription is the same each time, as that of a client that
    turns pages."""
    closed = frame(b'["CLOSE","q"]')
    return [closed + _req(b"q", one) for one in questions_about(stored)]


def _req(subscription: bytes, wanted: dict[str, Any]) -> bytes:
    return frame(b'["REQ","%s",%s]' % (subscription, json.dumps(wanted).encode()))
