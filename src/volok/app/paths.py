"""The paths of a node: which there are, what a person added, and what was learned of them.

1. For a relay reached by TLS the candidates are the direct path in several shapes, cheapest first;
   for any other the direct path alone. Pluggable transports that its address names, and proxies or
   Tor that a person added, come beside them.
2. Where what a person added is to be the only way, there is no other: connections that are open in
   another way are closed. Beside a Tor that is, not even a proxy is left.
3. Onion services are reached by Tor alone.
4. What a person added and what was learned lie in the vault, in its table of settings.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from volok.app.path_making import (
    BROWSER,
    SHAPES,
    configured_candidate,
    direct_candidates,
    transport_candidates,
)
from volok.app.path_records import (
    MOST_PATHS,
    make_entry,
    parse_configured,
    parse_tor,
    serves,
)
from volok.app.path_views import (
    ConfiguredPath,
    PathExists,
    PathTrial,
    PathUnknown,
    PathView,
    TooManyPaths,
)
from volok.paths.ground import Candidate
from volok.paths.guard import Guard
from volok.paths.live import NoPath, PathError
from volok.paths.many import ManyPaths, ManySettings
from volok.paths.names import Names
from volok.paths.network import NetworkReader
from volok.paths.proxy_address import parse_proxy
from volok.paths.tor import TorPath, TorSettings, is_onion
from volok.paths.transport import TransportPath, find_client, not_installed, transport_names
from volok.store.vault import Transaction, Vault

CONFIGURED = "paths.configured"
LEARNED = "paths.learned"
NETWORK_KEY = "paths.network"

_MISSING = Candidate(
    "onion",
    NoPath("This relay is an onion service, which Tor alone leads to: volok path add tor"),
    is_onion,
)


@dataclass(frozen=True, slots=True)
class PathsSettings:
    """How a node keeps its paths. Times are in seconds."""

    save_every: float = 30.0
    """Between two looks whether something was learned that is worth being kept."""
    tor: TorSettings = field(default_factory=TorSettings)
    """How Tor is used."""
    tor_wait: float = 60.0
    """For Tor to join its network when it is tried by hand."""


class NodePaths:
    """The paths of an open node."""

    def __init__(
        self,
        vault: Vault,
        many: ManyPaths,
        calls: ManyPaths,
        direct: Sequence[Candidate],
        configured: Sequence[ConfiguredPath],
        make: Callable[[ConfiguredPath], Candidate],
        now: Callable[[], float],
        settings: PathsSettings,
    ) -> None:
        self._vault = vault
        self._direct = tuple(direct)
        self._configured = tuple(configured)
        self._make = make
        self._made: dict[ConfiguredPath, Candidate] = {}
        self._now = now
        self._settings = settings
        self._saved = self._changes(many)
        self.many = many
        """What sync is given."""
        self.calls = calls
        """The same paths for drops. Relays that do not answer hold up each other's handshakes, and
        must not hold up the very places that are there for when no relay answers."""
        self.known_addresses: Callable[[str], Sequence[str]] = lambda _: ()
        """The addresses at which a host proved itself since the node was opened."""
        self.guard = Guard()
        """Which hosts may lead into a local network."""
        self.on_change: Callable[[], None] = _nothing
        """Called after every change of what a person added."""
        self._arrange()

    @classmethod
    async def open(
        cls,
        vault: Vault,
        now: Callable[[], float],
        random: Callable[[int], bytes],
        folder: Path,
        settings: PathsSettings | None = None,
        many: ManySettings | None = None,
        tls: ssl.SSLContext | None = None,
        network: Callable[[], str] | None = None,
    ) -> NodePaths:
        """Take up what lies in the vault. `now` gives Unix seconds, `random` so many random bytes;
        programs that are started keep what they need below `folder`; `tls` as with `DirectPath`;
        `network` names the network of the moment, by default what the system says. Raises
        VaultError."""
        key = await vault.transact(lambda tx: _network_key(tx, random))
        network = network or NetworkReader(key, now)
        settings = settings or PathsSettings()

        def chance() -> float:
            return int.from_bytes(random(4)) / 2**32

        def make(entry: ConfiguredPath) -> Candidate:
            return configured_candidate(entry, folder, random, settings.tor)

        paths = ManyPaths((), network, now, chance, many)
        calls = ManyPaths((), network, now, chance, many)
        learned = await vault.read(lambda tx: _value(tx, LEARNED))
        if isinstance(learned, dict):
            paths.memory.load(learned.get("memory"), now())
            paths.allowances.load(learned.get("allowances"), now())
        configured = parse_configured(await vault.read(lambda tx: _value(tx, CONFIGURED)))
        guard = Guard()
        names = Names(guard=guard)
        shapes = direct_candidates(tls, names.dial, guard, random)
        direct = [*shapes, *transport_candidates(folder, guard)]
        made = cls(vault, paths, calls, direct, configured, make, now, settings)
        made.guard = guard
        made.known_addresses = names.book.proved_before
        return made

    def views(self) -> tuple[PathView, ...]:
        """All paths, cheapest first; transports that no program speaks are left out."""
        about = dict([*((name, text) for name, text, _ in SHAPES), BROWSER])
        views: list[PathView] = []
        for one in self._direct:
            learns = one.path.capabilities.observer_learns
            if not isinstance(one.path, TransportPath):
                views.append(PathView(one.name, about[one.name], learns, (), False, False))
            elif one.path.installed:
                text = "through the transport, to relays whose address names it"
                views.append(PathView(one.name, text, learns, (), False, False))
        for entry in self._configured:
            learns = self._made[entry].path.capabilities.observer_learns
            text = _about_tor(entry) if entry.is_tor else parse_proxy(entry.url).shown
            views.append(PathView(entry.name, text, learns, entry.relays, entry.only, True))
        return tuple(views)

    def may_go_directly(self, url: str) -> bool:
        """Whether a host (its URL) may be reached without what a person added: False where that is
        to be the only way, and for onion services. Whoever makes connections beside the paths has
        to ask this first."""
        only = any(entry.only and serves(entry, url) for entry in self._configured)
        return not only and not is_onion(url)

    async def add(
        self,
        url: str,
        name: str = "",
        relays: Sequence[str] = (),
        only: bool = False,
        bridges: Sequence[str] = (),
    ) -> ConfiguredPath:
        """Add a proxy, or Tor (`volok.app.path_records.tor_url`). Raises InvalidProxy,
        InvalidBridge, InvalidUrl (all ValueErrors), PathExists, TooManyPaths, TorMissing and other
        PathErrors, VaultError."""
        entry = make_entry(name, url, relays, only, bridges)
        if any(one.url == entry.url for one in self._configured):
            raise PathExists
        if len(self._configured) >= MOST_PATHS:
            raise TooManyPaths
        entry = replace(entry, name=self._free_name(name, "tor" if entry.is_tor else "proxy"))
        if entry.is_tor and isinstance(path := self._make(entry).path, TorPath):
            await path.check()
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
            if self.may_go_directly(relay):
                trials += [
                    PathTrial(one, relay, None, not_installed(one))
                    for one in transport_names(relay)
                    if name in (None, one) and find_client(one) is None
                ]
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
            if isinstance(candidate.path, TorPath):
                await candidate.path.ready(self._settings.tor_wait)
            took = await self.many.try_one(candidate, relay)
        except PathError as error:
            return PathTrial(candidate.name, relay, None, str(error))
        return PathTrial(candidate.name, relay, round(took, 3), "")

    async def _keep(self, configured: tuple[ConfiguredPath, ...]) -> None:
        value = [asdict(entry) for entry in configured]
        await self._vault.transact(lambda tx: _put(tx, CONFIGURED, value))
        gone = [one for entry, one in self._made.items() if entry not in configured]
        self._configured = configured
        self._arrange()
        self.on_change()
        for one in gone:
            # A Tor of our own ends now; another one may be started in its folder.
            if isinstance(one.path, TorPath):
                await one.path.close()

    def _arrange(self) -> None:
        """Make the candidates what the configuration says."""
        self._made = {one: self._made.get(one) or self._make(one) for one in self._configured}
        by_tor = [one for one in self._configured if one.only and one.is_tor]

        def unless_only(one: Candidate) -> Candidate:
            def fits(url: str) -> bool:
                return self.may_go_directly(url) and one.fits(url)

            return Candidate(one.name, one.path, fits)

        def unless_tor(one: Candidate) -> Candidate:
            def fits(url: str) -> bool:
                return one.fits(url) and not any(serves(entry, url) for entry in by_tor)

            return Candidate(one.name, one.path, fits)

        added = [one if entry.is_tor else unless_tor(one) for entry, one in self._made.items()]
        missing = [] if any(one.is_tor for one in self._configured) else [_MISSING]
        for many in (self.many, self.calls):
            many.set_candidates([*map(unless_only, self._direct), *added, *missing])

    def _free_name(self, wish: str, otherwise: str) -> str:
        taken = {one.name for one in self._configured} | {one.name for one in self._direct}
        name = "".join(c for c in wish if c.isalnum() or c in "-_ .").strip()[:40]
        if name and name in taken:
            raise PathExists
        number = 1
        while not name or name in taken:
            name = otherwise if number == 1 else f"{otherwise}-{number}"
            number += 1
        return name

    @staticmethod
    def _changes(many: ManyPaths) -> int:
        return many.memory.changes + many.allowances.changes


def _nothing() -> None:
    return None


def _about_tor(entry: ConfiguredPath) -> str:
    if entry.bridges:
        return f"Tor, which is started for it, by {len(entry.bridges)} bridges"
    place = parse_tor(entry.url)
    return f"Tor at port {place[1]}" if place else "Tor, the one that runs here or one of its own"


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
