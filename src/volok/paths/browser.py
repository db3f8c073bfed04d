"""A path whose TLS looks like that of a common browser, made by the browser's own library.

1. The handshake is BoringSSL's, arranged by `wreq` as a given browser arranges it: order of
   ciphers and extensions, GREASE (RFC 8701), key shares, ALPN.
2. `wreq` reaches the network only through a gate of ours, a socket in a folder that nobody else
   can enter: the gate leads to one relay's address, whatever is asked of it, and the address is
   looked up and dialled as on every other path.
3. A relay with a pinned key is first visited like a website, at its root. If the key is the pinned
   one, its certificate becomes the only one that is trusted from then on; it has to be one that
   the relay signed itself, since the library takes no other without an authority.
4. When a browser's handshake does not come through, the next attempt is made as another browser.
"""

from __future__ import annotations

import asyncio
import datetime
import socket
import ssl
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import wreq
from wreq import exceptions as wreq_errors

from volok.model.relay_link import InvalidFragment, RelayPin, split_fragment
from volok.paths.browser_gate import Gate
from volok.paths.direct import DirectSettings
from volok.paths.live import Capabilities, FrameTooBig, LivePath, PathError, Response, Socket
from volok.paths.shape import Dial
from volok.paths.tcp import hold, is_stuck, traffic

BROWSERS = (
    wreq.Profile.Chrome149,
    wreq.Profile.Firefox152,
    wreq.Profile.Edge148,
    wreq.Profile.Safari26_4,
)
"""Which browsers we look like, the most common first."""

_ERRORS = (
    wreq_errors.TlsError,
    wreq_errors.ConnectionError,
    wreq_errors.ProxyConnectionError,
    wreq_errors.ConnectionResetError,
    wreq_errors.BodyError,
    wreq_errors.BuilderError,
    wreq_errors.DecodingError,
    wreq_errors.RequestError,
    wreq_errors.UpgradeError,
    wreq_errors.WebSocketError,
    wreq_errors.TimeoutError,
)
_UNREACHED = "The relay cannot be reached."
_NOT_MEANT = "The relay cannot show that it is the one you mean: its certificate is not valid."
_LOST = "The connection was lost."
_TOO_BIG = 1009
_LAST_WORD = 1.0
"""Seconds for the reason of a connection's end to come."""
_KEEP = datetime.timedelta(seconds=5)


class BrowserPath(LivePath):
    """`LivePath` straight to the relay, looking like a browser. Only for wss and https.

    `dial` opens the sockets; `chance` is random in [0, 1) and says which browser comes first.
    """

    def __init__(
        self,
        dial: Dial,
        chance: Callable[[], float],
        settings: DirectSettings | None = None,
        authorities: Path | None = None,
    ) -> None:
        """`authorities` is a file of certificates (PEM) to trust; by default the system's."""
        self._dial = dial
        self._settings = settings or DirectSettings()
        self._browser = int(chance() * len(BROWSERS))
        self._authorities = authorities or _authorities()
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._gates: dict[tuple[str, int], Gate] = {}
        self._known: dict[RelayPin, bytes] = {}
        self._runtime: wreq.runtime.Runtime | None = None

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            latency=0.2,
            connections=100,
            bytes_per_connection=None,
            hides_address=False,
            observer_learns="Your provider sees which relays you use, and they see your address.",
        )

    async def websocket(self, url: str) -> Socket:
        target, pin, gate = await self._open(url, "wss")
        try:
            async with asyncio.timeout(self._settings.open_timeout):
                client = await self._client(target, pin, gate, http1_only=True)
                made = await client.websocket(
                    target,
                    read_buffer_size=16_384,
                    max_message_size=self._settings.max_frame,
                    max_frame_size=self._settings.max_frame,
                )
        except (*_ERRORS, TimeoutError) as error:
            self._browser += 1
            raise PathError(_sentence(error, gate)) from error
        if int(made.status.as_int()) != 101:
            raise PathError("What answers at this address does not behave like a relay.")
        gate.proved()
        return _BrowserSocket(made, gate.latest)

    @asynccontextmanager
    async def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: AsyncIterator[bytes] | bytes | None = None,
    ) -> AsyncGenerator[Response, None]:
        target, pin, gate = await self._open(url, "https")
        content: dict[str, Any] = {} if body is None else {"body": body}
        try:
            client = await self._client(target, pin, gate)
            answer = await client.request(
                getattr(wreq.Method, method),
                target,
                # Compressed bodies would be unpacked, and ranges then mean something else.
                headers={**headers, "accept-encoding": "identity"},
                read_timeout=datetime.timedelta(seconds=self._settings.read_timeout),
                **content,
            )
        except (*_ERRORS, TimeoutError) as error:
            self._browser += 1
            raise PathError(_sentence(error, gate)) from error
        try:
            names = {
                bytes(name).decode("latin-1").lower(): bytes(value).decode("latin-1")
                for name, value in answer.headers
            }
            yield Response(answer.status.as_int(), names, _pieces(answer))
        finally:
            await answer.close()

    async def close(self) -> None:
        for gate in self._gates.values():
            await gate.close()
        self._gates.clear()
        self._runtime = None
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    async def _open(self, url: str, scheme: str) -> tuple[str, RelayPin | None, Gate]:
        """The URL as the library gets it, the pin, and the gate that leads to the relay."""
        try:
            plain, pin = split_fragment(url)
            parts = urlsplit(plain)
            host, port = parts.hostname or "", parts.port or 443
        except InvalidFragment as error:
            raise PathError(str(error)) from error
        except ValueError as error:
            raise PathError("This is not the address of a relay.") from error
        if parts.scheme != scheme or not host:
            raise PathError("A browser's greeting needs a relay that begins with wss://.")
        if pin is not None and pin.sni:
            parts = parts._replace(netloc=f"{pin.sni}:{port}")
        if (host, port) not in self._gates:
            gate = self._gates[host, port] = Gate(self._dial, host, port, self._settings)
            await gate.open(self._socket_path(len(self._gates)))
        return parts.geturl(), pin, self._gates[host, port]

    def _socket_path(self, number: int) -> str:
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="volok-")
        return str(Path(self._folder.name) / f"gate{number}")

    async def _client(
        self, target: str, pin: RelayPin | None, gate: Gate, **options: Any
    ) -> wreq.Client:
        if pin is None:
            return self._made(gate, tls_verify=self._authorities or True, **options)
        if pin not in self._known:
            self._known[pin] = await self._visit(target, pin, gate)
        only = wreq.CertStore.from_der_certs([self._known[pin]])
        return self._made(gate, tls_verify=only, tls_verify_hostname=False, **options)

    async def _visit(self, target: str, pin: RelayPin, gate: Gate) -> bytes:
        """The relay's certificate (DER), looked at where a stranger may look."""
        stranger = self._made(gate, tls_verify=False, tls_verify_hostname=False, tls_info=True)
        root = urlsplit(target)._replace(scheme="https", path="/", query="").geturl()
        answer = await stranger.get(root)
        try:
            shown = answer.tls_info.peer_certificate() if answer.tls_info is not None else None
        finally:
            await answer.close()
        if shown is None or not pin.accepts(bytes(shown)):
            raise PathError(_NOT_MEANT)
        gate.proved()
        return bytes(shown)

    def _made(self, gate: Gate, **options: Any) -> wreq.Client:
        self._runtime = self._runtime or wreq.runtime.Runtime(workers=1)
        browser = BROWSERS[self._browser % len(BROWSERS)]
        return wreq.Client(
            runtime=self._runtime,
            emulation=wreq.Emulation(profile=browser, platform=wreq.Platform.Windows),
            proxies=[wreq.Proxy.unix(gate.path)],
            connect_timeout=datetime.timedelta(seconds=self._settings.open_timeout),
            pool_idle_timeout=_KEEP,
            **options,
        )


class _BrowserSocket(Socket):
    def __init__(self, made: wreq.WebSocket, connection: socket.socket | None) -> None:
        self._made = made
        self._connection = connection
        self._texts: asyncio.Queue[str | PathError] = asyncio.Queue(maxsize=64)
        self._pongs: list[asyncio.Future[None]] = []
        self._end: PathError = PathError(_LOST)
        self._reading = asyncio.create_task(self._read())

    async def send(self, text: str) -> None:
        try:
            await self._made.send(wreq.Message.from_text(text))
        except _ERRORS as error:
            # Why the other end closed may be on its way.
            await asyncio.wait([self._reading], timeout=_LAST_WORD)
            raise self._end from error

    async def receive(self) -> str:
        got = await self._texts.get()
        if isinstance(got, PathError):
            self._texts.put_nowait(got)  # whoever asks again hears it again
            raise got
        return got

    async def ping(self) -> None:
        answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pongs.append(answered)
        try:
            await self._made.send(wreq.Message.from_ping(b""))
            await answered
        except _ERRORS as error:
            raise PathError(_LOST) from error
        finally:
            with suppress(ValueError):
                self._pongs.remove(answered)

    def stuck(self) -> bool | None:
        return is_stuck(self._connection)

    def traffic(self) -> tuple[int, int, int] | None:
        return traffic(self._connection)

    def hold(self, on: bool) -> None:
        hold(self._connection, on)

    async def close(self) -> None:
        self._reading.cancel()
        while not self._texts.empty():  # nobody wants them any more
            self._texts.get_nowait()
        self._texts.put_nowait(self._end)
        with suppress(*_ERRORS, TimeoutError):
            async with asyncio.timeout(1.0):
                await self._made.close()

    async def _read(self) -> None:
        try:
            while (message := await self._made.recv()) is not None:
                if message.text is not None:
                    await self._texts.put(message.text)
                elif message.binary is not None:
                    await self._texts.put(bytes(message.binary).decode("utf-8", "replace"))
                elif message.pong is not None:
                    self._answer()
                elif message.close is not None:
                    if message.close[0] == _TOO_BIG:
                        self._end = FrameTooBig("The relay finds a message too large.")
                    break
        except _ERRORS as error:
            self._end.__cause__ = error
        for waiting in self._pongs:
            if not waiting.done():
                waiting.set_exception(self._end)
        await self._texts.put(self._end)

    def _answer(self) -> None:
        for waiting in self._pongs:
            if not waiting.done():
                waiting.set_result(None)


async def _pieces(answer: wreq.Response) -> AsyncIterator[bytes]:
    try:
        async for piece in answer.stream():
            if isinstance(piece, memoryview):  # the other kind are trailers
                yield bytes(piece)
    except (*_ERRORS, TimeoutError) as error:
        raise PathError(_LOST) from error


def _authorities() -> Path | None:
    """The file of the system's authorities; None where it has none, then the library's own."""
    known = ssl.get_default_verify_paths().cafile
    return Path(known) if known else None


def _sentence(error: Exception, gate: Gate) -> str:
    if isinstance(error, TimeoutError | wreq_errors.TimeoutError):
        return "The relay does not answer in time."
    if isinstance(gate.refused, ConnectionRefusedError):
        return "Nothing answers at this relay's address."
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return _NOT_MEANT
    return _UNREACHED
