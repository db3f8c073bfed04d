"""The direct path: websockets and HTTP straight to the relay, with nothing in between.

1. No proxy, no redirect, no cookie, no compression, nothing from the environment: the only host
   that is ever contacted is the one in the URL.
2. No header names this program.
3. A URL whose fragment pins the relay's key (`volok.model.relay_link`), and every secure one if
   there is a shape, goes over shaped TLS. The fragment never goes out.
4. Whatever goes wrong below becomes a PathError with a sentence for the person; what is wrong with
   one relay never names it, so that the sentence may be logged.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpcore
import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidStatus,
    WebSocketException,
)
from websockets.frames import CloseCode

from volok.model.relay_link import InvalidFragment, RelayPin, split_fragment
from volok.paths.guard import Guard, PrivateAddress
from volok.paths.live import (
    Capabilities,
    FrameTooBig,
    Frozen,
    LivePath,
    PathError,
    Response,
    Socket,
)
from volok.paths.names import Names
from volok.paths.shape import Dial, Shape, ShapedTls
from volok.paths.shape_http import HTTPCORE_ERRORS, Stuck, shaped_pool
from volok.paths.tcp import hold, is_stuck, socket_of, traffic

# Both libraries can write URLs, headers and frames to their logs; ours must never hold them.
_SILENT = logging.Logger("volok.paths.silent", logging.CRITICAL + 1)
for _name in ("httpx", "httpcore"):
    logging.getLogger(_name).setLevel(logging.CRITICAL + 1)


@dataclass(frozen=True, slots=True)
class DirectSettings:
    """How the direct path behaves. Times are in seconds, sizes in bytes."""

    open_timeout: float = 10.0
    """For DNS, TCP, TLS and the websocket handshake together."""
    close_timeout: float = 1.0
    """For a relay to answer the closing handshake."""
    ping_interval: float | None = 25.0
    """Between pings on a quiet websocket, so that a frozen connection is noticed."""
    ping_timeout: float = 20.0
    """For the answer to a ping."""
    send_timeout: float = 30.0
    """For a relay to take bytes off our hands over HTTP."""
    read_timeout: float = 30.0
    """For the next bytes of an HTTP answer."""
    max_frame: int = 4 * 1024 * 1024
    """The largest websocket message that is read; what is larger ends the connection."""


class DirectPath(LivePath):
    """`LivePath` without any intermediary.

    `tls` verifies servers; by default against the certificate authorities of the system. `shape`
    is how secure connections look from outside; without one, only those to relays with a pinned
    key are shaped, in the plainest way. `dial` opens the sockets of shaped connections. Hosts that
    `guard` covers are reached over it, too, so that it is the one who looks their names up.
    """

    def __init__(
        self,
        settings: DirectSettings | None = None,
        tls: ssl.SSLContext | None = None,
        shape: Shape | None = None,
        dial: Dial | None = None,
        guard: Guard | None = None,
    ) -> None:
        self._settings = settings or DirectSettings()
        self._tls = tls or ssl.create_default_context()
        self._always_shaped = shape is not None
        self._shaped = ShapedTls(shape or Shape(), tls)
        self._guard = guard or Guard()
        self._dial = dial or Names(guard=self._guard).dial
        self._pools: dict[RelayPin | None, httpcore.AsyncConnectionPool] = {}
        self._client = httpx.AsyncClient(
            verify=self._tls,
            trust_env=False,
            follow_redirects=False,
            timeout=httpx.Timeout(
                connect=self._settings.open_timeout,
                read=self._settings.read_timeout,
                write=self._settings.send_timeout,
                pool=None,
            ),
        )
        for name in ("user-agent", "accept-encoding", "accept"):
            del self._client.headers[name]

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            latency=0.1,
            connections=100,
            bytes_per_connection=None,
            hides_address=False,
            observer_learns="Your provider sees which relays you use, and they see your address.",
        )

    async def websocket(self, url: str) -> Socket:
        try:
            plain, pin = split_fragment(url)
            if self._is_shaped(plain, pin):
                connection = await self._shaped_websocket(plain, pin)
            elif self._is_guarded(plain):
                connection = await self._upgraded(plain, sock=await self._dialled(plain, 80))
            else:
                tls = self._tls if plain.startswith("wss:") else None
                connection = await self._upgraded(plain, ssl=tls)
        except (OSError, WebSocketException, ValueError) as error:
            raise PathError(_sentence(error)) from error
        return _DirectSocket(connection)

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: AsyncIterator[bytes] | bytes | None = None,
    ) -> AbstractAsyncContextManager[Response]:
        try:
            plain, pin = split_fragment(url)
        except InvalidFragment as error:
            return _Refused(PathError(str(error)))
        if self._is_shaped(plain, pin):
            return self._shaped_request(method, plain, pin, headers, body)
        if self._is_guarded(plain):
            return _Refused(PathError("Files go to this relay by https:// alone."))
        return self._request(method, plain, headers, body)

    def _is_shaped(self, url: str, pin: RelayPin | None) -> bool:
        secure = url.startswith(("wss:", "https:"))
        return secure and (self._always_shaped or pin is not None or self._is_guarded(url))

    def _is_guarded(self, url: str) -> bool:
        try:
            return self._guard.covers(urlsplit(url).hostname or "")
        except ValueError:  # no URL at all: whoever opens it says so
            return False

    async def _dialled(self, url: str, port: int) -> socket.socket:
        parts = urlsplit(url)
        async with asyncio.timeout(self._settings.open_timeout):
            return await self._dial(parts.hostname or "", parts.port or port)

    async def _upgraded(self, url: str, **options: Any) -> ClientConnection:
        return await _Connect(
            url,
            **options,
            proxy=None,
            compression=None,
            user_agent_header=None,
            open_timeout=self._settings.open_timeout,
            close_timeout=self._settings.close_timeout,
            ping_interval=self._settings.ping_interval,
            ping_timeout=self._settings.ping_timeout,
            max_size=self._settings.max_frame,
            logger=_SILENT,
        )

    async def _shaped_websocket(self, url: str, pin: RelayPin | None) -> ClientConnection:
        connection = await self._dialled(url, 443)
        tls = self._shaped.handshake(connection, urlsplit(url).hostname or "", pin)
        return await self._upgraded(url, sock=connection, ssl=tls, server_hostname="")

    @asynccontextmanager
    async def _request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: AsyncIterator[bytes] | bytes | None,
    ) -> AsyncGenerator[Response, None]:
        try:
            request = self._client.build_request(method, url, headers=dict(headers), content=body)
            answer = await self._client.send(request, stream=True)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise PathError(_sentence(error)) from error
        try:
            names = {name.lower(): value for name, value in answer.headers.items()}
            yield Response(answer.status_code, names, _pieces(answer))
        finally:
            self._client.cookies.clear()
            await answer.aclose()

    @asynccontextmanager
    async def _shaped_request(
        self,
        method: str,
        url: str,
        pin: RelayPin | None,
        headers: Mapping[str, str],
        body: AsyncIterator[bytes] | bytes | None,
    ) -> AsyncGenerator[Response, None]:
        if pin not in self._pools:
            self._pools[pin] = shaped_pool(self._shaped, self._dial, pin)
        times = {
            "connect": self._settings.open_timeout,
            "read": self._settings.read_timeout,
            "write": self._settings.send_timeout,
        }
        async with AsyncExitStack() as stack:
            try:
                answer = await stack.enter_async_context(
                    self._pools[pin].stream(
                        method,
                        url,
                        headers=list(headers.items()),
                        content=body,
                        extensions={"timeout": times},
                    )
                )
            except HTTPCORE_ERRORS as error:
                raise _failed(error) from error
            names = {name.decode("latin-1").lower(): value for name, value in answer.headers}
            texts = {name: value.decode("latin-1") for name, value in names.items()}
            yield Response(answer.status, texts, _shaped_pieces(answer))

    async def close(self) -> None:
        for pool in self._pools.values():
            await pool.aclose()
        await self._client.aclose()


class _Refused(AbstractAsyncContextManager[Response]):
    """A request that cannot be made."""

    def __init__(self, error: PathError) -> None:
        self._error = error

    async def __aenter__(self) -> Response:
        raise self._error

    async def __aexit__(self, *_: object) -> None:
        return None


class _Connect(connect):
    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


class _DirectSocket(Socket):
    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    async def send(self, text: str) -> None:
        try:
            await self._connection.send(text)
        except ConnectionClosed as error:
            raise _lost(error) from error

    async def receive(self) -> str:
        try:
            frame = await self._connection.recv()
        except ConnectionClosed as error:
            raise _lost(error) from error
        return frame if isinstance(frame, str) else frame.decode("utf-8", "replace")

    async def ping(self) -> None:
        try:
            await (await self._connection.ping())
        except ConnectionClosed as error:
            raise _lost(error) from error

    async def abandon(self) -> None:
        self._connection.transport.abort()

    def stuck(self) -> bool | None:
        return is_stuck(socket_of(self._connection.transport))

    def traffic(self) -> tuple[int, int, int] | None:
        return traffic(socket_of(self._connection.transport))

    def hold(self, on: bool) -> None:
        hold(socket_of(self._connection.transport), on)

    async def close(self) -> None:
        try:
            if not self.stuck():
                await self._connection.close()
        finally:
            # Also when cancelled meanwhile: a relay that does not let go must not hold the socket.
            self._connection.transport.abort()


async def _pieces(answer: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for piece in answer.aiter_raw():
            yield piece
    except (httpx.HTTPError, httpx.StreamError) as error:
        raise PathError(_sentence(error)) from error


async def _shaped_pieces(answer: httpcore.Response) -> AsyncIterator[bytes]:
    try:
        async for piece in answer.aiter_stream():
            yield piece
    except HTTPCORE_ERRORS as error:
        raise _failed(error) from error


def _failed(error: Exception) -> PathError:
    kind = Frozen if isinstance(error, Stuck) else PathError
    return kind(_sentence(error))


def _lost(error: ConnectionClosed) -> PathError:
    if error.rcvd is not None and error.rcvd.code == CloseCode.MESSAGE_TOO_BIG:
        return FrameTooBig("The relay finds a message too large.")
    return PathError("The connection was lost.")


def _sentence(error: Exception) -> str:
    causes: list[BaseException] = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) and cause not in causes:
        causes.append(cause)
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
        return "The relay cannot show that it is the one you mean: its certificate is not valid."
    stated = (cause for cause in causes if isinstance(cause, InvalidFragment | PrivateAddress))
    if (cause := next(stated, None)) is not None:
        return str(cause)
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return "Nothing answers at this relay's address."
    if isinstance(error, TimeoutError | httpx.TimeoutException | httpcore.TimeoutException):
        return "The relay does not answer in time."
    if isinstance(
        error,
        InvalidStatus | InvalidHandshake | httpx.RemoteProtocolError | httpcore.RemoteProtocolError,
    ):
        return "What answers at this address does not behave like a relay."
    return "The relay cannot be reached."
