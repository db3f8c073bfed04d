"""What an operator's monitoring may see: numbers for Prometheus, and whether the relay is well.

1. Counts of the whole relay alone: no label comes from a client, so no number is one person's.
2. A port of its own on the loopback address, so that no mistake in a proxy shows it to the world.
3. `/metrics` is in the text format 0.0.4 of Prometheus; `/health` is 200, or 503 while the store
   cannot be read or written.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from http import HTTPStatus

from volok.model.filters import Filter
from volok.relay.cover import HEAD_END, InvalidRequest, parse_request
from volok.relay.described import described
from volok.relay.errors import RelayError
from volok.relay.metrics import Metrics
from volok.relay.server import listen
from volok.store.store import Store, StoreError

IsWell = Callable[[], Awaitable[bool]]
"""Says whether the relay can do its work."""

_LOOPBACK = "127.0.0.1"
_NAMES = (_LOOPBACK, "localhost")
_REQUEST_SECONDS = 5.0
_PROBE_SECONDS = 5.0
_ILL_SECONDS = 30.0
"""How long a failed write counts when no later one succeeded."""
_NOBODY = Filter(ids=frozenset({"0" * 64}))
_TEXT = "text/plain; version=0.0.4; charset=utf-8"


def exposition(metrics: Metrics) -> str:
    """All numbers in the text format of Prometheus."""
    lines: list[str] = []
    for field in described(Metrics):
        gauge = field.meaning.startswith("Gauge: ")
        name = f"volok_relay_{field.name}"
        if not gauge and not name.endswith("_total"):
            name += "_total"
        meaning = field.meaning.removeprefix("Gauge: ") or field.name.replace("_", " ")
        lines += _lines(
            name, "gauge" if gauge else "counter", meaning, getattr(metrics, field.name)
        )
    return "\n".join(lines) + "\n"


class Health:
    """Whether the store of a relay can be read and written."""

    def __init__(self, store: Store, metrics: Metrics, clock: Callable[[], float]) -> None:
        """`clock` gives seconds that only grow."""
        self._store = store
        self._metrics = metrics
        self._clock = clock
        self._failures = metrics.store_failures
        self._taken = self._settled
        self._ill_until = clock()

    async def is_well(self) -> bool:
        """Look. A failed write counts until a later one succeeds, for half a minute at most."""
        try:
            async with asyncio.timeout(_PROBE_SECONDS):
                await self._store.query([_NOBODY], 1, 0)
        except (StoreError, TimeoutError):
            return False
        now, failures, taken = self._clock(), self._metrics.store_failures, self._settled
        if failures > self._failures:
            self._ill_until = now + _ILL_SECONDS
        elif taken > self._taken:
            self._ill_until = now
        self._failures, self._taken = failures, taken
        return now >= self._ill_until

    @property
    def _settled(self) -> int:
        return self._metrics.events_added + self._metrics.events_duplicate


@contextlib.asynccontextmanager
async def observed(port: int, metrics: Metrics, is_well: IsWell) -> AsyncIterator[int]:
    """Answer at this port of the loopback address until the block is left; 0 lets the system
    choose. Gives the port. Raises PortInUse, RelayError."""

    async def visit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(
                OSError, TimeoutError, ValueError, asyncio.IncompleteReadError
            ):
                async with asyncio.timeout(_REQUEST_SECONDS + _PROBE_SECONDS):
                    writer.write(await answer(await _head(reader)))
                    await writer.drain()
        finally:
            writer.close()

    async def answer(head: bytes) -> bytes:
        request = parse_request(head)
        if request.headers.get("host", "").rpartition(":")[0] not in _NAMES:
            return _answer(403, "")  # a page that points its own name at this computer
        if request.method not in ("GET", "HEAD"):
            return _answer(405, "")
        match request.path:
            case "/metrics":
                return _answer(200, exposition(metrics), request.method == "HEAD")
            case "/health":
                well = await is_well()
                text = "ok\n" if well else "The store cannot be read or written.\n"
                return _answer(200 if well else 503, text, request.method == "HEAD")
        return _answer(404, "")

    listener = listen(_LOOPBACK, port)
    try:
        server = await asyncio.start_server(visit, sock=listener)
    except OSError as error:
        listener.close()
        raise RelayError("The port for metrics cannot be used. Choose another.") from error
    async with server:
        yield int(listener.getsockname()[1])


async def _head(reader: asyncio.StreamReader) -> bytes:
    """The head of a request. Raises InvalidRequest when it is too long."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError as error:
        raise InvalidRequest("The head is too long.") from error
    return HEAD_END.sub(b"", head)


def _answer(status: int, text: str, head_only: bool = False) -> bytes:
    body = text.encode()
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: {_TEXT}\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + (b"" if head_only else body)


def _lines(name: str, kind: str, meaning: str, value: float) -> list[str]:
    text = meaning.replace("\\", "\\\\")
    return [f"# HELP {name} {text}", f"# TYPE {name} {kind}", f"{name} {value}"]
