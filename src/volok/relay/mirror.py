"""Fetching a blob from where a client says it is (BUD-04).

Whoever may name a URL could make a server talk to what only the server reaches. So:

1. Only hosts in `mirror_hosts`, only https at port 443 unless an entry names another port, only
   public addresses; `mirror_private` lifts the last two.
2. A name is looked up once, and the connection goes to the address that was checked.
3. A redirect is a new URL with all these rules; it has to hold the same hash (BUD-01).
4. Every failure looks the same to the client: it learns nothing of what is inside our network.
5. What arrives is believed once its hash is right; whoever stores it checks that.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import re
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin

import httpcore

from volok.model.urls import InvalidUrl, relay_host
from volok.relay.settings import RelaySettings

MAX_REQUEST = 8 * 1024
"""The longest body of a request for a mirror, in bytes."""
_REDIRECTS = 3
_TIMEOUTS = {"connect": 10.0, "read": 30.0, "write": 10.0, "pool": 10.0}
_URL = re.compile(r"(https?)://([^/?#@\s]+)(/[\x21-\x7e]*)", re.IGNORECASE)
_PORTS = {"http": 80, "https": 443}
_PUBLIC_V6 = ipaddress.IPv6Network("2000::/3")
_SPECIAL_V4 = (ipaddress.IPv4Network("192.0.0.0/24"), ipaddress.IPv4Network("192.88.99.0/24"))

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a name, for a connection to this port. Raises OSError."""


class InvalidSource(ValueError):
    """The URL is none that is fetched here."""


class NotAllowed(Exception):
    """The operator does not let blobs be fetched from there."""


class Unreachable(Exception):
    """The blob could not be fetched."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a blob is to be fetched."""

    scheme: str
    host: str
    """Lower case, without port and brackets."""
    port: int
    target: str
    """Path and query; it holds the hash of the blob."""

    @property
    def literal(self) -> str:
        """The host as a URL writes it: an IPv6 address in brackets."""
        return f"[{self.host}]" if ":" in self.host else self.host

    @property
    def place(self) -> str:
        """Host and port as a URL writes them."""
        return f"{self.literal}:{self.port}"

    @property
    def url(self) -> str:
        """The whole URL."""
        return f"{self.scheme}://{self.place}{self.target}"


def parse_request(body: bytes) -> str:
    """The URL in the body of a request for a mirror. Raises InvalidSource."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidSource("Name the blob's URL in a JSON object.") from error
    url = value.get("url") if isinstance(value, dict) else None
    if not isinstance(url, str):
        raise InvalidSource("Name the blob's URL in a JSON object.")
    return url


def parse_source(url: str, name: str, settings: RelaySettings) -> Source:
    """Check a URL for the blob of this hash. Raises InvalidSource, NotAllowed."""
    match = _URL.fullmatch(url.strip())
    target = match[3].partition("#")[0] if match else ""
    if match is None or name not in target:
        raise InvalidSource("The URL has to begin with https:// and hold the hash of the blob.")
    scheme = match[1].lower()
    try:
        # One place says what a host is; the scheme matters for its default port alone.
        host = relay_host(f"wss://{match[2]}")
    except InvalidUrl as error:
        raise InvalidSource("The URL names no host.") from error
    given = re.search(":([0-9]{1,5})$", match[2])
    port = int(given[1]) if given else _PORTS[scheme]
    source = Source(scheme, host, port, target)
    if not _allowed(source, settings):
        raise NotAllowed
    return source


def _allowed(source: Source, settings: RelaySettings) -> bool:
    hosts = [one.lower() for one in settings.mirror_hosts]
    if source.host.endswith(".onion") or not (source.scheme == "https" or settings.mirror_private):
        return False
    if source.place in hosts:
        return True
    usual = source.port == _PORTS["https"] or settings.mirror_private
    return usual and ("*" in hosts or source.host in hosts)


def is_public(text: str) -> bool:
    """Whether this is the address of a machine on the public internet: neither private, loopback,
    link-local, multicast, reserved or for documentation, nor one that stands for such an IPv4
    address."""
    try:
        address: Address = ipaddress.ip_address(text)
    except ValueError:  # with a zone, for one
        return False
    if address.is_multicast or not address.is_global:
        return False
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _SPECIAL_V4)
    return address in _PUBLIC_V6 and address.sixtofour is None and address.teredo is None


async def resolve(host: str, port: int) -> Sequence[str]:
    """Ask the resolver of the system. Raises OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


@dataclass(frozen=True, slots=True)
class Mirror:
    """Fetches blobs."""

    settings: RelaySettings
    resolve: Resolve = resolve
    context: ssl.SSLContext | None = None
    """For https; None for the certificates that the system trusts."""

    async def fetch(self, url: str, name: str) -> AsyncIterator[bytes]:
        """The bytes at this URL. Raises InvalidSource, NotAllowed, Unreachable."""
        source = parse_source(url, name, self.settings)
        context = self.context or ssl.create_default_context()
        for _ in range(_REDIRECTS + 1):
            backend = _Pinned(await self._address(source))
            headers: list[tuple[bytes | str, bytes | str]] = [
                ("Host", _host(source)),
                ("Accept", "*/*"),
                ("Accept-Encoding", "identity"),
            ]
            async with httpcore.AsyncConnectionPool(context, network_backend=backend) as pool:
                try:
                    async with pool.stream(
                        "GET", source.url, headers=headers, extensions={"timeout": _TIMEOUTS}
                    ) as response:
                        if response.status == 200:
                            async for piece in response.aiter_stream():
                                yield piece
                            return
                        place = _location(response)
                except (*_NETWORK_ERRORS, OSError, ValueError) as error:
                    raise Unreachable from error
            try:
                source = parse_source(urljoin(source.url, place), name, self.settings)
            except (InvalidSource, NotAllowed, ValueError) as error:
                raise Unreachable from error
        raise Unreachable

    async def _address(self, source: Source) -> str:
        try:
            found = await self.resolve(source.host, source.port)
        except OSError as error:
            raise Unreachable from error
        for address in found:
            if self.settings.mirror_private or is_public(address):
                return address
        raise Unreachable


_NETWORK_ERRORS = (
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.TimeoutException,
    httpcore.UnsupportedProtocol,
)


def _host(source: Source) -> str:
    return source.literal if source.port == _PORTS[source.scheme] else source.place


def _location(response: httpcore.Response) -> str:
    if response.status in (301, 302, 303, 307, 308):
        for name, value in response.headers:
            if name.lower() == b"location":
                return str(value.decode("latin-1"))
    raise Unreachable


class _Pinned(httpcore.AsyncNetworkBackend):
    """Connects to one address, whatever name is asked for."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  (httpcore's interface)
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        return await self._inner.connect_tcp(
            self._address, port, timeout, local_address, socket_options
        )

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)
