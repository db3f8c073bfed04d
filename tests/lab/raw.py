"""Raw probes: plain sockets in the hosts of a world, both ends in the hands of one test.

What becomes of a probe is one of five words: `arrived`, `open`, `silence`, `refused`, `reset`.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from lab.censor import Value
from lab.ground import ANA, Host
from lab.world import Service, World

from lab import censor, dns, ground

ARRIVED, OPEN, SILENCE, REFUSED, RESET = "arrived", "open", "silence", "refused", "reset"

QUIET = 0.3
"""Seconds after which nothing is called silence, if the wire has let a packet vanish meanwhile. A
packet that passes takes a hundredth of that."""
PATIENCE = 4.0
"""Seconds after which nothing is called silence in any case."""
HOLD_OFF = 0.02
"""Seconds between two segments of one hello: so long that the kernel does not join them."""

T = TypeVar("T")


def seed_for(profile: str, **wanted: Value | Callable[[Any], bool]) -> int:
    """The first seed by which a profile's parameters are drawn as wanted, by value or condition."""
    for seed in range(2000):
        drawn = drawn_by(profile, seed)
        if all(
            wish(drawn[name]) if callable(wish) else drawn[name] == wish
            for name, wish in wanted.items()
        ):
            return seed
    raise AssertionError(f"No seed draws {wanted} for {profile}")


def drawn_by(profile: str, seed: int) -> dict[str, Value]:
    """The parameters of a profile as the wire draws them."""
    return censor.make(profile, ground.ordinary(), seed)[1]


@dataclass(slots=True)
class Connection:
    """A TCP connection with both its ends."""

    lab: Lab
    client: socket.socket
    server: socket.socket

    async def say(self, *pieces: bytes) -> str:
        """The client sends segments; what becomes of them at the server."""
        return await self.lab.outcome(carry(self.client, self.server, pieces))

    async def hear(self, *pieces: bytes) -> str:
        """The server sends segments; what becomes of them at the client."""
        return await self.lab.outcome(carry(self.server, self.client, pieces))

    async def ends(self, patience: float = QUIET) -> list[str]:
        """What the client and the server find when they only listen: `reset` or `open`."""
        return list(await asyncio.gather(*(state(end, patience) for end in self.both)))

    @property
    def both(self) -> tuple[socket.socket, socket.socket]:
        """The client's end and the server's."""
        return self.client, self.server

    def close(self) -> None:
        """Close both ends."""
        for end in self.both:
            end.close()


async def carry(sender: socket.socket, receiver: socket.socket, pieces: tuple[bytes, ...]) -> str:
    """Send segments from one end to the other, and wait for all of their bytes."""
    loop = asyncio.get_running_loop()
    left = sum(map(len, pieces))
    for number, piece in enumerate(pieces):
        await asyncio.sleep(HOLD_OFF if number else 0)
        await loop.sock_sendall(sender, piece)
    while left:
        part = await loop.sock_recv(receiver, left)
        if not part:
            raise ConnectionResetError
        left -= len(part)
    return ARRIVED


async def state(end: socket.socket, patience: float) -> str:
    """Whether an end has been reset: `reset`, or `open`."""
    try:
        await asyncio.wait_for(asyncio.get_running_loop().sock_recv(end, 1), patience)
    except TimeoutError:
        return OPEN
    except ConnectionError:
        return RESET
    return OPEN


@dataclass(slots=True)
class Lab:
    """A world to probe."""

    world: World
    _listeners: dict[tuple[str, int], socket.socket] = field(default_factory=dict)

    @asynccontextmanager
    async def under(
        self, profile: str, **wanted: Value | Callable[[Any], bool]
    ) -> AsyncIterator[dict[str, Any]]:
        """Have a profile at work, drawn as wanted; gives all that was drawn."""
        seed = seed_for(profile, **wanted)
        await self.world.censor([profile], seed)
        try:
            yield dict(drawn_by(profile, seed))
        finally:
            await self.world.clear()

    async def compare(
        self,
        profile: str,
        probe: Callable[[], Awaitable[T]],
        **wanted: Value | Callable[[Any], bool],
    ) -> tuple[T, T]:
        """What a probe finds without a censor and with one; without, before and after agree."""
        before = await probe()
        async with self.under(profile, **wanted):
            during = await probe()
        after = await probe()
        assert after == before
        return before, during

    async def settled(self, doing: Coroutine[Any, Any, T]) -> T:
        """Do something; raises TimeoutError when packets vanish instead."""
        before = await self._vanished()
        task = asyncio.create_task(doing)
        try:
            for _ in range(round(PATIENCE / QUIET)):
                done, _ = await asyncio.wait({task}, timeout=QUIET)
                if done:
                    return task.result()
                if await self._vanished() > before:
                    break
            raise TimeoutError
        finally:
            task.cancel()
            await asyncio.wait({task})

    async def outcome(self, doing: Coroutine[Any, Any, str]) -> str:
        """The word that something gives, or the one for how it fails."""
        try:
            return await self.settled(doing)
        except TimeoutError:
            return SILENCE
        except ConnectionRefusedError:
            return REFUSED
        except (ConnectionResetError, BrokenPipeError):
            return RESET

    async def _vanished(self) -> int:
        """How many packets have not been carried so far."""
        counts = await self.world.counts()
        return counts["dropped"] + counts["lost"]

    async def connect(self, server: Host, port: int = 443, client: Host = ANA) -> Connection:
        """Both ends of a new connection. Raises TimeoutError and ConnectionRefusedError."""
        return await self.settled(self._connect(server, port, client))

    async def _connect(self, server: Host, port: int, client: Host) -> Connection:
        listener = self._listener(server, port)
        ours = await self.world.connect(client.name, server.address, port)
        try:
            while True:  # one that was given up may have come before
                theirs, peer = await asyncio.get_running_loop().sock_accept(listener)
                if peer == ours.getsockname():
                    break
                theirs.close()
        except BaseException:
            ours.close()
            raise
        for end in (ours, theirs):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return Connection(self, ours, theirs)

    @asynccontextmanager
    async def connected(
        self, server: Host, port: int = 443, client: Host = ANA
    ) -> AsyncIterator[Connection]:
        """The same, closed at the end."""
        connection = await self.connect(server, port, client)
        try:
            yield connection
        finally:
            connection.close()

    async def opening(self, server: Host, port: int = 443, client: Host = ANA) -> str:
        """What becomes of a new connection: `open`, `refused` or `silence`."""
        try:
            (await self.connect(server, port, client)).close()
        except TimeoutError:
            return SILENCE
        except ConnectionRefusedError:
            return REFUSED
        return OPEN

    async def first(
        self, *pieces: bytes, server: Host, port: int = 443, client: Host = ANA, rounds: int = 0
    ) -> str:
        """What becomes of the first bytes on a new connection, or of the answer to them.

        With `rounds`, so many small packets follow both ways, as long as the first arrive.
        """
        try:
            connection = await self.connect(server, port, client)
        except TimeoutError:
            return SILENCE
        except ConnectionRefusedError:
            return REFUSED
        try:
            found = await connection.say(*pieces)
            for number in range(2 * rounds + 1):
                if found != ARRIVED:
                    break
                found = await (connection.say if number % 2 else connection.hear)(b"more")
            return found
        finally:
            connection.close()

    async def datagrams(
        self, *payloads: bytes, server: Host, port: int = 443, client: Host = ANA
    ) -> list[str]:
        """What becomes of each datagram of one flow; `<` before one has it go to the client."""
        there = self.world.open_socket(server.name, socket.SOCK_DGRAM)
        here = self.world.open_socket(client.name, socket.SOCK_DGRAM)
        try:
            there.bind((server.address, port))
            here.bind((client.address, 0))
            here.connect((server.address, port))
            there.connect(here.getsockname())
            found = []
            for payload in payloads:
                ends = (there, here) if payload.startswith(b"<") else (here, there)
                found.append(await self.outcome(carry(*ends, (payload,))))
            return found
        finally:
            there.close()
            here.close()

    async def ask(
        self, server: Host, name: str, answers: int = 1, patience: float = PATIENCE
    ) -> list[tuple[float, tuple[str, ...]]]:
        """The first answers to a DNS question over UDP: seconds after it, and addresses."""
        loop = asyncio.get_running_loop()
        found: list[tuple[float, tuple[str, ...]]] = []
        with self.world.open_socket(ANA.name, socket.SOCK_DGRAM) as asking, suppress(TimeoutError):
            asking.connect((server.address, dns.PORT))
            began = time.monotonic()
            asking.send(dns.build_query(7, name))
            async with asyncio.timeout(patience):
                while len(found) < answers:
                    answer = dns.parse_answer(await loop.sock_recv(asking, 4096))
                    assert answer is not None
                    found.append((time.monotonic() - began, answer.addresses))
        return found

    async def download(self, website: Host) -> tuple[int, int]:
        """Fetch a front page by TLS: bytes of TCP payload that came, and bytes of the page.

        Ends with the page, or in silence.
        """
        context = ssl.create_default_context(cafile=str(self.world.authority.certificate))
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_hostname=website.names[0])
        request = f"GET / HTTP/1.0\r\nHost: {website.names[0]}\r\n\r\n".encode()
        loop = asyncio.get_running_loop()
        raw, plain, asked = 0, bytearray(), False
        with await self.world.connect(ANA.name, website.address, 443) as sock:
            while True:
                with suppress(ssl.SSLWantReadError):
                    if not asked:
                        tls.do_handshake()
                        tls.write(request)
                        asked = True
                    while part := tls.read(65536):
                        plain += part
                    break
                await loop.sock_sendall(sock, outgoing.read())
                try:
                    came = await self.settled(loop.sock_recv(sock, 65536))
                except TimeoutError:
                    break
                raw += len(came)
                incoming.write(came) if came else incoming.write_eof()
        return raw, len(bytes(plain).partition(b"\r\n\r\n")[2])

    def close(self) -> None:
        """Close what listens."""
        for listener in self._listeners.values():
            listener.close()

    def _listener(self, server: Host, port: int) -> socket.socket:
        made = self._listeners.get((server.name, port))
        if made is None:
            made = self.world.open_socket(server.name)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind((server.address, port))
            made.listen(64)
            self._listeners[server.name, port] = made
        return made


@asynccontextmanager
async def making(*services: Service) -> AsyncIterator[Lab]:
    """A world with these services, ready to be probed."""
    async with World.make(services=services) as world:
        lab = Lab(world)
        try:
            yield lab
        finally:
            lab.close()
