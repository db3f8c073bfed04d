"""Paths through Tor: relays do not see where the person is, and cannot tell whose connections
belong together.

1. Every connection has a circuit of its own: Tor keeps circuits apart by the SOCKS login
   (IsolateSOCKSAuth, on by default), and each connection logs in with one that is used once.
2. A Tor that runs on this computer is used (the system's, or that of Tor Browser); where there is
   none, one of our own is started (`volok.paths.tor_process`). With bridges it is always our own.
3. Tor resolves names. Relays that are onion services are reached in no other way, and to them even
   plain HTTP goes, since the circuit is encrypted to the service itself.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from volok.paths.direct import DirectSettings
from volok.paths.live import Capabilities, LivePath, PathError, Response, Socket
from volok.paths.socks import Login, SocksRefused, through
from volok.paths.tor_bridge import Bridge
from volok.paths.tor_control import TorControl
from volok.paths.tor_process import TorProcess, TorProcessSettings
from volok.paths.transport import FindProgram, find_client, not_installed
from volok.paths.tunnel import TunnelPath, TunnelRefused

CAPABILITIES = Capabilities(
    latency=1.0,
    connections=100,
    bytes_per_connection=None,
    hides_address=True,
    observer_learns=(
        "Your provider sees that you use Tor; the relays see neither your address nor which "
        "connections are yours."
    ),
    cost=3.0,
    exposure=1,
)
"""What Tor can do."""

_PROGRAM = "tor"
_LOCAL = "127.0.0.1"
_QUESTION, _MARK = b"GET / HTTP/1.0\r\n\r\n", b"Tor is not an HTTP Proxy"
_LONGEST_ANSWER = 4096
_LOGIN_BYTES = 16


class TorMissing(PathError):
    """Tor is not on this computer. Install it (on Debian: apt install tor) or start Tor Browser,
    and try again."""


@dataclass(frozen=True, slots=True)
class TorSettings:
    """How Tor is used. Times are in seconds."""

    ports: tuple[int, ...] = (9050, 9150)
    """On loopback, where a Tor that runs is looked for: the system's, that of Tor Browser."""
    look_wait: float = 2.0
    """For what listens there to show that it is Tor."""
    look_again: float = 60.0
    """After which it is looked again whether it is still there."""
    fallback_wait: float = 8.0
    """That one of our own is waited for where there are other ways than Tor."""
    direct: DirectSettings = field(default_factory=lambda: DirectSettings(open_timeout=30.0))
    """What goes on inside; circuits take longer to build than connections."""
    process: TorProcessSettings = field(default_factory=TorProcessSettings)
    """How one of our own is kept running."""


def is_onion(url: str) -> bool:
    """Whether the host of a URL is an onion service (RFC 7686)."""
    try:
        host = (urlsplit(url).hostname or "").rstrip(".")
    except ValueError:
        return False
    return host.lower().rpartition(".")[2] == "onion"


class Tor:
    """The Tor to go through. `folder` is for one of our own; `random` gives so many random bytes;
    `find` finds programs. With `socks` it is the one that takes SOCKS there, whatever runs."""

    def __init__(
        self,
        folder: Path,
        random: Callable[[int], bytes],
        bridges: Sequence[Bridge] = (),
        socks: tuple[str, int] | None = None,
        settings: TorSettings | None = None,
        find: FindProgram = shutil.which,
    ) -> None:
        self._folder = folder
        self._random = random
        self._bridges = tuple(bridges)
        self._given = socks
        self._settings = settings or TorSettings()
        self._find = find
        self._own: TorProcess | None = None
        self._found: tuple[str, int] | None = None
        self._look_at = 0.0

    async def socks(self, wait: float | None = None) -> tuple[str, int]:
        """Where it takes SOCKS; waits for one of our own as `TorProcess.ready` does. Raises
        TorMissing and other PathErrors."""
        if self._given is not None:
            return self._given
        if not self._bridges and self._own is None:
            running = await self._running()
            if running is not None:
                return running
        return await self._process().ready(wait)

    def login(self) -> Login:
        """A login that was never used before."""
        return Login(self._random(_LOGIN_BYTES).hex().encode(), b"x")

    async def own_control(self) -> TorControl | None:
        """The control connection of one of our own, where there is one. Raises TorFailed."""
        return await self._own.control() if self._own is not None else None

    async def check(self) -> None:
        """Whether there is a Tor to go through, or all that it takes to start one. Raises
        TorMissing and other PathErrors."""
        if self._given is None and (self._bridges or await self._running() is None):
            self._process()

    async def close(self) -> None:
        """End the one of our own."""
        if self._own is not None:
            await self._own.close()

    def lost(self) -> None:
        """It did not answer: look anew next time."""
        self._found = None

    async def _running(self) -> tuple[str, int] | None:
        now = asyncio.get_running_loop().time()
        if self._found is None or now >= self._look_at:
            self._found = await find_running(self._settings)
            self._look_at = now + self._settings.look_again
        return self._found

    def _process(self) -> TorProcess:
        if self._own is None:
            program = self._find(_PROGRAM) or self._find("/usr/sbin/tor")
            if program is None:
                raise TorMissing(TorMissing.__doc__)
            programs: dict[str, str] = {}
            for name in {one.transport for one in self._bridges} - {""}:
                client = find_client(name, self._find)
                if client is None:
                    raise PathError(not_installed(name))
                programs[name] = client
            self._own = TorProcess(
                program,
                self._folder,
                self._random,
                self._bridges,
                programs,
                self._settings.process,
            )
        return self._own


async def find_running(settings: TorSettings) -> tuple[str, int] | None:
    """Address and port of a Tor that runs on this computer; None: there is none.

    What listens there is asked something that only Tor answers in that way.
    """
    for port in settings.ports:
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(settings.look_wait):
                reader, writer = await asyncio.open_connection(_LOCAL, port)
                try:
                    writer.write(_QUESTION)
                    answer = b""
                    while len(answer) < _LONGEST_ANSWER and _MARK not in answer:
                        piece = await reader.read(_LONGEST_ANSWER)
                        if not piece:
                            break
                        answer += piece
                finally:
                    writer.close()
            if _MARK in answer:
                return _LOCAL, port
    return None


class TorRefused(TunnelRefused):
    """Tor does not get through to this relay."""


class TorPath(LivePath):
    """`LivePath` through a Tor, which is closed together with it."""

    def __init__(self, tor: Tor, settings: TorSettings | None = None, only: bool = False) -> None:
        """`only`: whether it is the only way for its relays, so that it is waited for longer."""
        self.tor = tor
        self._settings = settings or TorSettings()
        self._only = only
        self._sockets: TunnelPath | None = None

    @property
    def capabilities(self) -> Capabilities:
        return CAPABILITIES

    async def check(self) -> None:
        """As `Tor.check`."""
        await self.tor.check()

    async def ready(self, wait: float | None = None) -> None:
        """Return when Tor can be used; as `Tor.socks`."""
        await self.tor.socks(wait)

    async def prepare(self, url: str) -> None:
        patient = self._only or is_onion(url)
        await self.ready(None if patient else self._settings.fallback_wait)

    async def websocket(self, url: str) -> Socket:
        if self._sockets is None:
            self._sockets = self._tunnel(None)
        await self.prepare(url)
        return await self._sockets.websocket(url)

    async def close(self) -> None:
        if self._sockets is not None:
            await self._sockets.close()
        await self.tor.close()

    @asynccontextmanager
    async def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: AsyncIterator[bytes] | bytes | None = None,
    ) -> AsyncGenerator[Response, None]:
        await self.prepare(url)
        # One of its own, so that no connection, and with it no circuit, serves two requests.
        asks_authorities = url.startswith("https:") and "#" not in url
        tunnel = self._tunnel(None if asks_authorities else _UNUSED)
        try:
            async with tunnel.request(method, url, headers, body) as response:
                yield response
        finally:
            await tunnel.close()

    def _tunnel(self, tls: ssl.SSLContext | None) -> TunnelPath:
        return TunnelPath(self._dial, self._settings.direct, plain=is_onion, tls=tls)

    async def connect(self, host: str, port: int) -> socket.socket:
        """A connection to any host, by a circuit of its own. Raises OSError, PathError."""
        return await self._dial(host, port)

    async def _dial(self, host: str, port: int) -> socket.socket:
        """A connection over a circuit of its own. Raises OSError."""
        try:
            place = await self.tor.socks()
            return await through(place, host, port, self.tor.login())
        except SocksRefused as error:
            raise TorRefused(_REPLIES.get(error.reply, TorRefused.__doc__)) from error
        except ConnectionRefusedError as error:
            self.tor.lost()
            raise TorRefused("Tor does not run any more.") from error
        except ValueError as error:
            raise TorRefused(TorRefused.__doc__) from error


_UNUSED = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Where no certificate authority is asked."""
_REPLIES = {
    4: "This relay is not known to Tor at the moment: it may be switched off.",
    5: "Nothing answers at this relay's address.",
    -1: "Whatever takes SOCKS on this computer is no Tor.",
    255: "Tor does not keep connections apart, so it is not used. See IsolateSOCKSAuth.",
}
"""What some answers mean (RFC 1928, section 6)."""
