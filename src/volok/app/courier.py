"""The courier between an open node and one drop: what lies there is tried, what waits is left.

Everything it has to remember is in the vault: the names of the files it wrote, before they are
written, and marks of the files of others that it tried.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections.abc import Callable, Container, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from volok.app.carrying import bundle_keys, sealed_part, take_in
from volok.app.wiring import Parts
from volok.chat.people import Waiting
from volok.chat.records import set_setting, setting
from volok.model.crypto import Crypto
from volok.paths.drop import NAME_BYTES, Drop, DropError, FileMissing, FileReturned, drop_name
from volok.store.vault import Transaction
from volok.sync.bundle import SEALED_KEY_BYTES, BundleError, InboxKey, is_sealed_to
from volok.sync.drops import (
    DropSettings,
    Item,
    Own,
    Put,
    dressed,
    due_in,
    dump_own,
    load_own,
    mark,
    plan,
    still_known,
    to_try,
)
from volok.sync.status import RelayState

_MARK = 12
_DAMAGED_FIRST = 30.0
"""Seconds until a file that was damaged, or not whole yet, is tried again; doubled each
time, up to an hour."""
_DAMAGED_LONGEST = 3600.0
_DAMAGED_MOST = 1000


@dataclass(frozen=True, slots=True)
class Pass:
    """What one pass over a drop did."""

    events: int = 0
    """Events that were new here."""
    taken: int = 0
    """Files that were for us."""
    left: int = 0
    """Files that were written."""
    removed: int = 0
    """Files of ours that were taken away."""
    unread: int = 0
    """Files that are still to be tried."""

    @property
    def moved(self) -> bool:
        """Whether anything came or went."""
        return bool(self.taken or self.left)

    def then(self, next_one: Pass) -> Pass:
        """What this and the next pass did together."""
        return Pass(
            self.events + next_one.events,
            self.taken + next_one.taken,
            self.left + next_one.left,
            self.removed + next_one.removed,
            next_one.unread,
        )


class Courier:
    """Serves one drop. One pass at a time."""

    def __init__(
        self,
        identifier: str,
        drop: Drop,
        parts: Parts,
        crypto: Crypto,
        now: Callable[[], float],
        settings: DropSettings,
        elsewhere: Callable[[], bool] = lambda: False,
    ) -> None:
        """`identifier` names the drop in the vault; `now` gives Unix seconds. `elsewhere` tells
        whether what is to be left here may as well come by another drop, which then goes first."""
        self.drop = drop
        self._parts = parts
        self._crypto = crypto
        self._now = now
        self.settings = settings
        self._own_name, self._tried_name = memory_of(identifier)
        self._own: list[Own] | None = None
        self._tried: list[bytes] = []
        self._damaged: dict[bytes, tuple[float, float]] = {}
        self._quiet: dict[str, int] | None = None
        self._elsewhere = elsewhere
        self._returns: dict[str, str] = {}
        self._held_until = 0.0
        self.received = 0
        """Events that came by this drop and were new."""
        self._passing = asyncio.Lock()

    async def once(self) -> Pass:
        """Make one pass. Raises DropError, StoreError, BlobError, VaultError."""
        async with self._passing:
            own = await self._remembered()
            listed = {file.name: file.size for file in await self.drop.list()}
            taken = await self._take(listed, own)
            if self.drop.capabilities.addressed:
                own = await self._heed_returns(own)
                # What was sent lies with whoever got it.
                listed |= {each.name: each.size for each in own if each.state == "here"}
            return await self._leave(listed, own, taken)

    async def due_in(self) -> float | None:
        """Seconds until something that waits is due to be left here; None when nothing is."""
        own = await self._remembered()
        due = due_in(own, await self._items(), self._now(), self.settings)
        return None if due is None else max(due, self._pause())

    def notice(self) -> str | None:
        """What the person should know though the drop works, in a sentence."""
        for reason in self._returns.values():
            return reason
        if any(each.state == "returned" for each in self._own or ()):  # before this start
            return "Something that was sent came back. Nothing was lost; it is sent again later."
        return self.drop.notice()

    async def space(self) -> tuple[int, int]:
        """How many files of ours lie here, and their bytes."""
        here = [each for each in await self._remembered() if each.state == "here"]
        return len(here), sum(each.size for each in here)

    async def clear(self) -> None:
        """Take away all files of ours. Raises DropError."""
        async with self._passing:
            for each in await self._remembered():
                await self.drop.delete(each.name)
            await self._save_own([])

    async def _take(self, listed: dict[str, int], own: Sequence[Own]) -> Pass:
        if listed == self._quiet and not self._damaged:
            return Pass()
        known = still_known(self._tried, listed, self.settings)
        now = self._now()
        names = [
            name
            for name in to_try(listed, own, known, self.settings)
            if self._damaged.get(mark(name, listed[name]), (0.0, 0.0))[0] <= now
        ]
        # In no order that whoever watches the place could learn from.
        names.sort(key=lambda _: self._crypto.random(8))
        keys = await bundle_keys(self._parts) if names else []
        done = Pass(unread=max(0, len(names) - self.settings.tries))
        before = list(self._tried)
        self._tried = known
        self._quiet = None
        try:
            for name in names[: self.settings.tries]:
                events = await self._try(name, listed[name], keys)
                if events is not None:
                    done = replace(done, taken=done.taken + 1, events=done.events + events)
        finally:
            if self._tried != before:
                tried = b"".join(self._tried)
                await self._parts.vault.transact(
                    lambda tx: set_setting(tx, self._tried_name, tried)
                )
        self._quiet = None if done.unread else listed
        return done

    async def _try(self, name: str, size: int, keys: Sequence[InboxKey]) -> int | None:
        """Take in a file if it is for us; returns how many events were new."""
        ours = mark(name, size)
        try:
            head = await self.drop.get(name, SEALED_KEY_BYTES)
            key = await self._key_of(head, keys)
            if key is None:
                self._tried.append(ours)
                await asyncio.sleep(0)
                return None
            data = await self.drop.get(name, size)
            before = {contact.id for contact in await self._parts.chat.contacts()}
        except FileMissing:
            self._put_off(ours)
            return None
        try:
            report = await take_in(
                self._parts, io.BytesIO(dressed(data)), keys, self._crypto, int(self._now())
            )
        except BundleError:
            self._put_off(ours)
            return None
        if self.drop.capabilities.addressed:
            try:
                if report.events and (contact := await self._sender(key, before)):
                    await self.drop.came_from(name, contact)
                await self.drop.delete(name)
            except FileMissing:  # the person's own mail program was quicker
                pass
        self._damaged.pop(ours, None)
        self._tried.append(ours)
        self.received += report.events
        return report.events

    async def _key_of(self, head: bytes, keys: Sequence[InboxKey]) -> InboxKey | None:
        for key in keys:
            if await is_sealed_to(head, [key], self._crypto):
                return key
        return None

    async def _sender(self, key: InboxKey, before: Container[str]) -> str | None:
        """The contact who writes to this inbox of ours; `before` were known before they wrote."""
        inbox = key.inbox.hex()
        rows = await self._parts.vault.read(
            lambda tx: tx.execute("SELECT id FROM contact WHERE inbox = ?", (inbox,))
        )
        if len(rows) == 1:
            return str(rows[0][0])
        now = [contact.id for contact in await self._parts.chat.contacts()]
        fresh = [contact for contact in now if contact not in before]
        return fresh[0] if len(fresh) == 1 else None

    async def _heed_returns(self, own: Sequence[Own]) -> list[Own]:
        """Remember what came back undelivered, and take it out of our sight."""
        here = [each.name for each in own if each.state == "here"]
        returned = await self.drop.returned(here)
        kept = [_came_back(each, self._now()) if each.name in returned else each for each in own]
        if returned:
            await self._save_own(kept)
        for name, reason in returned.items():
            await self._report(name, kept, reason)
            await self.drop.delete(name)
        waiting = {each.name for each in kept if each.state == "returned"}
        self._returns = {name: said for name, said in self._returns.items() if name in waiting}
        return kept

    async def _report(self, name: str, own: Sequence[Own], reason: str) -> None:
        contact = next(each.contact for each in own if each.name == name)
        names = {each.id: each.name for each in await self._parts.chat.contacts()}
        self._returns[name] = (
            f"What was sent to {names.get(contact, 'somebody')} came back. {reason} Nothing was "
            "lost; it is sent again later."
        )

    def _pause(self) -> float:
        """Seconds until something may be left here again."""
        pause = self._held_until - self._now()
        return pause if 0 < pause <= self.drop.capabilities.gap else 0.0

    def _put_off(self, ours: bytes) -> None:
        """A file that is not whole may become so; some copying programs write into it."""
        _, before = self._damaged.pop(ours, (0.0, _DAMAGED_FIRST / 2))
        pause = min(2 * before, _DAMAGED_LONGEST)
        self._damaged[ours] = (self._now() + pause, pause)
        while len(self._damaged) > _DAMAGED_MOST:
            del self._damaged[next(iter(self._damaged))]

    async def _leave(self, listed: dict[str, int], own: Sequence[Own], done: Pass) -> Pass:
        decided = plan(own, listed, await self._items(), self._now(), self.settings)
        kept = list(decided.own)
        if kept != own:
            await self._save_own(kept)
        for name in decided.deletions:
            kept = await self._remove(name, kept, listed)
            done = replace(done, removed=done.removed + 1)
        for put in self._shuffled(() if self._pause() else decided.puts):
            fresh = await self._put(put, kept)
            if fresh is None:
                continue
            kept = fresh
            done = replace(done, left=done.left + 1)
            for name in put.replaces:
                kept = await self._remove(name, kept, listed)
        if done.left:
            self._held_until = self._now() + self.drop.capabilities.gap
        return done

    def _shuffled(self, puts: Sequence[Put]) -> list[Put]:
        """By contacts in a random order; what is for one contact stays in its order."""
        order = {put.contact: self._crypto.random(8) for put in puts}
        return sorted(puts, key=lambda put: order[put.contact])

    async def _put(self, put: Put, own: Sequence[Own]) -> list[Own] | None:
        data = await sealed_part(self._parts, put.contact, put.numbers, put.blobs, self._crypto)
        if data is None:
            return None
        name = drop_name(self._crypto.random(NAME_BYTES))
        keys = tuple(item.key for item in put.items)
        made = Own(name, put.contact, keys, len(data), self._now(), bool(put.blobs), "writing")
        await self._save_own([*own, made])
        try:
            await self.drop.put_for(put.contact, name, data)
        except FileReturned as error:
            kept = [*own, _came_back(made, self._now())]
            await self._save_own(kept)
            await self._report(name, kept, str(error))
            return kept
        except DropError:
            with suppress(DropError):
                await self.drop.delete(name)
                await self._save_own(own)
            raise
        kept = [*own, replace(made, state="here")]
        await self._save_own(kept)
        return kept

    async def _remove(self, name: str, own: Sequence[Own], listed: Container[str]) -> list[Own]:
        await self.drop.delete(name)
        kept = [each for each in own if each.name != name or _stays(each, listed)]
        await self._save_own(kept)
        return kept

    async def _items(self) -> list[Item]:
        waiting = await self._parts.chat.waiting_contents()
        status = self._parts.engine.status()
        online = any(relay.state is RelayState.CONNECTED for relay in status)
        elsewhere = self._elsewhere()
        return [
            _item(each, (each.by_relay and online) or elsewhere)
            for each in waiting
            if self.drop.reaches(each.contact)
        ]

    async def _remembered(self) -> list[Own]:
        if self._own is None:
            own, tried = await self._parts.vault.read(self._load)
            if self._own is None:
                self._own, self._tried = load_own(own), tried
        return self._own

    def _load(self, tx: Transaction) -> tuple[str, list[bytes]]:
        own, tried = setting(tx, self._own_name, "[]"), setting(tx, self._tried_name, b"")
        marks = tried if isinstance(tried, bytes) else b""
        return str(own), [marks[at : at + _MARK] for at in range(0, len(marks), _MARK)]

    async def _save_own(self, own: Sequence[Own]) -> None:
        text = dump_own(own, self.settings)
        await self._parts.vault.transact(lambda tx: set_setting(tx, self._own_name, text))
        self._own = list(own)


def _stays(each: Own, listed: Container[str]) -> bool:
    """Whether a file is remembered after it was deleted: what could not be seen may come back."""
    return each.state == "evicted" or (each.state != "writing" and each.name not in listed)


def memory_of(identifier: str) -> tuple[str, str]:
    """The names of the settings in which the files of a drop are remembered: ours, and tried."""
    return f"drop-own {identifier}", f"drop-tried {identifier}"


def _came_back(each: Own, now: float) -> Own:
    return replace(each, state="returned", at=now)


def _item(each: Waiting, otherwise: bool) -> Item:
    name = b"%d %d " % (each.number, each.sequence) + each.session
    return Item(
        contact=each.contact,
        key=hashlib.sha256(name).hexdigest()[:16],
        number=each.number,
        size=each.size,
        since=each.since_ms / 1000,
        by_relay=otherwise,
        blobs=each.blobs,
    )
