"""HTTP/1.1 over shaped TLS: what httpcore needs to make its connections that way."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Coroutine, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import httpcore

from volok.model.relay_link import RelayPin
from volok.paths.shape import Dial, ShapedTls
from volok.paths.tcp import is_stuck, socket_of

T = TypeVar("T")

_LOOK = 0.5
"""Seconds between two looks whether a connection is stuck."""


class Stuck(httpcore.ReadTimeout):
    """Nothing that we send over this connection arrives any more."""


HTTPCORE_ERRORS = (
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.UnsupportedProtocol,
    httpcore.ConnectionNotAvailable,
    ValueError,
)
"""What making a request and reading its answer raise."""

_CONNECTIONS = 3
"""The most handshakes at once: borders take more for a browser that is to be slowed down."""
_KEEP_SECONDS = 5.0


def shaped_pool(tls: ShapedTls, dial: Dial, pin: RelayPin | None) -> httpcore.AsyncConnectionPool:
    """A pool of connections to relays with this pin, or to any without one."""
    # The context is not used, but without one httpcore loads all authorities for its own.
    unused = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return httpcore.AsyncConnectionPool(
        ssl_context=unused,
        max_connections=_CONNECTIONS,
        keepalive_expiry=_KEEP_SECONDS,
        network_backend=_Backend(tls, dial, pin),
    )


class _Backend(httpcore.AsyncNetworkBackend):
    def __init__(self, tls: ShapedTls, dial: Dial, pin: RelayPin | None) -> None:
        self._tls = tls
        self._dial = dial
        self._pin = pin

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        with _errors_of(httpcore.ConnectTimeout, httpcore.ConnectError):
            async with asyncio.timeout(timeout):
                connection = await self._dial(host, port)
        return _Opened(self._tls, self._pin, connection, host)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class _Opened(httpcore.AsyncNetworkStream):
    """A connection before its handshake."""

    def __init__(
        self, tls: ShapedTls, pin: RelayPin | None, connection: socket.socket, host: str
    ) -> None:
        self._tls = tls
        self._pin = pin
        self._connection = connection
        self._host = host

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> httpcore.AsyncNetworkStream:
        with _errors_of(httpcore.ConnectTimeout, httpcore.ConnectError):
            async with asyncio.timeout(timeout):
                reader, writer = await asyncio.open_connection(
                    sock=self._connection,
                    ssl=self._tls.handshake(self._connection, self._host, self._pin),
                    server_hostname="",
                )
        return _Encrypted(reader, writer)

    async def aclose(self) -> None:
        self._connection.close()


class _Encrypted(httpcore.AsyncNetworkStream):
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        with _errors_of(httpcore.ReadTimeout, httpcore.ReadError):
            async with asyncio.timeout(timeout):
                return await self._watched(self._reader.read(max_bytes))

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        with _errors_of(httpcore.WriteTimeout, httpcore.WriteError):
            async with asyncio.timeout(timeout):
                self._writer.write(buffer)
                await self._watched(self._writer.drain())

    async def _watched(self, work: Coroutine[Any, Any, T]) -> T:
        task = asyncio.ensure_future(work)
        try:
            while not (await asyncio.wait((task,), timeout=_LOOK))[0]:
                if is_stuck(socket_of(self._writer.transport)):
                    self._writer.transport.abort()
                    raise Stuck
            return task.result()
        finally:
            task.cancel()

    async def aclose(self) -> None:
        self._writer.close()

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable":  # httpcore's question whether an idle connection has ended
            return self._reader.at_eof() or self._writer.is_closing()
        return None


@contextmanager
def _errors_of(late: type[Exception], other: type[Exception]) -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise late(str(error)) from error
    except OSError as error:
        raise other(str(error)) from error
