"""Websockets and HTTP over connections that something else makes: a proxy, Tor, a transport.

Nothing ever goes past it: no name is looked up here, no host is dialled here. What it says of its
failures is said to the person.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection

from volok.paths.direct import DirectPath, DirectSettings
from volok.paths.live import PathError, Response, Socket
from volok.paths.plain_http import plain_pool
from volok.paths.shape import Dial, Shape
from volok.paths.shape_http import HTTPCORE_ERRORS


class TunnelRefused(OSError):
    """This way does not lead there."""


def _never(_: str) -> bool:
    return False


class TunnelPath(DirectPath):
    """`LivePath` over whatever `dial` opens, which may raise TunnelRefused with a sentence for the
    person. `plain` tells to which http:// URLs files go without TLS. `shape` and other options as
    with `DirectPath`."""

    def __init__(
        self,
        dial: Dial,
        settings: DirectSettings | None = None,
        shape: Shape | None = None,
        plain: Callable[[str], bool] = _never,
        **options: Any,
    ) -> None:
        self._plain = plain
        self._times = settings or DirectSettings()
        super().__init__(settings, shape=shape or Shape(), dial=dial, **options)

    async def websocket(self, url: str) -> Socket:
        try:
            return await super().websocket(url)
        except PathError as error:
            raise explained(error) from error

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: AsyncIterator[bytes] | bytes | None = None,
    ) -> AbstractAsyncContextManager[Response]:
        if url.startswith("https:"):
            return self._explaining(super().request(method, url, headers, body))
        if self._plain(url):
            return self._explaining(self._unencrypted(method, url, headers, body))
        return _NotCarried()

    async def _upgraded(self, url: str, **options: Any) -> ClientConnection:
        if "sock" not in options:
            parts = urlsplit(url)
            if parts.scheme != "ws":
                raise TunnelRefused("Only websockets go this way.")
            async with asyncio.timeout(self._times.open_timeout):
                options["sock"] = await self._dial(parts.hostname or "", parts.port or 80)
        return await super()._upgraded(url, **options)

    @asynccontextmanager
    async def _explaining(
        self, asking: AbstractAsyncContextManager[Response]
    ) -> AsyncGenerator[Response, None]:
        async with AsyncExitStack() as stack:
            try:
                response = await stack.enter_async_context(asking)
            except PathError as error:
                raise explained(error) from error
            yield response

    @asynccontextmanager
    async def _unencrypted(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: AsyncIterator[bytes] | bytes | None,
    ) -> AsyncGenerator[Response, None]:
        times = {
            "connect": self._times.open_timeout,
            "read": self._times.read_timeout,
            "write": self._times.send_timeout,
        }
        async with plain_pool(self._dial) as pool, AsyncExitStack() as stack:
            try:
                answer = await stack.enter_async_context(
                    pool.stream(
                        method,
                        url,
                        headers=list(headers.items()),
                        content=body,
                        extensions={"timeout": times},
                    )
                )
            except HTTPCORE_ERRORS as error:
                raise PathError("The relay cannot be reached.") from error
            texts = {
                name.decode("latin-1").lower(): value.decode("latin-1")
                for name, value in answer.headers
            }
            yield Response(answer.status, texts, _pieces(answer.aiter_stream()))


class _NotCarried(AbstractAsyncContextManager[Response]):
    async def __aenter__(self) -> Response:
        raise PathError("Files go this way only to relays that begin with wss://.")

    async def __aexit__(self, *_: object) -> None:
        return None


def explained(error: PathError) -> PathError:
    """The error, or what the tunnel itself says of the failure."""
    causes: list[BaseException] = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) and cause not in causes:
        if isinstance(cause, TunnelRefused):
            return PathError(str(cause))
        causes.append(cause)
    return error


async def _pieces(stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    try:
        async for piece in stream:
            yield piece
    except HTTPCORE_ERRORS as error:
        raise PathError("The connection was lost.") from error
