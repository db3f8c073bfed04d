"""Runs a relay on a port. Nothing it does is logged, at any level: logs would name people."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from volok.relay.errors import PortInUse, RelayError
from volok.relay.front_door import FrontDoor
from volok.relay.patience import HttpState, PatientHttp
from volok.relay.settings import RelaySettings
from volok.relay.websocket import WebsocketProtocol

_GRACE_SECONDS = 5
"""How long connections have to end when they are to."""
_BACKLOG = 1024


@dataclass(frozen=True, slots=True)
class Address:
    """Where a relay listens."""

    host: str
    port: int
    secure: bool = False
    """Whether it speaks TLS."""
    path: str = ""
    """The secret path, with a slash in front; empty for none."""

    @property
    def websocket_url(self) -> str:
        """The URL for Nostr clients, without a pin."""
        return f"ws{'s' if self.secure else ''}://{self._netloc}{self.path}"

    @property
    def http_url(self) -> str:
        """The URL for Blossom clients."""
        return f"http{'s' if self.secure else ''}://{self._netloc}{self.path}"

    @property
    def _netloc(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@contextlib.asynccontextmanager
async def serve(
    app: ASGIApp,
    host: str,
    port: int,
    settings: RelaySettings,
    tls: ssl.SSLContext | None = None,
    door: FrontDoor | None = None,
    listener: socket.socket | None = None,
) -> AsyncIterator[Address]:
    """Serve the relay until the block is left; port 0 lets the system choose.

    With `tls` it speaks TLS, and with `door` strangers meet the cover website. With a `listener`
    that listens already, host and port are not looked at.

    Raises PortInUse, RelayError.
    """
    silence_servers()
    listener = listener or listen(host, port)
    http: Any = door.protocol if door else PatientHttp  # uvicorn takes what makes a protocol
    config = uvicorn.Config(
        app,
        http=http,
        ws=WebsocketProtocol,
        # A message that is somewhat too long still gets an answer; beyond that, close code 1009.
        ws_max_size=2 * settings.max_message_length,
        ws_ping_interval=settings.ping_seconds,
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=True,  # by it a client with a wrong clock finds out; see _State
        timeout_graceful_shutdown=_GRACE_SECONDS,
        ssl_context_factory=(lambda _config, _default: tls) if tls else None,
    )
    server = _Server(config)
    running = asyncio.create_task(server.serve(sockets=[listener]))
    ready = asyncio.create_task(server.ready.wait())
    try:
        await asyncio.wait((running, ready), return_when=asyncio.FIRST_COMPLETED)
        if not ready.done():
            raise RelayError("The relay did not start.")
        name = listener.getsockname()
        path = f"/{settings.secret_path}" if settings.secret_path else ""
        yield Address(name[0], name[1], tls is not None, path)
    finally:
        ready.cancel()
        server.stop()
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


class _State(HttpState):
    """Dates each answer when it is made, so that no clock has to tick between them."""

    @property
    def default_headers(self) -> list[tuple[bytes, bytes]]:
        """What stands in every answer (RFC 9110, 6.6.1)."""
        return [(b"date", formatdate(usegmt=True).encode())]

    @default_headers.setter
    def default_headers(self, value: list[tuple[bytes, bytes]]) -> None:
        """What uvicorn makes is not needed."""


class _Server(uvicorn.Server):
    """A server whose process belongs to somebody else: it takes no signals.

    It wakes for its clients alone; uvicorn's own loop looks ten times a second whether it is to
    stop, which costs a battery.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.server_state = _State()
        self.ready = asyncio.Event()
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        """Let `serve` end."""
        self.should_exit = True
        self._stopped.set()

    async def main_loop(self) -> None:
        await self._stopped.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()
