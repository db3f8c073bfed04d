"""Paths through a SOCKS5 proxy (RFC 1928, RFC 1929) or an HTTP proxy (CONNECT, RFC 9110, 9.3.6).

1. The proxy resolves names: no name of a relay is asked for here.
2. Nothing ever goes past the proxy. Plain HTTP (not HTTPS) is not carried.
3. TLS is made with the relay, through the proxy; the proxy's owner sees the relay's address and
   how much goes there, and nothing else.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any
from urllib.parse import urlsplit

from python_socks import ProxyConnectionError, ProxyError, ProxyTimeoutError, ProxyType
from python_socks.async_.asyncio import Proxy
from websockets.asyncio.client import ClientConnection

from volok.paths.direct import DirectPath, DirectSettings
from volok.paths.live import Capabilities, PathError, Response, Socket
from volok.paths.proxy_address import ProxyAddress
from volok.paths.shape import Shape

_TYPES = {"socks5": ProxyType.SOCKS5, "http": ProxyType.HTTP}


class ProxyRefused(OSError):
    """The proxy does not take us there."""


class ProxyPath(DirectPath):
    """`LivePath` through one proxy. `tls` and `shape` as with `DirectPath`."""

    def __init__(
        self,
        proxy: ProxyAddress,
        settings: DirectSettings | None = None,
        shape: Shape | None = None,
        **options: Any,
    ) -> None:
        self._proxy = proxy
        self._patience = (settings or DirectSettings()).open_timeout
        super().__init__(settings, shape=shape or Shape(), dial=self._connect, **options)

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            latency=0.3,
            connections=100,
            bytes_per_connection=None,
            hides_address=True,
            observer_learns=(
                "The proxy's owner sees your address, which relays you use, and when; the relays "
                "see the proxy's address."
            ),
            cost=2.0,
            exposure=1,
        )

    async def websocket(self, url: str) -> Socket:
        try:
            return await super().websocket(url)
        except PathError as error:
            if isinstance(error.__cause__, ProxyRefused):
                raise PathError(str(error.__cause__)) from error
            raise

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: AsyncIterator[bytes] | bytes | None = None,
    ) -> AbstractAsyncContextManager[Response]:
        if not url.startswith("https:"):
            return _NotCarried()
        return super().request(method, url, headers, body)

    async def _upgraded(self, url: str, **options: Any) -> ClientConnection:
        if "sock" not in options:
            parts = urlsplit(url)
            if parts.scheme != "ws":
                raise ProxyRefused("Only websockets go through a proxy.")
            options["sock"] = await self._connect(parts.hostname or "", parts.port or 80)
        return await super()._upgraded(url, **options)

    async def _connect(self, host: str, port: int) -> socket.socket:
        """A connection to the relay, made by the proxy. Raises OSError."""
        proxy = Proxy(
            _TYPES[self._proxy.kind],
            self._proxy.host,
            self._proxy.port,
            self._proxy.user or None,
            self._proxy.password or None,
            rdns=True,
        )
        try:
            made = await proxy.connect(host, port, timeout=self._patience)
        except (ProxyError, ProxyConnectionError, asyncio.IncompleteReadError) as error:
            # Its text holds addresses.
            raise ProxyRefused("The proxy does not take us there.") from error
        except ProxyTimeoutError as error:
            raise TimeoutError from error
        if not isinstance(made, socket.socket):
            raise ProxyRefused("The proxy does not take us there.")
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made


class _NotCarried(AbstractAsyncContextManager[Response]):
    async def __aenter__(self) -> Response:
        raise PathError("Files go through a proxy only to relays that begin with wss://.")

    async def __aexit__(self, *_: object) -> None:
        return None
