"""Runs a relay on a port. Nothing it does is logged, at any level: logs would name people."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from volok.relay.errors import PortInUse, RelayError
from volok.relay.settings import RelaySettings

_GRACE_SECONDS = 5
"""How long connections have to end when they are to."""
_BACKLOG = 1024


@dataclass(frozen=True, slots=True)
class Address:
    """Where a relay listens."""

    host: str
    port: int

    @property
    def websocket_url(self) -> str:
        """The URL for Nostr clients."""
        return f"ws://{self._netloc}"

    @property
    def http_url(self) -> str:
        """The URL for Blossom clients."""
        return f"http://{self._netloc}"

    @property
    def _netloc(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@contextlib.asynccontextmanager
async def serve(
    app: ASGIApp, host: str, port: int, settings: RelaySettings
) -> AsyncIterator[Address]:
    """Serve the relay until the block is left; port 0 lets the system choose.

    Raises PortInUse, RelayError.
    """
    silence_servers()
    listener = listen(host, port)
    config = uvicorn.Config(
        app,
        http="h11",
        ws=_WebSocketProtocol,
        # A message that is somewhat too long still gets an answer; beyond that, close code 1009.
        ws_max_size=2 * settings.max_message_length,
        ws_ping_interval=settings.ping_seconds,
        ws_ping_timeout=settings.ping_seconds,
        ws_per_message_deflate=False,
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=True,  # by it a client with a wrong clock finds out (RFC 9110, 6.6.1)
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    server = _Server(config)
    running = asyncio.create_task(server.serve(sockets=[listener]))
    ready = asyncio.create_task(server.ready.wait())
    try:
        await asyncio.wait((running, ready), return_when=asyncio.FIRST_COMPLETED)
        if not ready.done():
            raise RelayError("The relay did not start.")
        name = listener.getsockname()
        yield Address(name[0], name[1])
    finally:
        ready.cancel()
        server.should_exit = True
        with contextlib.suppress(SystemExit):
            await running
        listener.close()


def listen(host: str, port: int) -> socket.socket:
    """Open a listening socket. Raises PortInUse, RelayError."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise RelayError("The relay cannot listen on this address. Choose another host.") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise PortInUse(
                f"Port {port} is in use by another program. Stop it, or choose another port."
            ) from error
        if error.errno == errno.EACCES:
            raise RelayError(
                f"Port {port} takes administrator rights. Choose one above 1023."
            ) from error
        raise RelayError("The relay cannot listen on this address. Choose another host.") from error
    return listener


def silence_servers() -> None:
    """Keep uvicorn and websockets from logging addresses, paths and frames."""
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi"):
        logger = logging.getLogger(name)
        logger.setLevel(logging.CRITICAL)
        if _nothing not in logger.filters:
            logger.addFilter(_nothing)


def _nothing(_record: logging.LogRecord) -> bool:
    return False


class _Server(uvicorn.Server):
    """A server whose process belongs to somebody else: it takes no signals."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


class _WebSocketProtocol(WebSocketsSansIOProtocol):
    """Frees the socket of a client that does not read its close frame."""

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        super().on_task_complete(task)
        self.loop.call_later(_GRACE_SECONDS, self.transport.abort)
