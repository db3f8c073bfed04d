"""Connections to others on the local network: TLS 1.3 with certificates that are thrown away.

The certificate proves nothing; its hash names the channel, by which the two ends find out whether
they know each other (see `volok.sync.lan`). Rules:

1. It is listened on the addresses of one local network alone, and only those who are on it are let
   in.
2. Before anything costs work, connections are counted: so many at once, so many from one address,
   so many from one address in a while. What is too much is closed unread.
3. Nothing waits for ever: a handshake, a piece of what was announced, a piece of what is sent each
   have their time. Only the pause between two frames may last.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from volok.paths.lan_interfaces import Interface, dialable
from volok.paths.live import PathError

_PIECE = 1 << 16
_TRIES = 20
"""Ports that are tried until one is free on every address."""


class NeighbourLost(PathError):
    """The other node on the local network is gone, or does not speak as it should."""


@dataclass(frozen=True, slots=True)
class ChannelSettings:
    """Limits of connections on the local network. Times are in seconds."""

    handshake: float = 5.0
    """For a connection to be opened, and for its TLS."""
    stall: float = 20.0
    """In which 64 KiB of what is being sent or received must get through."""
    strangers: int = 16
    """Incoming connections at once whose other end is not recognised yet."""
    from_one: int = 4
    """Of these, from one address."""
    remembered: int = 1024
    """Addresses whose attempts are counted at once; more than that are let in no more."""
    attempts: int = 30
    """Connections that one address may open in `attempts_within`."""
    attempts_within: float = 60.0
    """See `attempts`."""
    attempts_in_all: int = 300
    """Connections that all addresses together may open in that time: addresses cost nothing."""
    keep_alive: int = 120
    """Silence after which the system asks whether the other end is still there."""


class Channel:
    """One connection."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        dialled: bool,
        certificate: bytes,
        settings: ChannelSettings,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._settings = settings
        self.dialled = dialled
        """Whether we opened it."""
        self.certificate = certificate
        """Of the one who listened, in DER."""
        sock = writer.get_extra_info("socket")
        if sock is not None:
            _keep_alive(sock, settings)

    async def read(self, length: int, patient: bool = False) -> bytes:
        """Exactly so many bytes; `patient`: the first of them may be long in coming.

        Raises NeighbourLost.
        """
        pieces: list[bytes] = []
        try:
            if patient and length:
                pieces.append(await self._reader.readexactly(1))
                length -= 1
            while length:
                async with asyncio.timeout(self._settings.stall):
                    pieces.append(await self._reader.readexactly(min(length, _PIECE)))
                length -= len(pieces[-1])
        except (OSError, EOFError, TimeoutError, ssl.SSLError) as error:
            raise NeighbourLost from error
        return b"".join(pieces)

    async def write(self, *data: bytes) -> None:
        """Send this. Raises NeighbourLost."""
        try:
            for each in data:
                for at in range(0, len(each), _PIECE):
                    self._writer.write(each[at : at + _PIECE])
                    async with asyncio.timeout(self._settings.stall):
                        await self._writer.drain()
        except (OSError, TimeoutError, ssl.SSLError, RuntimeError) as error:
            raise NeighbourLost from error

    def close(self) -> None:
        """End it at once."""
        self._writer.transport.abort()


class Listener:
    """Lets others on one local network in, from `open` to `close`.

    `context` holds the certificate; `on_channel` is awaited with each connection, counts as
    unrecognised until it calls the function given with it, and closes the channel itself.
    """

    def __init__(
        self,
        interface: Interface,
        context: ssl.SSLContext,
        certificate: bytes,
        on_channel: Callable[[Channel, Callable[[], None]], Awaitable[None]],
        settings: ChannelSettings | None = None,
    ) -> None:
        self._interface = interface
        self._context = context
        self._certificate = certificate
        self._on_channel = on_channel
        self._settings = settings or ChannelSettings()
        self._sockets: list[socket.socket] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._strangers: Counter[str] = Counter()
        self._attempts: dict[str, deque[float]] = {}
        self._all_attempts: deque[float] = deque(maxlen=self._settings.attempts_in_all)
        self.turned_away = 0
        """Connections that were closed unread."""

    def open(self) -> int:
        """Listen on every address of ours on that network; returns the port. Raises OSError."""
        for _ in range(_TRIES):
            try:
                port = self._bind()
            except OSError:
                self._close_sockets()
                continue
            for listening in self._sockets:
                self._start(self._accept(listening))
            return port
        raise OSError("There is no port on which this network could be listened to.")

    async def close(self) -> None:
        """Stop listening, and end every connection that was let in."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._close_sockets()

    def _bind(self) -> int:
        port = 0
        for one in self._interface.v4:
            made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            self._sockets.append(made)
            made.setblocking(False)
            made.bind((str(one.ip), port))
            port = made.getsockname()[1]
            made.listen(self._settings.strangers)
        if self._interface.v6 is not None:
            made = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
            made.setblocking(False)
            try:
                made.bind((str(self._interface.v6), port, 0, self._interface.index))
                made.listen(self._settings.strangers)
            except OSError:  # an address that the system has not taken into use yet
                made.close()
            else:
                self._sockets.append(made)
        return port

    def _close_sockets(self) -> None:
        for made in self._sockets:
            made.close()
        self._sockets.clear()

    def _start(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                made, address = await loop.sock_accept(listening)
            except OSError:  # it was gone before we looked, or there are no descriptors left
                await asyncio.sleep(0.1)
                continue
            host = address[0].partition("%")[0]
            if not self._may_enter(host, loop.time()):
                self.turned_away += 1
                made.close()
                continue
            self._strangers[host] += 1
            self._start(self._admit(made, host))

    def _may_enter(self, host: str, now: float) -> bool:
        settings = self._settings
        if not dialable([host], self._interface):
            return False
        if self._strangers.total() >= settings.strangers:
            return False
        if self._strangers[host] >= settings.from_one:
            return False
        if host not in self._attempts:
            if len(self._attempts) >= settings.remembered:
                self._forget(now)
            if len(self._attempts) >= settings.remembered:
                return False
            self._attempts[host] = deque(maxlen=settings.attempts)
        counted = (self._attempts[host], self._all_attempts)
        if any(self._is_used_up(attempts, now) for attempts in counted):
            return False
        for attempts in counted:
            attempts.append(now)
        return True

    def _is_used_up(self, attempts: deque[float], now: float) -> bool:
        return len(attempts) == attempts.maxlen and (
            now - attempts[0] < self._settings.attempts_within
        )

    def _forget(self, now: float) -> None:
        old = now - self._settings.attempts_within
        self._attempts = {
            host: one for host, one in self._attempts.items() if one and one[-1] > old
        }

    async def _admit(self, made: socket.socket, host: str) -> None:
        counted = True

        def known() -> None:
            nonlocal counted
            if counted:
                counted = False
                self._strangers[host] -= 1
                self._strangers += Counter()  # those without any are forgotten

        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=_PIECE)
        protocol = asyncio.StreamReaderProtocol(reader)
        try:
            async with asyncio.timeout(self._settings.handshake):
                transport, _ = await loop.connect_accepted_socket(
                    lambda: protocol, made, ssl=self._context
                )
            writer = asyncio.StreamWriter(transport, protocol, reader, loop)
            channel = Channel(reader, writer, False, self._certificate, self._settings)
            try:
                await self._on_channel(channel, known)
            finally:
                channel.close()
        except (OSError, TimeoutError, ssl.SSLError):
            with suppress(OSError):
                made.close()
        finally:
            known()


async def uninterrupted(work: Coroutine[Any, Any, None]) -> None:
    """Do this to its end even when we are cancelled meanwhile: what is half closed goes on."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


async def dial(address: str, port: int, settings: ChannelSettings | None = None) -> Channel:
    """Open a connection to an address given by `dialable`. Raises NeighbourLost."""
    settings = settings or ChannelSettings()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # who it is shows in the channel, not in the certificate
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        async with asyncio.timeout(settings.handshake):
            reader, writer = await asyncio.open_connection(address, port, ssl=context, limit=_PIECE)
    except (OSError, TimeoutError, ssl.SSLError, ValueError) as error:
        raise NeighbourLost from error
    tls = writer.get_extra_info("ssl_object")
    certificate = tls.getpeercert(binary_form=True) if tls is not None else None
    if not certificate:
        writer.transport.abort()
        raise NeighbourLost
    return Channel(reader, writer, True, certificate, settings)


def _keep_alive(sock: socket.socket, settings: ChannelSettings) -> None:
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for name, value in (
            ("TCP_KEEPIDLE", settings.keep_alive),
            ("TCP_KEEPINTVL", 20),
            ("TCP_KEEPCNT", 3),
            ("TCP_USER_TIMEOUT", int(settings.stall * 1000)),
        ):
            option = getattr(socket, name, None)
            if option is not None:
                sock.setsockopt(socket.IPPROTO_TCP, option, value)
