"""A border on loopback that freezes each connection after so many bytes both ways, and detours."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any

from volok.paths.direct import DirectPath
from volok.paths.live import Capabilities, LivePath, Socket


@dataclass
class Border:
    """What it does, and what it saw. Changing `limit` changes it for the next bytes."""

    port: int = 0
    limit: int | None = None
    """Bytes, both ways, after which a connection freezes in silence; None: never."""
    total: int | None = None
    """Bytes over all connections, after which every one freezes; None: never."""
    connections: int = 0
    carried: list[int] = field(default_factory=list)
    """Bytes that each connection carried."""
    frozen: set[int] = field(default_factory=set)
    """Connections that `total` has ended for good."""


@contextlib.asynccontextmanager
async def border_to(port: int, limit: int | None = None) -> AsyncIterator[Border]:
    """Stand before the server on this port of loopback."""
    border = Border(limit=limit)
    tasks: set[asyncio.Task[None] | None] = set()

    async def serve(client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        number = border.connections
        border.connections += 1
        border.carried.append(0)
        server, on = await asyncio.open_connection("127.0.0.1", port)

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(1300):
                if border.limit is not None and border.carried[number] + len(data) > border.limit:
                    border.carried[number] = border.limit
                    continue
                if border.total is not None and sum(border.carried) + len(data) > border.total:
                    border.frozen.add(number)
                if number in border.frozen:
                    continue
                border.carried[number] += len(data)
                sink.write(data)
                await sink.drain()
            sink.close()

        with contextlib.suppress(OSError, asyncio.CancelledError):
            await asyncio.gather(pump(client, on), pump(server, back))
        on.close()
        back.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    border.port = listener.sockets[0].getsockname()[1]
    try:
        yield border
    finally:
        listener.close()
        for task in filter(None, tasks):
            task.cancel()


class Detour(LivePath):
    """The direct path, led to another port of loopback: what a way around is made of in tests."""

    crowd = 0
    most = 0
    """Handshakes under way over all of them, and the most there were."""

    def __init__(self, port: int | None, cost: float, latency: float = 0.01) -> None:
        self.port = port
        self.inner = DirectPath()
        self.cost = cost
        self.latency = latency
        self.tried = 0
        self.at_once = 0

    @property
    def capabilities(self) -> Capabilities:
        return replace(self.inner.capabilities, cost=self.cost, latency=self.latency)

    def _turned(self, url: str) -> str:
        scheme, _, rest = url.partition("://")
        _, slash, path = rest.partition("/")
        return f"{scheme}://127.0.0.1:{self.port}{slash}{path}"

    async def websocket(self, url: str) -> Socket:
        self.tried += 1
        self.at_once += 1
        Detour.crowd += 1
        Detour.most = max(Detour.most, Detour.crowd)
        try:
            if self.port is None:
                await asyncio.Event().wait()
            return await self.inner.websocket(self._turned(url))
        finally:
            self.at_once -= 1
            Detour.crowd -= 1

    def request(self, method: str, url: str, headers: Any, body: Any = None) -> Any:
        self.tried += 1
        return self.inner.request(method, self._turned(url), headers, body)

    async def close(self) -> None:
        await self.inner.close()
