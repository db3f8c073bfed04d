"""The gate through which a library that makes its own connections reaches one relay, nothing else.

It is a socket in a folder that nobody else can enter, and speaks as an HTTP proxy does (CONNECT,
RFC 9110, 9.3.6). Whatever is asked of it, it leads to one address, dialled as on every other path.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress

from volok.paths.direct import DirectSettings
from volok.paths.live import PathError
from volok.paths.names import Dialled
from volok.paths.shape import Dial

_MOST_ASKED = 4096
"""Bytes of what may be said to the gate before it lets through."""
_BLOCK = 65536


class Gate:
    """Leads whoever comes to one relay."""

    def __init__(self, dial: Dial, host: str, port: int, settings: DirectSettings) -> None:
        self.path = ""
        self.latest: socket.socket | None = None
        """The socket to the relay that was opened last."""
        self.refused: Exception | None = None
        """Why the relay could not be dialled the last time."""
        self._dial = dial
        self._host = host
        self._port = port
        self._patience = settings.open_timeout
        self._server: asyncio.Server | None = None
        self._visits: set[asyncio.Task[None]] = set()

    async def open(self, path: str) -> None:
        """Listen at this place in the file system. Raises PathError."""
        try:
            self._server = await asyncio.start_unix_server(self._visit, path, limit=_BLOCK)
        except (OSError, AttributeError) as error:  # Windows has none
            raise PathError("This system cannot look like a browser.") from error
        self.path = path

    async def close(self) -> None:
        """Close it, and every connection through it."""
        if self._server is not None:
            self._server.close()
        for visit in list(self._visits):
            visit.cancel()
        await asyncio.gather(*self._visits, return_exceptions=True)

    def proved(self) -> None:
        """Whoever was reached last has shown the right key or certificate."""
        if isinstance(self.latest, Dialled):
            self.latest.proved()

    async def _visit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._visits.add(task)
        try:
            await self._lead(reader, writer)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        except asyncio.CancelledError:
            pass  # by `close`; the server that made the task would report it as an error
        finally:
            self._visits.discard(task)
            writer.close()

    async def _lead(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(self._patience):
            asked = await reader.readuntil(b"\r\n\r\n")
            if len(asked) > _MOST_ASKED or not asked.startswith(b"CONNECT "):
                return
            try:
                connection = await self._dial(self._host, self._port)
            except OSError as error:
                self.refused = error
                writer.write(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
                return
        self.refused, self.latest = None, connection
        there, onward = await asyncio.open_connection(sock=connection)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        ways = [
            asyncio.create_task(_carry(reader, onward)),
            asyncio.create_task(_carry(there, writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            onward.close()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(_BLOCK):
            writer.write(data)
            await writer.drain()
