"""The node of one person: its states, and what may be asked of it in each of them.

    new ──create, restore──► locked ◄──lock, idle── open
                               └──────unlock────────►│
    any ──panic──► destroyed

What holds keys lives in `Parts` (see `volok.app.wiring`) and exists only while open. Where the node
runs in the background (`volok up`, bots), `Duties` keep it busy; a short command has none.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path

from volok.app.backup_file import read_backup, write_backup
from volok.app.carrying import export_bundle, import_bundle
from volok.app.doctor import Doctor
from volok.app.drops import Drops
from volok.app.duties import Duties
from volok.app.errors import AlreadySetUp
from volok.app.hints import round_by_hints
from volok.app.home import Home
from volok.app.lan import Lan
from volok.app.paths import NodePaths
from volok.app.preferences import load_preferences, save_preferences, with_value
from volok.app.services import Pulse
from volok.app.settings import NodeSettings
from volok.app.status import RoundSummary, relay_statuses, sync_round
from volok.app.ways import Ways
from volok.app.web.interface import (
    ExportReport,
    ImportReport,
    NodeState,
    NodeStatus,
    Preferences,
)
from volok.app.wiring import Parts, open_parts
from volok.chat.hint_book import HintBook
from volok.chat.messenger import Messenger
from volok.model.crypto import Crypto
from volok.model.urls import normalise_relay_url
from volok.native import NativeCrypto
from volok.store.keyslot import KeySlot, Protection
from volok.store.secure_files import HomeLock
from volok.store.vault import VaultDestroyed, VaultLocked


class Node:
    """One home, one person. Use between `start` and `stop`; not safe across event loops."""

    def __init__(
        self,
        home: Path,
        settings: NodeSettings | None = None,
        *,
        background: bool = False,
        crypto: Crypto | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.home = Home(home)
        self.settings = settings or NodeSettings()
        self._background = background
        self._given_crypto = crypto
        self._crypto = crypto or NativeCrypto()
        self._now = now
        self._slot = KeySlot(self.home.keyslot, self._crypto)
        self._lock: HomeLock | None = None
        self._parts: Parts | None = None
        self._duties: Duties | None = None
        self._drops: Drops | None = None
        self._lan: Lan | None = None
        self._ways: Ways | None = None
        self._while_open: dict[str, Callable[[Parts], Awaitable[None]]] = {}
        self._changing = asyncio.Lock()
        self._pulse = Pulse()
        self._preferences = Preferences()
        self._destroyed = False

    async def start(self) -> None:
        """Take the home folder, and open the vault if no passphrase protects it.

        Raises VaultBusy, VaultTooNew, VaultError, HomeUnusable, OSError.
        """
        self.home.prepare()
        self._lock = HomeLock(self.home.root)
        try:
            self._preferences = load_preferences(self.home.preferences)
            if self.state == "locked" and self._slot.protection() is Protection.NONE:
                await self.unlock(None)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Close everything and give the home folder back."""
        async with self._changing:
            await self._close()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    @property
    def state(self) -> NodeState:
        """Where the node stands; see the head of this file."""
        if self._destroyed or self.home.is_destroyed():
            return "destroyed"
        if self._parts is not None:
            return "open"
        return "locked" if self.home.is_set_up() else "new"

    @property
    def chat(self) -> Messenger:
        """The conversations. Raises VaultLocked unless the state is `open`."""
        return self._open().chat

    @property
    def hints(self) -> HintBook:
        """What contacts tell each other of. Raises VaultLocked unless the state is `open`."""
        return self._open().chat.hints

    @property
    def drops(self) -> Drops:
        """The folders and servers that messages are left in. Raises VaultLocked."""
        if self._drops is None:
            raise VaultLocked
        return self._drops

    @property
    def lan(self) -> Lan:
        """The local network. Raises VaultLocked unless the state is `open`."""
        if self._lan is None:
            raise VaultLocked
        return self._lan

    @property
    def ways(self) -> Ways:
        """All ways out, and the doctor. Raises VaultLocked unless the state is `open`."""
        if self._ways is None:
            raise VaultLocked
        return self._ways

    @property
    def paths(self) -> NodePaths:
        """The ways to relays. Raises VaultLocked unless the state is `open`."""
        return self._open().paths

    async def create(self, name: str, relays: Sequence[str], passphrase: str | None) -> None:
        """Make the person's keys and open the node.

        Raises AlreadySetUp, InvalidUrl (a ValueError), VaultError; then nothing was made.
        """
        urls = [normalise_relay_url(url) for url in relays]
        async with self._changing:
            if self.state != "new":
                raise AlreadySetUp
            try:
                master = await asyncio.to_thread(self._slot.create, passphrase or None)
                await self._open_parts(master)
                await self.chat.set_name(name)
                await self.chat.set_relays(urls)
            except BaseException:
                await self._close()
                self._slot.destroy()
                self._remove_files()
                raise

    async def unlock(self, passphrase: str | None) -> None:
        """Open the vault. Raises WrongPassphrase, VaultTooNew, VaultDestroyed, VaultError."""
        async with self._changing:
            if self._parts is None:
                if self._destroyed:
                    raise VaultDestroyed
                await self._open_parts(await asyncio.to_thread(self._slot.unlock, passphrase))

    async def lock(self) -> None:
        """Close everything that holds keys. The node stays where it is, locked."""
        async with self._changing:
            await self._close()

    async def panic(self) -> None:
        """Destroy the key of the vault at once; then close, and remove all files.

        Waits for nothing before the key is gone. Raises VaultError when its file resists.
        """
        self._destroyed = True
        self._slot.destroy()
        async with self._changing:
            # Nothing may keep the files: what cannot be closed is removed all the same.
            with contextlib.suppress(Exception):
                await self._close()
            self._remove_files()
        self._pulse.beat()

    async def change_passphrase(self, old: str | None, new: str | None) -> None:
        """Wrap the same key anew. Raises WrongPassphrase (then nothing changed), VaultError."""
        await asyncio.to_thread(self._slot.change, old or None, new or None)
        self._pulse.beat()

    async def status(self) -> NodeStatus:
        """How the node does; in every state."""
        protected = self.home.keyslot.exists() and self._slot.protection() is Protection.PASSPHRASE
        if self._parts is None:
            return NodeStatus(name="", state=self.state, has_passphrase=protected)
        chat = self._parts.chat
        known = self._parts.engine.status()
        return NodeStatus(
            name=await chat.name(),
            state=self.state,
            relays=relay_statuses(await chat.relays(), known),
            waiting=await chat.waiting(),
            has_passphrase=protected,
            heard=relay_statuses(await chat.hints.used(), known),
        )

    async def status_changed(self) -> None:
        """Return when the status may be another one than at the time of the call."""
        await self._pulse.wait()

    async def add_relay(self, url: str) -> None:
        """Read our inboxes at this relay, too. Raises InvalidUrl (a ValueError), VaultLocked."""
        fresh, known = normalise_relay_url(url), await self.chat.relays()
        if fresh not in known:
            await self.chat.set_relays([*known, fresh])
        self._pulse.beat()

    async def remove_relay(self, url: str) -> None:
        """No longer read our inboxes there. Raises VaultLocked."""
        await self.chat.set_relays([known for known in await self.chat.relays() if known != url])
        self._pulse.beat()

    async def backup(self, path: Path) -> str | None:
        """Write an encrypted backup. Returns its recovery code; None when the passphrase opens it.

        Raises VaultLocked, VaultError, OSError.
        """
        parts = self._open()
        return await write_backup(
            path,
            parts.vault,
            self._slot,
            parts.master,
            parts.blobs,
            self._crypto,
            int(self._now()),
        )

    async def restore(self, path: Path, passphrase_or_code: str) -> None:
        """Take over a backup into an empty home and open it.

        Raises AlreadySetUp, InvalidBackup, WrongPassphrase, VaultError; then nothing was written.
        """
        async with self._changing:
            if self.state != "new":
                raise AlreadySetUp
            self.home.restored.touch(0o600)
            try:
                await read_backup(path, passphrase_or_code, self.home, self._crypto)
            except BaseException:
                self.home.restored.unlink(missing_ok=True)
                raise
            await self._open_parts(await asyncio.to_thread(self._slot.unlock, passphrase_or_code))

    async def export_bundle(self, path: Path, contact_id: str | None) -> ExportReport:
        """Write what waits, for one contact or one sealed part for each. Raises ChatError."""
        return await export_bundle(self._open(), path, contact_id, self._crypto)

    async def import_bundle(self, path: Path) -> ImportReport:
        """Take in a bundle. Raises BundleError, StoreError, VaultLocked, OSError."""
        return await import_bundle(self._open(), path, self._crypto, int(self._now()))

    async def sync_round(self, wait: float | None = None) -> RoundSummary:
        """Carry everything in both directions once, in at most `wait` seconds for each pass (by
        default `NodeSettings.sync_wait`), by relays and by drops. Raises VaultLocked."""
        most = wait or self.settings.sync_wait
        summary = await sync_round(self._open(), most)
        if wait is None and not self._background:
            summary = await round_by_hints(self._open(), most, self.settings.hints, summary)
        carried, problems = await self.drops.round()
        return replace(
            summary,
            received=summary.received + carried.events,
            published=summary.published + carried.left,
            waiting=await self.chat.waiting(),
            problems=summary.problems | problems,
        )

    async def preferences(self) -> Preferences:
        """What the person chose; in every state."""
        return self._preferences

    async def set_preference(self, name: str, value: str | int | bool) -> None:
        """Change one. Raises InvalidPreference (a ValueError), OSError."""
        self._preferences = with_value(self._preferences, name, value)
        save_preferences(self.home.preferences, self._preferences)
        self._pulse.beat()

    def while_open(self, name: str, work: Callable[[Parts], Awaitable[None]]) -> None:
        """Also run `work`, supervised, whenever the node is open in the background."""
        self._while_open[name] = work
        if self._duties is not None:
            self._duties.add(name, work)

    def _open(self) -> Parts:
        if self._destroyed:
            raise VaultDestroyed
        if self._parts is None:
            raise VaultLocked
        return self._parts

    async def _open_parts(self, master: bytes) -> None:
        # An instance of its own, because it keeps loaded keys: they leave memory with the parts.
        crypto = self._given_crypto or NativeCrypto()
        parts = await open_parts(self.home, master, crypto, self._now, self.settings)
        self._parts = parts
        drops = self._drops = Drops(parts, crypto, self._now, parts.paths.calls)
        lan = self._lan = Lan(parts, crypto, self._now, self.home.carried)
        parts.invites.add(lan.fetch_invite)
        doctor = Doctor(parts, drops, crypto)
        self._ways = Ways(parts, drops, lan, doctor, self._pulse.beat)
        if self._background:
            self._duties = Duties(parts, self._pulse, self._now, self.settings)
            self._duties.start()
            self._duties.add("drops", lambda _: drops.run())
            self._duties.add("lan", lambda _: lan.run())
            for name, work in self._while_open.items():
                self._duties.add(name, work)
        self._pulse.beat()

    async def _close(self) -> None:
        duties, parts, drops = self._duties, self._parts, self._drops
        self._duties = self._parts = self._drops = self._lan = self._ways = None
        if duties is not None:
            await duties.stop()
        if drops is not None:
            await drops.close()
        if parts is not None:
            await parts.close()
        self._pulse.beat()

    def _remove_files(self) -> None:
        """Remove all that lies in the home; the lock last, by whoever holds it."""
        for entry in self.home.root.iterdir():
            if entry == self.home.lock:
                continue
            if entry.is_dir():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink(missing_ok=True)
