"""`python -m bench.paths [COUNT]`: what the choice of paths costs where nothing is blocked.

The same requests and deliveries go over `ManyPaths` with the candidates of a node and over the
direct path alone, in turns, to one relay in a process of its own: a websocket that stays open (an
event published, its OK awaited), and HTTP requests for the relay's document. Prints the medians and
their ratio; the goal is at most 5% more.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.end_to_end.processes import RelayProcess

from volok.app.paths import NodePaths
from volok.app.wiring import MIGRATIONS
from volok.model.event import sign_event
from volok.native import NativeCrypto
from volok.paths.direct import DirectPath
from volok.paths.live import LivePath, Socket
from volok.store.vault_sqlite import SqliteVault

CRYPTO = NativeCrypto()
WARM_UP = 50


def frame() -> str:
    """One EVENT with a sealed envelope of the usual size."""
    recipient = CRYPTO.public_key(os.urandom(32)).hex()
    event = sign_event(
        CRYPTO, os.urandom(32), int(time.time()), 1059, [("p", recipient)], "x" * 3000
    )
    return f'["EVENT",{event.to_json().decode()}]'


async def deliver(socket: Socket, text: str) -> None:
    """Publish and await the OK."""
    await socket.send(text)
    while json.loads(await socket.receive())[0] != "OK":
        pass


async def ask(path: LivePath, url: str) -> None:
    """One HTTP request, read to its end."""
    async with path.request("GET", url, {"accept": "application/nostr+json"}) as response:
        assert response.status == 200
        async for _ in response.body:
            pass


async def timed(work: Awaitable[None]) -> float:
    """Seconds that it takes."""
    began = time.perf_counter()
    await work
    return time.perf_counter() - began


async def interleaved(
    count: int, *works: Callable[[int], Awaitable[None]]
) -> list[tuple[float, float]]:
    """For each work the median and mean seconds over `count` rounds, in alternating order."""
    times: list[list[float]] = [[] for _ in works]
    for number in range(count + WARM_UP):
        for turn in range(len(works)):
            which = (number + turn) % len(works)
            seconds = await timed(works[which](number))
            if number >= WARM_UP:
                times[which].append(seconds)
    return [(statistics.median(one), statistics.mean(one)) for one in times]


def say(name: str, found: list[tuple[float, float]]) -> None:
    """Print one comparison; the first is the direct path."""
    (bare, _), (chosen, _) = found
    print(
        f"{name}: direct {bare * 1e6:.0f} µs, chosen {chosen * 1e6:.0f} µs: "
        f"{100 * (chosen / bare - 1):+.1f}% (medians)"
    )


async def main(count: int) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        relay = await RelayProcess.on(Path(folder) / "relay")
        vault = await SqliteVault.open(Path(folder) / "vault.db", bytes(32), MIGRATIONS)
        paths = await NodePaths.open(vault, time.time, CRYPTO.random, Path(folder))
        direct = DirectPath()
        try:
            texts = [[frame() for _ in range(count + WARM_UP)] for _ in range(2)]
            sockets = [await one.websocket(relay.url) for one in (direct, paths.many)]
            say(
                f"{count} deliveries",
                await interleaved(
                    count,
                    lambda number: deliver(sockets[0], texts[0][number]),
                    lambda number: deliver(sockets[1], texts[1][number]),
                ),
            )
            url = relay.url.replace("ws", "http", 1)
            say(
                f"{count} requests",
                await interleaved(
                    count,
                    lambda _: ask(direct, url),
                    lambda _: ask(paths.many, url),
                ),
            )
            for socket in sockets:
                await socket.close()
        finally:
            await direct.close()
            await paths.close()
            await vault.close()
            await relay.stop()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000))
