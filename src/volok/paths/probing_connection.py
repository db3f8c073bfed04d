"""One connection to one address, and how far it comes.

    TCP -> TLS, in a chosen shape -> the websocket handshake -> pings, as many as are wanted

1. A relay answers a websocket ping with the same bytes (RFC 6455, 5.5.3), so any relay can be made
   to carry something both ways without being asked for anything. A server may answer only the
   latest of several pings; so only the answer to the last of each step is waited for.
2. First small steps: the step that is not answered tells after how much a network cuts connections
   off. Then one large step: how long its answer takes tells how fast the connection is.
3. How many packets went is read from the kernel (Linux, TCP_INFO), where it tells.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from websockets.client import ClientProtocol
from websockets.exceptions import (
    InvalidHandshake,
    InvalidStatus,
    InvalidURI,
    ProtocolError,
    WebSocketException,
)
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.uri import parse_uri

from volok.model.relay_link import RelayPin
from volok.paths.doctor_seen import Attempt, Carried, Hello, Outcome, Stage
from volok.paths.probing_settings import ProbeSettings
from volok.paths.shape import Shape, ShapedTls, Sni

SHAPES = {
    Hello.NAMED: Shape(),
    Hello.CUT: Shape(cut_record=100, cut_segment=50),
    Hello.NAMELESS: Shape(sni=Sni.NONE),
    Hello.OTHER: Shape(),
}
_SILENT = logging.Logger("volok.paths.silent", logging.CRITICAL + 1)
_PING = 125
"""The longest payload of a ping (RFC 6455, 5.5)."""
_FRAME = 6
_TCP_INFO = 11
_TRAFFIC = struct.Struct("@120xQQII")
"""Bytes acknowledged and received, segments sent and received, in struct tcp_info."""
_ESTIMATED_HANDSHAKE = 3000
_BAD_DATES = (9, 10)
"""X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Where to connect to, and how it proves itself."""

    url: str
    host: str
    port: int
    tls: bool
    pin: RelayPin | None


class Connector:
    """Makes connections and tells how far they come. Nothing here raises but for cancellation."""

    def __init__(
        self,
        settings: ProbeSettings,
        authorities: ssl.SSLContext | None,
        random: Callable[[int], bytes],
    ) -> None:
        """`authorities` as with `ShapedTls`; `random` gives so many random bytes."""
        self._settings = settings
        self._random = random
        self._turns = asyncio.Semaphore(settings.handshakes)
        self._shaped = {hello: ShapedTls(shape, authorities) for hello, shape in SHAPES.items()}

    async def attempt(
        self, peer: Peer, address: str, hello: Hello, speak: bool = False, other: str = ""
    ) -> Attempt:
        """Connect and greet; with `speak`, also open a websocket and fill it. `other` is the name
        that `Hello.OTHER` shows, to a place with a pin."""
        async with self._turns:
            begun = await self._begin(peer, address, hello, other)
        if isinstance(begun, Attempt):
            return begun
        opened, reader, writer = begun
        try:
            if not speak:
                last = Stage.CONNECT if hello is Hello.PLAIN else Stage.GREETING
                return Attempt(address, hello, last, Outcome.WORKS)
            talk = _Talk(reader, writer, opened, self._settings, self._random)
            stage, outcome = await talk.run(peer.url)
            return Attempt(address, hello, stage, outcome, talk.carried)
        finally:
            writer.transport.abort()

    async def unlimited(self, peer: Peer, address: str, hello: Hello) -> None:
        """Connect and greet without waiting for a turn."""
        begun = await self._begin(peer, address, hello, "")
        if not isinstance(begun, Attempt):
            begun[2].transport.abort()

    async def open(self, address: str, port: int) -> socket.socket | Outcome:
        """A TCP connection, or why there is none."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        try:
            made = socket.socket(family, socket.SOCK_STREAM)
        except OSError:
            return Outcome.NO_ROUTE
        try:
            made.setblocking(False)
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            async with asyncio.timeout(self._settings.connect_wait):
                await asyncio.get_running_loop().sock_connect(made, (address, port))
        except BaseException as error:
            made.close()
            if isinstance(error, OSError):
                return _outcome(error, Outcome.NO_ROUTE)
            raise
        return made

    async def _begin(
        self, peer: Peer, address: str, hello: Hello, other: str
    ) -> tuple[socket.socket, asyncio.StreamReader, asyncio.StreamWriter] | Attempt:
        opened = await self.open(address, peer.port)
        if isinstance(opened, Outcome):
            return Attempt(address, hello, Stage.CONNECT, opened)
        pin = peer.pin
        if hello is Hello.OTHER and pin is not None:
            pin = RelayPin(pin.pin, other)
        streams = await self._greet(opened, peer.host, pin, hello)
        if isinstance(streams, Outcome):
            return Attempt(address, hello, Stage.GREETING, streams)
        return (opened, *streams)

    async def _greet(
        self, connection: socket.socket, host: str, pin: RelayPin | None, hello: Hello
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | Outcome:
        try:
            if hello is Hello.PLAIN:
                return await asyncio.open_connection(sock=connection)
            async with asyncio.timeout(self._settings.greeting_wait):
                return await asyncio.open_connection(
                    sock=connection,
                    ssl=self._shaped[hello].handshake(connection, host, pin),
                    server_hostname="",
                )
        except OSError as error:
            connection.close()
            return _outcome(error, Outcome.ANSWERS)
        except BaseException:
            connection.close()
            raise


class _Talk:
    """A websocket over an open connection."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        connection: socket.socket,
        settings: ProbeSettings,
        random: Callable[[int], bytes],
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._connection = connection
        self._settings = settings
        self._random = random
        self._pongs: set[bytes] = set()
        self._answer: Response | None = None
        self._heard_at = 0.0
        self._closed = False
        self.carried: Carried | None = None

    async def run(self, url: str) -> tuple[Stage, Outcome]:
        """Open and fill it; how far that came."""
        try:
            protocol = ClientProtocol(parse_uri(url), max_size=1 << 20, logger=_SILENT)
        except InvalidURI:
            return Stage.SPEECH, Outcome.ANSWERS
        stage = Stage.SPEECH
        try:
            protocol.send_request(protocol.connect())
            self._flush(protocol)
            async with asyncio.timeout(self._settings.speech_wait):
                while self._answer is None and protocol.handshake_exc is None:
                    if not await self._hear(protocol):
                        break
            if self._answer is None or protocol.handshake_exc is not None:
                return stage, _handshake_outcome(protocol.handshake_exc)
            stage = Stage.CARRY
            return stage, await self._fill(protocol)
        except OSError as error:
            return stage, _outcome(error, Outcome.RESET)
        except (WebSocketException, ValueError):
            return stage, Outcome.ANSWERS
        except RuntimeError:  # what uvloop says of a connection that is gone
            return stage, Outcome.RESET

    async def _fill(self, protocol: ClientProtocol) -> Outcome:
        self._count(0)
        passed = 0
        for _ in range(self._settings.steps):
            if not await self._step(protocol, self._settings.step, self._settings.silence):
                return Outcome.WORKS if passed else Outcome.ANSWERS
            passed += self._settings.step
            self._count(passed)
        clock = asyncio.get_running_loop().time
        began, before = clock(), len(self._pongs)
        try:
            if not await self._step(protocol, self._settings.bulk, self._settings.bulk_wait):
                return Outcome.WORKS
            bulk = self._settings.bulk
        except TimeoutError:
            if clock() - self._heard_at > self._settings.silence:
                raise
            bulk = (len(self._pongs) - before) * (_PING + _FRAME)
        self._count(passed + bulk, bulk / max(clock() - began, 1e-3))
        return Outcome.WORKS

    async def _step(self, protocol: ClientProtocol, size: int, wait: float) -> bool:
        """Send pings and wait for the answer to the last of them; False when the other end closed
        the connection in an orderly way. Raises TimeoutError, OSError."""
        last = b""
        for _ in range(max(1, size // (_PING + _FRAME))):
            last = self._random(_PING)
            protocol.send_ping(last)
        self._flush(protocol)
        async with asyncio.timeout(wait):
            while last not in self._pongs:
                if self._closed or not await self._hear(protocol):
                    return False
        return True

    async def _hear(self, protocol: ClientProtocol) -> bool:
        data = await self._reader.read(65_536)
        self._heard_at = asyncio.get_running_loop().time()
        if not data:
            protocol.receive_eof()
            return False
        protocol.receive_data(data)
        self._flush(protocol)
        if protocol.parser_exc is not None:
            raise ProtocolError from protocol.parser_exc
        for event in protocol.events_received():
            if isinstance(event, Response):
                self._answer = event
            elif isinstance(event, Frame) and event.opcode is Opcode.PONG:
                self._pongs.add(bytes(event.data))
            elif isinstance(event, Frame) and event.opcode is Opcode.CLOSE:
                self._closed = True
        return not self._closed

    def _flush(self, protocol: ClientProtocol) -> None:
        self._writer.write(b"".join(protocol.data_to_send()))

    def _count(self, passed: int, rate: float | None = None) -> None:
        size, packets = 2 * passed + _ESTIMATED_HANDSHAKE, None
        with suppress(OSError, struct.error, AttributeError):
            info = self._connection.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, 192)
            acknowledged, received, out, into = _TRAFFIC.unpack_from(info)
            size, packets = acknowledged + received, out + into
        self.carried = Carried(size, packets, rate)


def _outcome(error: OSError, otherwise: Outcome) -> Outcome:
    match error:
        case TimeoutError():
            return Outcome.SILENT
        case ConnectionRefusedError():
            return Outcome.REFUSED
        case ssl.SSLCertVerificationError():
            late = getattr(error, "verify_code", 0) in _BAD_DATES
            return Outcome.EXPIRED if late else Outcome.STRANGER
        case ConnectionError() | ssl.SSLEOFError() | ssl.SSLSyscallError():
            return Outcome.RESET
        case ssl.SSLError():
            return Outcome.ANSWERS
    return otherwise


def _handshake_outcome(error: Exception | None) -> Outcome:
    """What an answer that is no websocket means: where a page of login is put in the way, another
    page is named."""
    if isinstance(error, InvalidStatus) and (
        300 <= error.response.status_code < 400 or error.response.status_code == 511
    ):
        return Outcome.STRANGER
    return Outcome.ANSWERS if isinstance(error, InvalidHandshake) else Outcome.RESET
