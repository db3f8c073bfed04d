"""Paths over pluggable transports without Tor: whatever program of the system speaks one.

1. A relay's address says which transports stand in front of it (`volok.model.relay_link`). The
   program of one listens on loopback; what goes in there comes out at the relay's server side.
2. Inside it is the same TLS with the same pinned key as on the direct path: no transport has to be
   trusted, and one that lies reaches nothing.
3. An address never chooses a program: only those in `PROGRAMS` are ever started.
"""

from __future__ import annotations

import shutil
import socket
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from volok.model.relay_link import InvalidFragment, split_fragment
from volok.model.transport import Transport, parameters_text
from volok.paths.direct import DirectSettings
from volok.paths.live import Capabilities, LivePath, PathError, Response, Socket
from volok.paths.pt_dialogue import Dialogue, TransportFailed, client_environment
from volok.paths.pt_process import ProgramSettings, TransportProgram
from volok.paths.shape import Shape, Sni
from volok.paths.socks import LONGEST, Login, SocksRefused, through
from volok.paths.tunnel import TunnelPath, TunnelRefused

PROGRAMS: Mapping[str, tuple[str, ...]] = {
    "obfs4": ("lyrebird", "obfs4proxy"),
    "meek_lite": ("lyrebird", "obfs4proxy"),
    "webtunnel": ("lyrebird", "webtunnel-client"),
    "snowflake": ("snowflake-client",),
}
"""For each transport the programs that can be its client, the best first."""

CAPABILITIES = Capabilities(
    latency=0.2,
    connections=100,
    bytes_per_connection=None,
    hides_address=False,
    observer_learns=(
        "Your provider sees which addresses you use, but not that relays are there; the relays "
        "see your address."
    ),
    cost=1.5,
)
"""What every transport can do."""

FindProgram = Callable[[str], str | None]
"""The path of a program by its name; None: it is not installed."""


class TransportRefused(TunnelRefused):
    """The transport does not get through."""


@dataclass(frozen=True, slots=True)
class TransportSettings:
    """How pluggable transports are used. Times are in seconds."""

    direct: DirectSettings = field(default_factory=DirectSettings)
    """What goes on inside."""
    program: ProgramSettings = field(default_factory=ProgramSettings)
    """How programs are kept running."""
    most_relays: int = 100
    """Relays that connections are kept ready for; more begin anew."""


def find_client(name: str, find: FindProgram = shutil.which) -> str | None:
    """The program that is to be the client of a transport; None: there is none here."""
    return next((found for one in PROGRAMS.get(name, ()) if (found := find(one))), None)


def transport_of(url: str, name: str) -> Transport | None:
    """The transport of this name in front of a relay; None where its address names none."""
    return next((one for one in _transports(url) if one.name == name), None)


def transport_names(url: str) -> tuple[str, ...]:
    """The transports that the address of a relay names, installed here or not."""
    return tuple(dict.fromkeys(one.name for one in _transports(url)))


def _transports(url: str) -> tuple[Transport, ...]:
    try:
        pin = split_fragment(url)[1]
    except InvalidFragment:
        return ()
    return pin.transports if pin else ()


def login_of(transport: Transport) -> Login:
    """The parameters of a transport as its client is given them (pt-spec, section 3.5): user
    name first, the rest as the password, which may not be empty."""
    data = parameters_text(transport.parameters).encode()
    return Login(data[:LONGEST] or b"\0", data[LONGEST:] or b"\0")


class TransportPath(LivePath):
    """`LivePath` to relays whose address names one kind of transport.

    `state` is a folder of the program's own; `find` finds programs.
    """

    def __init__(
        self,
        name: str,
        state: Path,
        settings: TransportSettings | None = None,
        find: FindProgram = shutil.which,
    ) -> None:
        self._name = name
        self._state = state
        self._settings = settings or TransportSettings()
        self._find = find
        self._program: TransportProgram | None = None
        self._inner: dict[tuple[Transport, str], TunnelPath] = {}
        # Relays with transports have pinned keys: no authority is ever asked.
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

    @property
    def capabilities(self) -> Capabilities:
        return CAPABILITIES

    @property
    def installed(self) -> bool:
        """Whether a program for it is there."""
        return find_client(self._name, self._find) is not None

    def fits(self, url: str) -> bool:
        """Whether the address of a relay names this transport, and a program for it is there."""
        return transport_of(url, self._name) is not None and self.installed

    async def websocket(self, url: str) -> Socket:
        return await self._inside(url).websocket(url)

    async def close(self) -> None:
        for path in self._inner.values():
            await path.close()
        self._inner.clear()
        if self._program is not None:
            await self._program.close()

    @asynccontextmanager
    async def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: AsyncIterator[bytes] | bytes | None = None,
    ) -> AsyncGenerator[Response, None]:
        async with self._inside(url).request(method, url, headers, body) as response:
            yield response

    def _inside(self, url: str) -> TunnelPath:
        """What makes connections inside of the transport to this relay. Raises PathError."""
        transport = transport_of(url, self._name)
        if transport is None:
            raise PathError("The address of this relay names no such transport.")
        host = transport.host or urlsplit(url).hostname or ""
        key = transport, host
        if key not in self._inner:
            if len(self._inner) >= self._settings.most_relays:
                raise PathError("Too many relays are reached by this transport.")
            dial = partial(self._dial, replace(transport, host=host))
            self._inner[key] = TunnelPath(
                dial, self._settings.direct, Shape(sni=Sni.NONE), tls=self._tls
            )
        return self._inner[key]

    async def _dial(self, transport: Transport, _host: str, _port: int) -> socket.socket:
        """A connection to the relay behind the transport. Raises OSError."""
        try:
            method = await self._running().ready()
        except TransportFailed as error:
            raise TransportRefused(f"The program for {self._name} fails: {error}") from error
        place = method.host, method.port
        try:
            return await through(place, transport.host, transport.port, login_of(transport))
        except SocksRefused as error:
            raise TransportRefused(f"{self._name} does not get through to this relay.") from error
        except ValueError as error:
            raise TransportRefused("This transport cannot be used.") from error

    def _running(self) -> TransportProgram:
        """Raises TransportRefused."""
        if self._program is None:
            found = find_client(self._name, self._find)
            if found is None:
                raise TransportRefused(not_installed(self._name))
            self._program = TransportProgram(
                (found,),
                self._state,
                partial(Dialogue, self._name, False),
                client_environment(self._name),
                self._settings.program,
            )
        return self._program


def not_installed(name: str) -> str:
    """What to do where no program speaks a transport."""
    programs = " or ".join(PROGRAMS.get(name, ()))
    if not programs:
        return f"No program that is known speaks {name}."
    return f"No program on this computer speaks {name}. Install {programs} and try again."
