"""The candidates of a node: what each path is made of, and which relays it is for."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path

from volok.app.path_records import parse_tor, serves
from volok.app.path_views import ConfiguredPath
from volok.paths.direct import DirectPath
from volok.paths.ground import Candidate
from volok.paths.guard import Guard
from volok.paths.live import Capabilities, LivePath, Response, Socket
from volok.paths.proxy import ProxyPath
from volok.paths.proxy_address import parse_proxy
from volok.paths.shape import Dial, Shape, Sni
from volok.paths.tor import Tor, TorPath, TorSettings, is_onion
from volok.paths.tor_bridge import parse_bridge
from volok.paths.transport import PROGRAMS, TransportPath

TOR_FOLDER, TRANSPORTS_FOLDER = "tor", "transports"

_SECURE = ("wss:", "https:")


class LaterPath(LivePath):
    """A direct path that is made when it is first used: reading the authorities of the system, and
    loading a browser's library, take a while."""

    def __init__(self, cost: float, make: Callable[[], LivePath]) -> None:
        self._capabilities = replace(DIRECT, cost=cost)
        self._make = make
        self._made: LivePath | None = None

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    async def websocket(self, url: str) -> Socket:
        return await self._path.websocket(url)

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: AsyncIterator[bytes] | bytes | None = None,
    ) -> AbstractAsyncContextManager[Response]:
        return self._path.request(method, url, headers, body)

    async def close(self) -> None:
        if self._made is not None:
            await self._made.close()

    @property
    def _path(self) -> LivePath:
        if self._made is None:
            self._made = self._make()
        return self._made


DIRECT = Capabilities(
    latency=0.1,
    connections=100,
    bytes_per_connection=None,
    hides_address=False,
    observer_learns="Your provider sees which relays you use, and they see your address.",
)
"""What the direct path can do, in every shape."""

SHAPES: tuple[tuple[str, str, Shape], ...] = (
    ("direct", "straight to the relay", Shape()),
    ("direct-record", "straight, the greeting cut in two records", Shape(cut_record=100)),
    (
        "direct-segment",
        "straight, the greeting cut in two records and two packets",
        Shape(cut_record=100, cut_segment=50),
    ),
    (
        "direct-nameless",
        "straight, naming nobody, the greeting cut",
        Shape(sni=Sni.NONE, cut_record=100),
    ),
)
"""The direct path in its shapes, cheapest first: name, description, shape."""


BROWSER = ("direct-browser", "straight, with the greeting of a browser")
"""The direct path that looks like a browser, dearer than the shapes: name, description."""


def direct_candidates(
    tls: ssl.SSLContext | None, dial: Dial, guard: Guard, random: Callable[[int], bytes]
) -> list[Candidate]:
    """The direct path in its shapes, and looking like a browser."""
    candidates = []
    for place, (name, _, shape) in enumerate(SHAPES):
        # The plainest one also serves relays without TLS, and is as the libraries have it.
        make = partial(DirectPath, tls=tls, shape=shape if place else None, dial=dial, guard=guard)
        path = LaterPath(1.0 + place / 10, make)
        candidates.append(Candidate(name, path, _secure_only if place else _by_name))

    def browser() -> LivePath:
        module = import_module("volok.paths.browser")
        made: LivePath = module.BrowserPath(dial, lambda: random(1)[0] / 256)
        return made

    return [*candidates, Candidate(BROWSER[0], LaterPath(1.4, browser), _secure_only)]


def transport_candidates(folder: Path, guard: Guard) -> list[Candidate]:
    """Every pluggable transport that we know of, for relays whose address names it."""

    def guarded(path: TransportPath) -> Callable[[str], bool]:
        return lambda url: path.fits(url) and guard.allows_transports(url)

    paths = {name: TransportPath(name, folder / TRANSPORTS_FOLDER / name) for name in PROGRAMS}
    return [Candidate(name, path, guarded(path)) for name, path in paths.items()]


def configured_candidate(
    entry: ConfiguredPath, folder: Path, random: Callable[[int], bytes], tor: TorSettings
) -> Candidate:
    """A path that a person added."""
    if entry.is_tor:
        bridges = [parse_bridge(line) for line in entry.bridges]
        found = Tor(folder / TOR_FOLDER, random, bridges, parse_tor(entry.url), tor)
        path = TorPath(found, tor, entry.only)
        return Candidate(entry.name, path, lambda url: _by_tor(url) and serves(entry, url))

    def fits(url: str) -> bool:
        return not url.startswith("http:") and not is_onion(url) and serves(entry, url)

    return Candidate(entry.name, ProxyPath(parse_proxy(entry.url)), fits)


def _by_name(url: str) -> bool:
    # No name server is asked for an onion service (RFC 7686, section 2).
    return not is_onion(url)


def _secure_only(url: str) -> bool:
    return url.startswith(_SECURE) and not is_onion(url)


def _by_tor(url: str) -> bool:
    # Whoever runs the last relay of a circuit would see plain HTTP.
    return not url.startswith("http:") or is_onion(url)
