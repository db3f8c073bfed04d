"""Measures a relay in a process of its own over real sockets: `python bench/bench_relay.py`.

Prints one JSON object: events stored per second when one client publishes without waiting and when
many do, events delivered per second to many readers, and the milliseconds from one client's send
to another's receive at 50 events a second.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import uvloop
import websockets

from volok.model.event import Event, sign_event
from volok.native import NativeCrypto
from volok.relay.run import run_relay
from volok.relay.settings import RelaySettings

CRYPTO = NativeCrypto()
CONTENT = "x" * 1400


def events(count: int, key: int) -> list[Event]:
    """Sealed-looking public events of about 2 KB."""
    secret, now = bytes([key]) * 32, int(time.time())
    return [sign_event(CRYPTO, secret, now, 1, [], f"{n} {CONTENT}") for n in range(count)]


async def connect(url: str) -> websockets.ClientConnection:
    """Connect and pass the challenge over."""
    socket = await websockets.connect(url, compression=None, max_queue=None)
    await socket.recv()
    return socket


async def publish(socket: websockets.ClientConnection, batch: list[Event]) -> None:
    """Send all events, then wait for all OKs."""
    for event in batch:
        await socket.send(f'["EVENT",{event.to_json().decode()}]')
    for _ in batch:
        assert json.loads(await socket.recv())[2] is True


async def read(socket: websockets.ClientConnection, count: int) -> None:
    """Receive so many live events."""
    for _ in range(count):
        await socket.recv()


async def measure(url: str) -> dict[str, float]:
    """All figures of a running relay."""
    figures = {}
    batch, socket = events(3000, 1), await connect(url)
    start = time.perf_counter()
    await publish(socket, batch)
    figures["stored_per_second_one_client"] = len(batch) / (time.perf_counter() - start)

    batches = [events(200, key) for key in range(2, 18)]
    sockets = [await connect(url) for _ in batches]
    start = time.perf_counter()
    await asyncio.gather(*map(publish, sockets, batches))
    figures["stored_per_second_16_clients"] = 3200 / (time.perf_counter() - start)

    readers = [await connect(url) for _ in range(50)]
    for reader in readers:
        await reader.send('["REQ","live",{"kinds":[1],"limit":0}]')
        await reader.recv()
    batch = events(200, 20)
    start = time.perf_counter()
    await asyncio.gather(publish(socket, batch), *(read(r, len(batch)) for r in readers))
    figures["delivered_per_second_50_readers"] = 10_000 / (time.perf_counter() - start)

    delays = []
    for reader in readers[1:]:
        await reader.close()
    for event in events(100, 21):
        start = time.perf_counter()
        await socket.send(f'["EVENT",{event.to_json().decode()}]')
        await readers[0].recv()
        delays.append((time.perf_counter() - start) * 1000)
        await socket.recv()
        await asyncio.sleep(0.02)
    figures["delivery_ms_median"] = statistics.median(delays)
    figures["delivery_ms_99"] = statistics.quantiles(delays, n=100)[98]
    return {name: round(value, 2) for name, value in figures.items()}


async def serve(folder: Path) -> None:
    """The relay's process."""
    async with run_relay("127.0.0.1", 0, folder, RelaySettings(), CRYPTO) as address:
        print(address.websocket_url, flush=True)
        await asyncio.Event().wait()


async def main() -> None:
    """Start the relay, measure, print."""
    with tempfile.TemporaryDirectory() as folder:
        process = await asyncio.create_subprocess_exec(
            sys.executable, __file__, folder, stdout=asyncio.subprocess.PIPE
        )
        try:
            assert process.stdout is not None
            url = (await process.stdout.readline()).decode().strip()
            print(json.dumps(await measure(url)))
        finally:
            process.kill()
            await process.wait()


if __name__ == "__main__":
    uvloop.run(serve(Path(sys.argv[1])) if len(sys.argv) > 1 else main())
