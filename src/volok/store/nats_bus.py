"""NATS (core, without JetStream) as the bus of a cluster: it writes nothing to any disk."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from urllib.parse import urlsplit

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from volok.store.bus import Bus, BusError

_RETRY_SECONDS = 0.5
_WAITING_BYTES = 8 << 20
"""What waits in memory while the connection is being made anew; more is lost."""


class NatsBus(Bus):
    """The `Bus` contract over one or more NATS servers. Belongs to one event loop."""

    most = 512 * 1024

    def __init__(self, urls: str, tls: ssl.SSLContext | None = None) -> None:
        """`urls`: nats:// or tls:// addresses of the servers of one NATS cluster, with commas
        between. Raises BusError."""
        self._urls = [url.strip() for url in urls.split(",")]
        for url in self._urls:
            parts = urlsplit(url)
            if parts.scheme not in ("nats", "tls") or not parts.hostname:
                raise BusError("The bus is not an address like nats://host:4222.")
        self._tls = tls
        self._client: Client | None = None
        self._heard: dict[str, Callable[[bytes], None]] = {}
        self._connecting: asyncio.Task[None] | None = None

    async def listen(self, name: str, heard: Callable[[bytes], None]) -> None:
        """See Bus."""
        self._heard[name] = heard
        if self._client is not None:
            await self._subscribe(self._client, name)
        elif self._connecting is None:
            self._connecting = asyncio.create_task(self._connect())

    async def tell(self, name: str, message: bytes) -> None:
        """See Bus."""
        if self._client is not None:
            # What is lost here is read from the database.
            with contextlib.suppress(NatsError, OSError):
                await self._client.publish(name, message)

    async def close(self) -> None:
        """See Bus."""
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.gather(self._connecting, return_exceptions=True)
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(NatsError, OSError, TimeoutError):
                await client.close()

    async def _connect(self) -> None:
        while self._client is None:
            try:
                client = await nats.connect(
                    servers=self._urls,
                    tls=self._tls,
                    connect_timeout=5,
                    max_reconnect_attempts=-1,
                    reconnect_time_wait=_RETRY_SECONDS,
                    pending_size=_WAITING_BYTES,
                    ping_interval=10,
                    max_outstanding_pings=2,
                    error_cb=_nothing,
                )
                for name in self._heard:
                    await self._subscribe(client, name)
                self._client = client
            except (NatsError, OSError, TimeoutError):
                await asyncio.sleep(_RETRY_SECONDS)

    async def _subscribe(self, client: Client, name: str) -> None:
        heard = self._heard[name]

        async def on_message(message: Msg) -> None:
            heard(message.data)

        await client.subscribe(name, cb=on_message)


async def _nothing(_error: Exception) -> None:
    """The client would write to standard error."""
