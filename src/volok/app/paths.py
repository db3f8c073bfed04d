"""The paths of a node: which there are, what a person added, and what was learned of them.

1. For a relay reached by TLS the candidates are the direct path in several shapes, cheapest first;
   for any other the direct path alone. Proxies that a person added come beside them, or, where
   they are to be the only way, instead of them.
2. What a person added and what was learned lie in the vault, in its table of settings.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import asdict, dataclass, replace

from volok.app.path_views import (
    ConfiguredPath,
    PathExists,
    PathTrial,
    PathUnknown,
    PathView,
    TooManyPaths,
)
from volok.model.urls import InvalidUrl, normalise_relay_url
from volok.paths.direct import DirectPath
from volok.paths.ground import Candidate, relay_of
from volok.paths.live import Capabilities, LivePath, PathError, Response, Socket
from volok.paths.many import ManyPaths, ManySettings
from volok.paths.names import Names
from volok.paths.network import NetworkReader
from volok.paths.proxy import ProxyPath
from volok.paths.proxy_address import InvalidProxy, parse_proxy
from volok.paths.shape import Dial, Shape, Sni
from volok.store.vault import Transaction, Vault

CONFIGURED = "paths.configured"
LEARNED = "paths.learned"
NETWORK_KEY = "paths.network"
MOST_PATHS = 20

_SECURE = ("wss:", "https:")


@dataclass(frozen=True, slots=True)
class PathsSettings:
    """How a node keeps its paths. Times are in seconds."""

    save_every: float = 30.0
    """Between two looks whether something was learned that is worth being kept."""


class ShapedPath(LivePath):
    """The direct path in one shape, made when it is first used: reading the authorities of the
    system takes a while. `shape` None: as the libraries have it."""

    def __init__(
        self, cost: float, shape: Shape | None, tls: ssl.SSLContext | None, dial: Dial
    ) -> None:
        self._capabilities = replace(DIRECT, cost=cost)
        self._shape = shape
        self._tls = tls
        self._dial = dial
        self._made: DirectPath | None = None

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
    def _path(self) -> DirectPath:
        if self._made is None:
            self._made = DirectPath(tls=self._tls, shape=self._shape, dial=self._dial)
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


class NodePaths:
    """The paths of an open node."""

    def __init__(
        self,
        vault: Vault,
        many: ManyPaths,
        calls: ManyPaths,
        direct: Sequence[Candidate],
        configured: Sequence[ConfiguredPath],
        now: Callable[[], float],
        settings: PathsSettings,
    ) -> None:
        self._vault = vault
        self._direct = tuple(direct)
        self._configured = tuple(configured)
        self._proxies: dict[str, Candidate] = {}
        self._now = now
        self._settings = settings
        self._saved = self._changes(many)
        self.many = many
        """What sync is given."""
        self.calls = calls
        """The same paths for drops. Relays that do not answer hold up each other's handshakes, and
        must not hold up the very places that are there for when no relay answers."""
        self._arrange()

    @classmethod
    async def open(
        cls,
        vault: Vault,
        now: Callable[[], float],
        random: Callable[[int], bytes],
        settings: PathsSettings | None = None,
        many: ManySettings | None = None,
        tls: ssl.SSLContext | None = None,
        network: Callable[[], str] | None = None,
    ) -> NodePaths:
        """Take up what lies in the vault. `now` gives Unix seconds, `random` so many random bytes;
        `tls` as with `DirectPath`; `network` names the network of the moment, by default what the
        system says. Raises VaultError."""
        key = await vault.transact(lambda tx: _network_key(tx, random))
        network = network or NetworkReader(key, now)

        def chance() -> float:
            return int.from_bytes(random(4)) / 2**32

        paths = ManyPaths((), network, now, chance, many)
        calls = ManyPaths((), network, now, chance, many)
        learned = await vault.read(lambda tx: _value(tx, LEARNED))
        if isinstance(learned, dict):
            paths.memory.load(learned.get("memory"), now())
            paths.allowances.load(learned.get("allowances"), now())
        configured = parse_configured(await vault.read(lambda tx: _value(tx, CONFIGURED)))
        return cls(
            vault,
            paths,
            calls,
            _direct_candidates(tls, Names().dial),
            configured,
            now,
            settings or PathsSettings(),
        )

    def views(self) -> tuple[PathView, ...]:
        """All paths, cheapest first."""
        about = {name: text for name, text, _ in SHAPES}
        views = [
            PathView(
                one.name,
                about[one.name],
                one.path.capabilities.observer_learns,
                (),
                False,
                False,
            )
            for one in self._direct
        ]
        for entry in self._configured:
            learns = self._proxies[entry.name].path.capabilities.observer_learns
            views.append(
                PathView(
                    entry.name,
                    parse_proxy(entry.url).shown,
                    learns,
                    entry.relays,
                    entry.only,
                    True,
                )
            )
        return tuple(views)

    async def add(
        self, url: str, name: str = "", relays: Sequence[str] = (), only: bool = False
    ) -> ConfiguredPath:
        """Add a proxy. Raises InvalidProxy, InvalidUrl (both ValueError), PathExists,
        TooManyPaths, VaultError."""
        address = parse_proxy(url).to_url()
        named = tuple(normalise_relay_url(relay) for relay in relays)
        if any(entry.url == address for entry in self._configured):
            raise PathExists
        if len(self._configured) >= MOST_PATHS:
            raise TooManyPaths
        entry = ConfiguredPath(self._free_name(name), address, named, only)
        await self._keep((*self._configured, entry))
        return entry

    async def remove(self, name: str) -> None:
        """Remove a path that was added. Raises PathUnknown, VaultError."""
        left = tuple(entry for entry in self._configured if entry.name != name)
        if len(left) == len(self._configured):
            raise PathUnknown
        await self._keep(left)

    async def test(self, relays: Sequence[str], name: str | None = None) -> list[PathTrial]:
        """Try every path (or the one of this name) with each relay, one after the other. Nothing
        but these relays is contacted. Raises PathUnknown."""
        chosen = [one for one in self.many.candidates if name in (None, one.name)]
        if not chosen:
            raise PathUnknown
        trials: list[PathTrial] = []
        for relay in relays:
            for one in chosen:
                if one.fits(relay):
                    trials.append(await self._try(one, relay))
        return trials

    async def run(self) -> None:
        """Keep what is learned, until cancelled. Raises VaultError."""
        while True:
            await asyncio.sleep(self._settings.save_every)
            await self.save()

    async def save(self) -> None:
        """Keep what was learned since the last time. Raises VaultError."""
        changes = self._changes(self.many)
        if changes != self._saved:
            self.many.memory.forget(self._now())
            value = {
                "memory": self.many.memory.dump(),
                "allowances": self.many.allowances.dump(),
            }
            await self._vault.transact(lambda tx: _put(tx, LEARNED, value))
            self._saved = changes

    async def close(self) -> None:
        """Keep what was learned and close every path."""
        with suppress(Exception):  # a vault that cannot be written must not keep sockets open
            await self.save()
        await self.calls.close()
        await self.many.close()

    async def _try(self, candidate: Candidate, relay: str) -> PathTrial:
        try:
            took = await self.many.try_one(candidate, relay)
        except PathError as error:
            return PathTrial(candidate.name, relay, None, str(error))
        return PathTrial(candidate.name, relay, round(took, 3), "")

    async def _keep(self, configured: tuple[ConfiguredPath, ...]) -> None:
        value = [asdict(entry) for entry in configured]
        await self._vault.transact(lambda tx: _put(tx, CONFIGURED, value))
        self._configured = configured
        self._arrange()

    def _arrange(self) -> None:
        """Make the candidates what the configuration says."""
        kept = {entry.name: entry for entry in self._configured}
        self._proxies = {
            name: self._proxies.get(name) or _proxy_candidate(entry) for name, entry in kept.items()
        }
        exclusive = [entry for entry in self._configured if entry.only]

        def is_free(url: str) -> bool:
            return not any(serves(entry, url) for entry in exclusive)

        def while_free(one: Candidate) -> Candidate:
            return Candidate(one.name, one.path, lambda url: is_free(url) and one.fits(url))

        direct = [while_free(one) for one in self._direct]
        for one in (self.many, self.calls):
            one.set_candidates([*direct, *self._proxies.values()])

    def _free_name(self, wish: str) -> str:
        taken = {entry.name for entry in self._configured} | {name for name, *_ in SHAPES}
        name = "".join(c for c in wish if c.isalnum() or c in "-_ .").strip()[:40]
        if name and name in taken:
            raise PathExists
        number = 1
        while not name or name in taken:
            name = "proxy" if number == 1 else f"proxy-{number}"
            number += 1
        return name

    @staticmethod
    def _changes(many: ManyPaths) -> int:
        return many.memory.changes + many.allowances.changes


def serves(entry: ConfiguredPath, url: str) -> bool:
    """Whether a path is for the relay of this URL; every port of its host is."""
    return not entry.relays or _host(url) in map(_host, entry.relays)


def parse_configured(value: object) -> tuple[ConfiguredPath, ...]:
    """Read what lies in the vault; entries that make no sense are left out."""
    found: list[ConfiguredPath] = []
    for entry in value if isinstance(value, list) else ():
        try:
            name, relays = entry["name"], tuple(map(normalise_relay_url, entry["relays"]))
            url = parse_proxy(entry["url"]).to_url()
            if type(name) is str and name and all(one.name != name for one in found):
                found.append(ConfiguredPath(name, url, relays, bool(entry["only"])))
        except (KeyError, TypeError, AttributeError, InvalidProxy, InvalidUrl):
            continue
    return tuple(found[:MOST_PATHS])


def _direct_candidates(tls: ssl.SSLContext | None, dial: Dial) -> list[Candidate]:
    candidates = []
    for place, (name, _, shape) in enumerate(SHAPES):
        # The plainest one also serves relays without TLS, and is as the libraries have it.
        path = ShapedPath(1.0 + place / 10, shape if place else None, tls, dial)
        candidates.append(Candidate(name, path, _secure_only if place else _anything))
    return candidates


def _proxy_candidate(entry: ConfiguredPath) -> Candidate:
    def fits(url: str) -> bool:
        return not url.startswith("http:") and serves(entry, url)

    return Candidate(entry.name, ProxyPath(parse_proxy(entry.url)), fits)


def _host(url: str) -> str:
    return relay_of(url).rpartition(":")[0]


def _anything(_: str) -> bool:
    return True


def _secure_only(url: str) -> bool:
    return url.startswith(_SECURE)


def _network_key(tx: Transaction, random: Callable[[int], bytes]) -> bytes:
    rows = tx.execute("SELECT value FROM setting WHERE name = ?", (NETWORK_KEY,))
    if rows and isinstance(rows[0][0], bytes) and len(rows[0][0]) == 32:
        return rows[0][0]
    key = random(32)
    tx.execute("INSERT OR REPLACE INTO setting (name, value) VALUES (?, ?)", (NETWORK_KEY, key))
    return key


def _value(tx: Transaction, name: str) -> object:
    rows = tx.execute("SELECT value FROM setting WHERE name = ?", (name,))
    try:
        return json.loads(str(rows[0][0])) if rows else None
    except (ValueError, RecursionError):
        return None


def _put(tx: Transaction, name: str, value: object) -> None:
    text = json.dumps(value)
    tx.execute("INSERT OR REPLACE INTO setting (name, value) VALUES (?, ?)", (name, text))
