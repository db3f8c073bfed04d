"""Being present on one local network, for a while and under names that are used once.

1. Of two nodes that hear of each other the one with the lower name dials at once, the other one
   only when nothing came of that: a firewall often lets connections through in one direction alone.
2. Who was not recognised is dialled again only when somebody new may be: when we know another
   secret. They do the same.
3. After `renew` seconds (and a random share of that) it ends; whoever starts the next one has
   another certificate, port and name.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from volok.app.lan_certificate import throwaway_context
from volok.app.lan_link import Hub, Link, LinkSettings, ask_for_invite, recognise
from volok.app.wiring import Parts
from volok.chat.nearby import Acquaintance
from volok.model.crypto import Crypto
from volok.paths.lan_channel import (
    Channel,
    ChannelSettings,
    Listener,
    NeighbourLost,
    dial,
    uninterrupted,
)
from volok.paths.lan_discovery import NAME_BYTES, Discovery, Neighbour, service_name
from volok.paths.lan_interfaces import Interface
from volok.sync.lan import InvalidFrame

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PresenceSettings:
    """How a node is present on a local network. Times are in seconds."""

    renew: float = 1200.0
    """After so long, and up to as much again, names, port and certificate are replaced."""
    patience: float = 1.5
    """How long the one with the higher name waits to be dialled."""
    first_pause: float = 2.0
    """After a neighbour could not be reached; doubled each time."""
    longest_pause: float = 120.0
    """The longest such pause."""
    failures: int = 4
    """So often in a row a neighbour may be out of reach before it is forgotten."""
    dials: int = 8
    """Neighbours that are dialled at once."""
    dial_every: float = 0.1
    """Between two dials: whoever announces much gets no more than that."""
    links: int = 64
    """Links at once."""
    channel: ChannelSettings = field(default_factory=ChannelSettings)
    """See there."""
    link: LinkSettings = field(default_factory=LinkSettings)
    """See there."""


class Keeper(Hub, Protocol):
    """What a presence needs of whoever keeps it."""

    @property
    def version(self) -> int:
        """Grows whenever we know another secret."""

    def joined(self, link: Link) -> bool:
        """A link begins; False when there are too many."""

    def left(self, link: Link) -> None:
        """It ended."""

    def moved(self) -> None:
        """Neighbours came or went."""


@dataclass(slots=True)
class _Attempt:
    """What is remembered of one neighbour."""

    due: float
    failures: int = 0
    stranger_at: int = -1
    """The version at which they were not recognised; -1 while that is not known."""


class Presence:
    """On one network, from the beginning of `run` to its end."""

    def __init__(
        self,
        interface: Interface,
        keeper: Keeper,
        parts: Parts,
        crypto: Crypto,
        now: Callable[[], float],
        settings: PresenceSettings,
    ) -> None:
        """`now` gives Unix seconds."""
        self._interface = interface
        self._keeper = keeper
        self._parts = parts
        self._crypto = crypto
        self._now = now
        self._settings = settings
        self._name = service_name(crypto.random(NAME_BYTES))
        self._discovery: Discovery | None = None
        self._attempts: dict[str, _Attempt] = {}
        self._dialling: dict[str, asyncio.Task[None]] = {}
        self._dialled_at = float("-inf")
        self._serving: set[asyncio.Task[None]] = set()
        self._links: set[Link] = set()
        self._wake = asyncio.Event()

    @property
    def neighbours(self) -> list[Neighbour]:
        """The nodes that are announced here, besides us."""
        return list(self._discovery.neighbours.values()) if self._discovery else []

    async def run(self) -> None:
        """Be there. Raises NoMulticast, OSError when this network cannot be used."""
        host = service_name(self._crypto.random(NAME_BYTES))
        context, certificate = await asyncio.to_thread(
            throwaway_context, f"{host}.local", self._now()
        )
        listener = Listener(
            self._interface, context, certificate, self._entered, self._settings.channel
        )
        share = int.from_bytes(self._crypto.random(2), "big") / 65_536
        end = asyncio.get_running_loop().time() + self._settings.renew * (1 + share)
        port = listener.open()
        discovery = Discovery(self._interface, self._name, host, port, self._found)
        try:
            async with discovery:
                self._discovery = discovery
                await self._dial_until(end)
        finally:
            self._discovery = None
            await uninterrupted(self._end(listener))

    async def _end(self, listener: Listener) -> None:
        tasks = [*self._dialling.values(), *self._serving]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await listener.close()
        self._keeper.moved()

    async def ask(self, neighbour: Neighbour, seek: Acquaintance) -> str | None:
        """The content that a neighbour has for the link of an invite; None when it has none."""
        for address in neighbour.addresses:
            try:
                channel = await dial(address, neighbour.port, self._settings.channel)
            except NeighbourLost:
                continue
            try:
                return await ask_for_invite(channel, seek, self._crypto.random, self._settings.link)
            except (NeighbourLost, InvalidFrame):
                continue
            finally:
                channel.close()
        return None

    def wake(self) -> None:
        """Look again whether somebody is to be dialled."""
        self._wake.set()

    def _found(self) -> None:
        self._wake.set()
        self._keeper.moved()

    async def _dial_until(self, end: float) -> None:
        clock = asyncio.get_running_loop().time
        while (left := end - clock()) > 0:
            self._wake.clear()
            pause = min(left, self._dial_due(clock()))
            try:
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def _dial_due(self, now: float) -> float:
        """Dial those who are due; returns the seconds until the next one is."""
        neighbours = {one.name: one for one in self.neighbours}
        self._attempts = {name: one for name, one in self._attempts.items() if name in neighbours}
        linked = {link.peer for link in self._links}
        soonest = float("inf")
        for name, neighbour in neighbours.items():
            if name in linked or name in self._dialling:
                continue
            waits = 0.0 if self._name < name else self._settings.patience
            attempt = self._attempts.setdefault(name, _Attempt(now + waits))
            if attempt.stranger_at == self._keeper.version:
                continue
            if attempt.due > now:
                soonest = min(soonest, attempt.due - now)
            elif (pause := self._dialled_at + self._settings.dial_every - now) > 0:
                soonest = min(soonest, pause)
            elif len(self._dialling) < self._settings.dials:
                self._dialled_at = now
                self._dialling[name] = asyncio.ensure_future(self._dial(neighbour, attempt))
        return soonest

    async def _dial(self, neighbour: Neighbour, attempt: _Attempt) -> None:
        version = self._keeper.version
        met: bool | None = None
        try:
            for address in neighbour.addresses:
                met = await self._meet(address, neighbour)
                if met is not None:
                    break
        finally:
            del self._dialling[neighbour.name]
            attempt.stranger_at = version if met is False else -1
            attempt.failures = attempt.failures + 1 if met is None else 0
            if attempt.failures >= self._settings.failures and self._discovery is not None:
                self._discovery.forget(neighbour.name)
            pause = self._settings.first_pause * 2 ** min(attempt.failures, 10)
            now = asyncio.get_running_loop().time()
            attempt.due = now + min(pause, self._settings.longest_pause)
            self._wake.set()

    async def _meet(self, address: str, neighbour: Neighbour) -> bool | None:
        """Dial one address: whether we know each other, None when that was not found out."""
        try:
            channel = await dial(address, neighbour.port, self._settings.channel)
        except NeighbourLost:
            return None
        try:
            shared = await self._recognise(channel)
        except NeighbourLost:
            channel.close()
            return None
        if not shared:
            channel.close()
            return False
        serving = asyncio.ensure_future(self._serve(channel, shared, neighbour.name))
        self._serving.add(serving)
        serving.add_done_callback(self._serving.discard)
        return True

    async def _entered(self, channel: Channel, known: Callable[[], None]) -> None:
        """Somebody dialled us."""
        try:
            shared = await self._recognise(channel)
        except NeighbourLost:
            return
        if shared:
            known()
            await self._serve(channel, shared, "")

    async def _recognise(self, channel: Channel) -> list[Acquaintance]:
        wait = self._settings.link.recognition
        return await recognise(channel, self._keeper.known, self._crypto.random, wait)

    async def _serve(self, channel: Channel, shared: list[Acquaintance], peer: str) -> None:
        link = Link(
            channel,
            shared,
            self._keeper,
            self._parts,
            self._crypto,
            self._now,
            self._settings.link,
        )
        link.peer = peer
        try:
            if not self._keeper.joined(link):
                return
            self._links.add(link)
            await link.run(self._name)
        except (NeighbourLost, InvalidFrame):
            pass
        except Exception as error:  # a fault in one link must not end the others
            log.warning("A link on the local network failed (%s)", type(error).__name__)
        finally:
            channel.close()
            self._links.discard(link)
            self._keeper.left(link)
            self._wake.set()
