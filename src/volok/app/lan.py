"""The local network as a path: nodes of contacts find each other and hand over what waits.

It is off until the person switches it on, since being on a network shows that something is there.
Whether it is on lies in the vault: `{"version": 1, "on": BOOL, "carry": BOOL}`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from volok.app.errors import AppError, sentence
from volok.app.lan_carry import Carrier, CarrySettings, first
from volok.app.lan_link import Link
from volok.app.lan_presence import Presence, PresenceSettings
from volok.app.wiring import Parts
from volok.chat.kit import Signal
from volok.chat.nearby import Acquaintance, acquaintances, link_secret
from volok.chat.records import set_setting, setting
from volok.model.crypto import Crypto
from volok.paths.lan_discovery import NoMulticast
from volok.paths.lan_interfaces import Interface, local_interfaces
from volok.paths.lan_watch import AddressWatch
from volok.store.vault import Transaction

NAME = "lan"
"""What this path is called in commands."""
ABOUT = "the local network: contacts who are in it, too"
OBSERVER_LEARNS = (
    "Whoever runs this network, or listens in it, can see that your computer offers and visits "
    "websites under random names, and when it exchanges how much with which other computer here; "
    "not who you are, and nothing of what is exchanged."
)
_SETTING = "lan"
_VERSION = 1


class LanOff(AppError):
    """The local network is not used. Switch it on with `volok path add lan`."""


@dataclass(frozen=True, slots=True)
class LanChoice:
    """What the person chose."""

    on: bool = False
    """Whether we are to be found on local networks."""
    carry: bool = False
    """Whether sealed messages of others are carried, and ours handed to contacts who do that."""


@dataclass(frozen=True, slots=True)
class LanView:
    """How things stand on the local network."""

    on: bool
    carry: bool
    nodes: int
    """Other nodes that are announced here."""
    contacts: int
    """Of your contacts, those who were recognised."""
    networks: int
    """Local networks that we are present in."""
    problem: str | None
    """Why a network cannot be used, in a sentence."""


@dataclass(frozen=True, slots=True)
class LanSettings:
    """How the local network is used. Times are in seconds."""

    presence: PresenceSettings = field(default_factory=PresenceSettings)
    """See there."""
    carry: CarrySettings = field(default_factory=CarrySettings)
    """See there."""
    settle: float = 0.5
    """After addresses changed, until what they are now is looked at."""
    look: float = 30.0
    """Between two looks at the addresses, where the system does not tell of changes."""
    retry: float = 30.0
    """Until a network is tried again that could not be used."""
    collect: float = 0.1
    """In which several changes of contacts count as one."""
    test: float = 3.0
    """How long a test waits for others."""
    invite_wait: float = 20.0
    """How long the bundle of an invite is looked for."""
    ask_again: float = 1.0
    """Until those are asked again who had no such bundle; they may have just made it."""
    links_for_one: int = 2
    """Links at once that prove the same secrets; of more, the oldest is ended."""


class Lan:
    """The local network of one open node. `run` serves it."""

    def __init__(
        self,
        parts: Parts,
        crypto: Crypto,
        now: Callable[[], float],
        carried: Path,
        settings: LanSettings | None = None,
    ) -> None:
        """`now` gives Unix seconds; `carried` is the folder for what is carried for others."""
        self._parts = parts
        self._crypto = crypto
        self._now = now
        self.settings = settings or LanSettings()
        """What is changed here counts from the next time that it is switched on."""
        self._carrier = Carrier(carried, parts, crypto, now, self.settings.carry)
        self._switched = Signal()
        self._changed = Signal()
        self._moved = Signal()
        self._links: list[Link] = []
        self._presences: dict[Interface, Presence] = {}
        self._problem: str | None = None
        self._running = False
        self._known: Sequence[Acquaintance] = ()
        self._version = 0

    async def choice(self) -> LanChoice:
        """What the person chose. Raises VaultError."""
        return await self._parts.vault.read(load_choice)

    async def choose(self, choice: LanChoice) -> None:
        """Change it; it counts at once. Raises VaultError."""
        await self._parts.vault.transact(lambda tx: save_choice(tx, choice))
        self._problem = None
        self._switched.fire()

    async def view(self) -> LanView:
        """How things stand now. Raises VaultError."""
        chosen = await self.choice()
        contacts = {contact for link in self._links for contact in link.contacts}
        nodes = {one.name for each in self._presences.values() for one in each.neighbours}
        return LanView(
            chosen.on,
            chosen.carry,
            len(nodes),
            len(contacts),
            len(self._presences),
            self._problem if chosen.on else None,
        )

    def moves(self) -> Callable[[], Awaitable[object]]:
        """A waiter for changes: take it before `view`, await it after."""
        return self._moved.waiter()

    async def test(self) -> LanView:
        """How things stand when others had some time to be found. Raises LanOff, VaultError."""
        if not (await self.choice()).on:
            raise LanOff
        if self._presences:
            return await self._settled()
        # Nothing runs in the background here: be present for this moment.
        being = asyncio.ensure_future(self._be_present(carry=False))
        try:
            return await self._settled()
        finally:
            being.cancel()
            await asyncio.gather(being, return_exceptions=True)

    async def run(self) -> None:
        """Be present whenever that is switched on, until cancelled. Raises VaultError."""
        self._running = True
        try:
            await self._follow_choice()
        finally:
            self._running = False

    async def _follow_choice(self) -> None:
        while True:
            switched = self._switched.waiter()
            choice = await self.choice()
            if not (choice.on and choice.carry):
                await self._carrier.clear()
            if not choice.on:
                await switched()
                continue
            being = asyncio.ensure_future(self._be_present(choice.carry))
            off = asyncio.ensure_future(switched())
            try:
                done, _ = await asyncio.wait([being, off], return_when=asyncio.FIRST_COMPLETED)
                if being in done:
                    being.result()
            finally:
                for task in (being, off):
                    task.cancel()
                await asyncio.gather(being, off, return_exceptions=True)

    async def fetch_invite(self, relays: Sequence[str], secret: bytes) -> list[str]:
        """The `FetchInvite` of chat, asking everybody on the local network; `relays` do not count.

        Whom is asked learns nothing unless they know the link.
        """
        seek = Acquaintance(link_secret(secret))
        with suppress(TimeoutError):
            async with asyncio.timeout(self.settings.invite_wait):
                while await self._may_be_present():
                    moved = self.moves()
                    for presence in list(self._presences.values()):
                        for neighbour in presence.neighbours:
                            content = await presence.ask(neighbour, seek)
                            if content is not None:
                                return [content]
                    with suppress(TimeoutError):
                        async with asyncio.timeout(self.settings.ask_again):
                            await moved()
        return []

    async def _may_be_present(self) -> bool:
        """Whether we are present on a network, or about to be, as far as is known."""
        if self._presences:
            return True
        return self._running and self._problem is None and (await self.choice()).on

    # What presences and links need

    @property
    def known(self) -> Sequence[Acquaintance]:
        """See `lan_link.Hub`."""
        return self._known

    @property
    def carrier(self) -> Carrier:
        """See `lan_link.Hub`."""
        return self._carrier

    @property
    def version(self) -> int:
        """See `lan_presence.Keeper`."""
        return self._version

    def serves(self, link: Link, contact: str) -> bool:
        """See `lan_link.Hub`: of several links the latest, for the others may be dead already."""
        there = (one for one in reversed(self._links) if contact in one.contacts)
        return next(there, None) is link

    def changed(self) -> Callable[[], Awaitable[object]]:
        """See `lan_link.Hub`."""
        return self._changed.waiter()

    def joined(self, link: Link) -> bool:
        """See `lan_presence.Keeper`."""
        if len(self._links) >= self.settings.presence.links:
            return False
        same = [one for one in self._links if one.secrets == link.secrets]
        for old in same[: len(same) + 1 - self.settings.links_for_one]:
            old.end()
        self._links.append(link)
        self.moved()
        return True

    def left(self, link: Link) -> None:
        """See `lan_presence.Keeper`."""
        if link in self._links:
            self._links.remove(link)
        self.moved()

    def moved(self) -> None:
        """See `lan_presence.Keeper`."""
        self._moved.fire()
        self._changed.fire()

    # What goes on while we are present

    async def _be_present(self, carry: bool) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                await self._learn()
                group.create_task(self._keep_learning())
                if carry:
                    group.create_task(self._carrier.run())
                with AddressWatch(self.settings.look) as watch:
                    await self._follow_networks(group, watch)
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        finally:
            self._presences.clear()

    async def _follow_networks(self, group: asyncio.TaskGroup, watch: AddressWatch) -> None:
        tasks: dict[Interface, asyncio.Task[None]] = {}
        while True:
            there = set(await asyncio.to_thread(local_interfaces))
            for gone in tasks.keys() - there:
                tasks.pop(gone).cancel()
            for fresh in there - tasks.keys():
                tasks[fresh] = group.create_task(self._stay(fresh))
            if not there:
                self._problem = "This computer is in no local network."
            await watch.changed()
            await asyncio.sleep(self.settings.settle)

    async def _stay(self, interface: Interface) -> None:
        """Be present on one network, under one name after the other."""
        settings = self.settings.presence
        while True:
            presence = Presence(interface, self, self._parts, self._crypto, self._now, settings)
            self._presences[interface] = presence
            self._problem = None
            try:
                await presence.run()
            except (NoMulticast, OSError) as error:
                self._problem = sentence(error)
            finally:
                self._presences.pop(interface, None)
            if self._problem is not None:
                await asyncio.sleep(self.settings.retry)

    async def _keep_learning(self) -> None:
        while True:
            scopes, cursor = self._parts.chat.scopes_changed(), await self._parts.chat.cursor()
            await self._learn()
            await first(scopes, partial(self._line, cursor))
            await asyncio.sleep(self.settings.collect)

    async def _line(self, cursor: int) -> None:
        """Return when something about a contact changed."""
        async for lines in self._parts.chat.follow(cursor):
            if any(line.message is None for line in lines):
                return

    async def _learn(self) -> None:
        """Read anew by whom we are to be known."""
        now = self._now()
        known = await self._parts.vault.read(lambda tx: acquaintances(tx, now))
        if {one.secret for one in known} - {one.secret for one in self._known}:
            self._version += 1
        if known != self._known:
            self._known = known
            for presence in self._presences.values():
                presence.wake()
            self._changed.fire()

    async def _settled(self) -> LanView:
        with suppress(TimeoutError):
            async with asyncio.timeout(self.settings.test):
                while True:
                    moved = self.moves()
                    view = await self.view()
                    if view.nodes and view.contacts == view.nodes:
                        break
                    await moved()
        return await self.view()


def load_choice(tx: Transaction) -> LanChoice:
    """What lies in the vault; what makes no sense counts as off."""
    try:
        value = json.loads(str(setting(tx, _SETTING, "{}")))
        return LanChoice(value.get("on") is True, value.get("carry") is True)
    except (ValueError, AttributeError, RecursionError):
        return LanChoice()


def save_choice(tx: Transaction, choice: LanChoice) -> None:
    """Replace it."""
    value = {"version": _VERSION, "on": choice.on, "carry": choice.carry}
    set_setting(tx, _SETTING, json.dumps(value))
