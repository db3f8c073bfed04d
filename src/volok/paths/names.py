"""Looking names up, so that a dead name server holds up nobody but whoever asks it.

A lookup by the system cannot be given up: its thread stays until the name server answered or the
system lost patience, which can take half a minute. The threads that the event loop has for this are
few and serve everything else, too; so lookups have threads of their own, and each name is looked up
once at a time however many connections wait for it.
"""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any

Address = tuple[int, Any]
"""Family, and the address as sockets take it."""

_THREADS = 16


class Names:
    """Lookups of one node. Belongs to one event loop."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, "volok-names")
        self._asked: dict[tuple[str, int], asyncio.Future[list[Address]]] = {}

    async def addresses(self, host: str, port: int) -> list[Address]:
        """The addresses of a host. Raises OSError."""
        key = host, port
        if key not in self._asked:
            loop = asyncio.get_running_loop()
            future = loop.run_in_executor(self._threads, _look_up, host, port)
            self._asked[key] = future
            future.add_done_callback(lambda done: self._answered(key, done))
        return await asyncio.shield(self._asked[key])

    async def dial(self, host: str, port: int) -> socket.socket:
        """Connect straight to a host, trying its addresses in turn. Raises OSError."""
        loop = asyncio.get_running_loop()
        problem = OSError("The name has no address.")
        for family, address in await self.addresses(host, port):
            connection = socket.socket(family, socket.SOCK_STREAM)
            try:
                connection.setblocking(False)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                await loop.sock_connect(connection, address)
            except OSError as error:
                connection.close()
                problem = error
            except BaseException:
                connection.close()
                raise
            else:
                return connection
        raise problem

    def close(self) -> None:
        """Ask nothing any more; what was asked is not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _answered(self, key: tuple[str, int], done: asyncio.Future[list[Address]]) -> None:
        del self._asked[key]
        if not done.cancelled():
            done.exception()  # whoever waited hears of it, and somebody may have given up


def _look_up(host: str, port: int) -> list[Address]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(int(family), address) for family, _, _, _, address in found]
