"""A TCP proxy on loopback that counts the bytes of each connection in both directions."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from bench.proc import owns_port


@dataclass(slots=True)
class Count:
    """The bytes of one connection; `port` is the client's."""

    port: int
    up: int = 0
    down: int = 0


@dataclass(slots=True)
class Wire:
    """The proxy. `url` stands for the relay behind it."""

    url: str = ""
    counts: list[Count] = field(default_factory=list)

    def of(self, pid: int) -> list[Count]:
        """The open connections of a process."""
        return [count for count in self.counts if owns_port(pid, count.port)]


@contextlib.asynccontextmanager
async def wire_to(relay: str) -> AsyncIterator[Wire]:
    """Stand between clients and the relay at this URL (ws://HOST:PORT)."""
    host, port = urlsplit(relay).hostname, urlsplit(relay).port
    wire = Wire()
    serving: set[asyncio.Task[object] | None] = set()

    async def serve(client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        serving.add(asyncio.current_task())
        server, to_server = await asyncio.open_connection(host, port)
        count = Count(back.get_extra_info("peername")[1])
        wire.counts.append(count)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await asyncio.gather(
                _pump(client, to_server, count, "up"), _pump(server, back, count, "down")
            )

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    wire.url = f"ws://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    try:
        yield wire
    finally:
        listener.close()
        for task in filter(None, serving):
            task.cancel()


async def _pump(
    source: asyncio.StreamReader, target: asyncio.StreamWriter, count: Count, way: str
) -> None:
    try:
        while data := await source.read(65536):
            setattr(count, way, getattr(count, way) + len(data))
            target.write(data)
            await target.drain()
    finally:
        target.close()
