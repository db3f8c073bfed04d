"""Connecting by name where names may be forged, or name servers dead.

1. A lookup by the system cannot be given up: its thread stays until the name server answered or
   the system lost patience, which can take half a minute. The threads that the event loop has for
   this are few and serve everything else, too; so lookups have threads of their own, and each name
   is looked up once at a time however many connections wait for it.
2. An address where the right one answered before is taken at once and the name not asked for.
3. Where no address answers, or those of the system were not the right one's, the name servers are
   asked for all their answers (`volok.paths.answers`).
4. Addresses are tried one after the other, each with a head start (RFC 8305). Whose address it is
   shows only in the handshake above: whoever makes it calls `Dialled.proved`.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from volok.paths.addresses import AddressBook, AddressSettings
from volok.paths.answers import Server, all_answers, read_name_servers
from volok.paths.guard import Guard

Address = tuple[int, Any]
"""Family, and the address as sockets take it."""

_THREADS = 16
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class NamesSettings:
    """How hosts are found. Times are in seconds."""

    head_start: float = 0.3
    """What an address has before the next one is tried beside it."""
    at_once: int = 8
    """Addresses of one host that are tried at once; forged ones may never answer."""
    listen: float = 1.5
    """For further answers to a question; forged ones are ahead by up to a third of a second."""
    book: AddressSettings = field(default_factory=AddressSettings)
    """How addresses are remembered."""


class Dialled(socket.socket):
    """A connected socket that hears whether whoever answers is the one who was meant."""

    on_proof: Callable[[], None]
    on_failure: Callable[[], None]
    unsettled = False
    """Whether it is open, and nothing was shown yet."""

    def proved(self) -> None:
        """Whoever answers has shown the right key or certificate."""
        self.unsettled = False
        self.on_proof()

    def close(self) -> None:
        """Close it; when it was open and no proof came, the address is doubted."""
        if self.unsettled:
            self.unsettled = False
            self.on_failure()
        super().close()


class Names:
    """Lookups and connections of one node. Belongs to one event loop."""

    def __init__(
        self,
        settings: NamesSettings | None = None,
        servers: Callable[[], Sequence[Server]] = read_name_servers,
        random: Callable[[int], bytes] = os.urandom,
        guard: Guard | None = None,
    ) -> None:
        """`servers` gives the name servers of the moment, `random` so many random bytes; `guard`
        says which addresses are not connected to, by default none."""
        self.settings = settings or NamesSettings()
        self.book = AddressBook(self.settings.book)
        self.guard = guard or Guard()
        self._servers = servers
        self._random = random
        self._threads = ThreadPoolExecutor(_THREADS, "volok-names")
        self._asked: dict[tuple[str, int], asyncio.Future[list[Address]]] = {}

    async def addresses(self, host: str, port: int) -> list[Address]:
        """The addresses of a host, as the system finds them. Raises OSError."""
        key = host, port
        if key not in self._asked:
            loop = asyncio.get_running_loop()
            future = loop.run_in_executor(self._threads, _look_up, host, port)
            self._asked[key] = future
            future.add_done_callback(lambda done: self._answered(key, done))
        return await asyncio.shield(self._asked[key])

    async def further_addresses(self, host: str, found: Callable[[str], None]) -> None:
        """Call `found` for every address that the name servers give, or others in their name."""
        servers = await asyncio.to_thread(self._servers)
        await all_answers(host, found, servers, self.settings.listen, self._random)

    async def dial(self, host: str, port: int) -> Dialled:
        """Connect straight to a host, trying its addresses. Raises OSError."""
        return await _Dialling(self, host, port).run()

    def connected(self, host: str, address: str, family: int) -> Dialled:
        """A new socket for an address of this host; what becomes of it is remembered."""
        made = Dialled(family, socket.SOCK_STREAM)
        loop = asyncio.get_running_loop()
        made.on_proof = lambda: self.book.proved(host, address, loop.time())
        made.on_failure = lambda: self.book.failed(host, address)
        return made

    def close(self) -> None:
        """Ask nothing any more; what was asked is not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _answered(self, key: tuple[str, int], done: asyncio.Future[list[Address]]) -> None:
        del self._asked[key]
        if not done.cancelled():
            done.exception()  # whoever waited hears of it, and somebody may have given up


class _Dialling:
    """One attempt to connect to a host."""

    def __init__(self, names: Names, host: str, port: int) -> None:
        self._names = names
        self._host = host
        self._port = port
        self._found: dict[str, Address] = {}
        self._tried: set[str] = set()
        self._attempts: set[asyncio.Task[Dialled]] = set()
        self._lookups: list[asyncio.Task[None]] = []
        self._asked_system = self._asked_further = False
        self._news = asyncio.Event()
        self._clock = asyncio.get_running_loop().time
        self._next_at = 0.0
        self._problem = OSError("The name has no address.")

    async def run(self) -> Dialled:
        """The first connection that opens."""
        for address in self._names.book.trusted(self._host, self._clock()):
            self._add(address)
        try:
            while True:
                self._news.clear()
                if (opened := self._take()) is not None:
                    return opened
                wait = self._go_on()
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._news.wait()
        finally:
            await self._end()

    def _take(self) -> Dialled | None:
        """A connection that has opened; attempts that failed are put away."""
        for attempt in [one for one in self._attempts if one.done()]:
            self._attempts.discard(attempt)
            error = attempt.exception()
            if error is None:
                return attempt.result()
            if not isinstance(error, OSError):
                raise error
            self._problem, self._next_at = error, 0.0
        return None

    def _go_on(self) -> float | None:
        """Begin what is due; returns the seconds until something else may be. Raises OSError when
        nothing is left."""
        wait = self._next_at - self._clock()
        if self._attempts and wait > 0:
            return wait
        address = self._next_address()
        if address is not None and len(self._attempts) < self._names.settings.at_once:
            self._tried.add(address)
            self._attempts.add(self._begin(self._connect(address)))
            self._next_at = self._clock() + self._names.settings.head_start
            return self._names.settings.head_start
        if address is None and not self._asked_system:
            self._asked_system = True
            self._lookups.append(self._begin(self._ask_system()))
        elif address is None and not self._looking and not self._asked_further:
            self._asked_further = True
            if not _is_address(self._host):
                further = self._names.further_addresses(self._host, self._add)
                self._lookups.append(self._begin(further))
            return 0.0
        elif not (self._attempts or self._looking or address):
            raise self._problem
        return None

    def _next_address(self) -> str | None:
        """What to try next; what is doubted only once no other answer can come."""
        book = self._names.book
        open_still = self._looking or not (self._asked_system and self._asked_further)
        for address in book.ordered(self._host, self._found):
            if address not in self._tried:
                doubted = book.is_doubted(self._host, address)
                return None if doubted and open_still else address
        return None

    @property
    def _looking(self) -> bool:
        """Whether an answer may still come."""
        return any(not one.done() for one in self._lookups)

    def _begin(self, work: Coroutine[Any, Any, _Result]) -> asyncio.Task[_Result]:
        task = asyncio.create_task(work)
        task.add_done_callback(lambda _: self._news.set())
        return task

    async def _ask_system(self) -> None:
        try:
            for family, address in await self._names.addresses(self._host, self._port):
                self._found.setdefault(str(address[0]), (family, address))
        except OSError as error:
            self._problem = error

    def _add(self, address: str) -> None:
        """An address came as text."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        # In front: the later an answer comes, the less likely it was forged.
        self._found = {address: (family, (address, self._port)), **self._found}
        self._news.set()

    async def _connect(self, address: str) -> Dialled:
        family, where = self._found[address]
        self._names.guard.check(self._host, address)
        connection = self._names.connected(self._host, address, family)
        try:
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.get_running_loop().sock_connect(connection, where)
        except BaseException:
            connection.close()
            raise
        connection.unsettled = True
        return connection

    async def _end(self) -> None:
        tasks: list[asyncio.Task[Any]] = [*self._attempts, *self._lookups]
        for task in tasks:
            task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(outcome, Dialled):
                outcome.close()


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _look_up(host: str, port: int) -> list[Address]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(int(family), address) for family, _, _, _, address in found]
