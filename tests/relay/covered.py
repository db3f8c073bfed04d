"""A relay behind its cover, on real TLS, and a stranger's raw connection to it."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from volok.app.cli.relay_certificate import kept_certificate
from volok.native import NativeCrypto
from volok.relay.link import Reachable, links
from volok.relay.run import run_relay
from volok.relay.server import Address
from volok.relay.settings import RelaySettings
from volok.relay.tls import file_pin, server_context

SECRET = "a-secret-path-of-22-ch"


@dataclass(frozen=True)
class Covered:
    """A running relay."""

    address: Address
    link: str
    """With its pin."""


@contextlib.asynccontextmanager
async def covered(data: Path, cover: Path | None = None) -> AsyncIterator[Covered]:
    """Run a relay with TLS and a secret path."""
    files = kept_certificate(data, "localhost", time.time)
    settings = RelaySettings(secret_path=SECRET)
    async with run_relay(
        "127.0.0.1", 0, data, settings, NativeCrypto(), tls=server_context(*files), cover=cover
    ) as address:
        pin = file_pin(files[0]).hex()
        reachable = Reachable(address.host, address.port, True, SECRET, pin, ())
        yield Covered(address, links(reachable)[0])


def anybody() -> ssl.SSLContext:
    """A client that accepts every certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class Stranger:
    """A connection that sends bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def to(cls, relay: Covered) -> Stranger:
        return cls(
            *await asyncio.open_connection(
                relay.address.host, relay.address.port, ssl=anybody(), server_hostname=""
            )
        )

    async def ask(self, request: bytes) -> bytes:
        """Send a request and read its answer: head and body."""
        self.writer.write(request)
        async with asyncio.timeout(10):
            head = await self.reader.readuntil(b"\r\n\r\n")
            for line in head.split(b"\r\n"):
                if line.lower().startswith(b"content-length:") and not request.startswith(b"HEAD"):
                    return head + await self.reader.readexactly(int(line.partition(b":")[2]))
        return head

    async def ended(self) -> bytes:
        """What still comes until the relay closes the connection."""
        async with asyncio.timeout(10):
            return await self.reader.read()

    async def close(self) -> None:
        self.writer.transport.abort()
