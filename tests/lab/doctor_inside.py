"""The doctor's observing code as a process in a person's host: one JSON line in, one out.

In: URLs of relays and drops, addresses known by host, whether to be thorough, and settings. Out:
the findings as words of their kind and how, how each place can be reached, the addresses at which
places proved themselves, and how long it took.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from typing import Any
from urllib.parse import urlsplit

from lab import ground
from volok.model.relay_link import split_fragment
from volok.paths.doctor import diagnose
from volok.paths.probing import Prober
from volok.paths.probing_settings import ProbeSettings, Target


def target(url: str, is_relay: bool, known: dict[str, list[str]]) -> Target:
    plain, pin = split_fragment(url)
    parts = urlsplit(plain)
    host = parts.hostname or ""
    return Target(url, is_relay, host, parts.port or 443, True, pin, tuple(known.get(host, ())))


async def no_ways(_: Target) -> tuple[tuple[str, bool], ...]:
    return ()


async def knock(one: Target) -> str | None:
    """In place of leaving a file in a drop: open a connection to it."""
    try:
        async with asyncio.timeout(2):
            # By address: a lookup of the event loop's would hold up its end.
            _, writer = await asyncio.open_connection(ground.DROP_INSIDE.address, one.port)
    except OSError:
        return "It does not answer."
    writer.transport.abort()
    return None


async def examine(order: dict[str, Any]) -> dict[str, Any]:
    targets = [
        *(target(url, True, order["known"]) for url in order["relays"]),
        *(target(url, False, order["known"]) for url in order["drops"]),
    ]
    settings = ProbeSettings(**order["settings"])
    prober = Prober(targets, os.urandom, no_ways, knock, lambda _: None, settings)
    began = time.monotonic()
    seen = await prober.observe(order["thorough"])
    took = time.monotonic() - began
    diagnosis = diagnose(seen)
    return {
        "found": [
            " ".join(filter(None, (one.kind.value, one.how and one.how.value)))
            for one in diagnosis.findings
        ],
        "sure": [one.sure for one in diagnosis.findings],
        "packets": max(one.packets for one in diagnosis.findings),
        "rate": max(one.rate for one in diagnosis.findings),
        "ways": [[way.value for way in one.ways] for one in diagnosis.places],
        "known": {
            one.host: list(place.proved_at)
            for one, place in zip(targets, seen.places, strict=True)
            if place.proved_at
        },
        "took": took,
        "seen": repr(seen),
    }


def main() -> None:
    for line in sys.stdin:
        print(json.dumps(asyncio.run(examine(json.loads(line)))), flush=True)


if __name__ == "__main__":
    main()
