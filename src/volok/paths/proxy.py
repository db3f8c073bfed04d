"""Paths through a SOCKS5 proxy (RFC 1928, RFC 1929) or an HTTP proxy (CONNECT, RFC 9110, 9.3.6).

1. The proxy resolves names: no name of a relay is asked for here.
2. Nothing ever goes past the proxy. Plain HTTP (not HTTPS) is not carried.
3. TLS is made with the relay, through the proxy; the proxy's owner sees the relay's address and
   how much goes there, and nothing else.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from python_socks import ProxyConnectionError, ProxyError, ProxyTimeoutError, ProxyType
from python_socks.async_.asyncio import Proxy

from volok.paths.direct import DirectSettings
from volok.paths.live import Capabilities
from volok.paths.proxy_address import ProxyAddress
from volok.paths.shape import Shape
from volok.paths.tunnel import TunnelPath, TunnelRefused

_TYPES = {"socks5": ProxyType.SOCKS5, "http": ProxyType.HTTP}


class ProxyRefused(TunnelRefused):
    """The proxy does not take us there."""


OBSERVER_LEARNS = (
    "The proxy's owner sees your address, which relays you use, and when; the relays see the "
    "proxy's address."
)
"""What the person is told before a proxy is first used."""


class ProxyPath(TunnelPath):
    """`LivePath` through one proxy. `shape` and other options as with `DirectPath`."""

    def __init__(
        self,
        proxy: ProxyAddress,
        settings: DirectSettings | None = None,
        shape: Shape | None = None,
        **options: Any,
    ) -> None:
        self._proxy = proxy
        self._patience = (settings or DirectSettings()).open_timeout
        super().__init__(self._connect, settings, shape, **options)

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            latency=0.3,
            connections=100,
            bytes_per_connection=None,
            hides_address=True,
            observer_learns=OBSERVER_LEARNS,
            cost=2.0,
            exposure=1,
        )

    async def connect(self, host: str, port: int) -> socket.socket:
        """A connection to any host, made by the proxy. Raises OSError."""
        return await self._connect(host, port)

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
            raise ProxyRefused(ProxyRefused.__doc__) from error
        except ProxyTimeoutError as error:
            raise TimeoutError from error
        if not isinstance(made, socket.socket):
            raise ProxyRefused(ProxyRefused.__doc__)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made
