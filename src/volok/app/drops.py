"""The drops of an open node: which there are, and the work of keeping each of them served.

Where a drop is and how to log in stands in the vault, for it may name people and holds passwords.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

from volok.app.courier import Courier, Pass, memory_of
from volok.app.dialling import Dialler
from volok.app.drop_records import (
    DropRecord,
    InvalidDrop,
    NoSuchDrop,
    Surroundings,
    folder_record,
    load_records,
    make_drop,
    save_records,
    server_address,
)
from volok.app.drop_trial import try_drop
from volok.app.errors import sentence
from volok.app.mail_addresses import MailAddresses, setting_of
from volok.app.services import Pulse
from volok.app.wiring import Parts
from volok.model.crypto import Crypto
from volok.paths.drop import Drop, DropError
from volok.paths.live import LivePath
from volok.paths.mail import MailSettings
from volok.paths.mail_account import InvalidMailAddress
from volok.store.blobs import BlobError
from volok.store.store import StoreError
from volok.store.vault import Transaction
from volok.sync.drops import DropSettings, next_look

_DEBOUNCE = 0.1
"""Seconds in which what is written together comes together."""
_WATCHED_PAUSE = 30.0
"""Seconds between two looks into a place that tells of changes, in case one was missed."""
_LONGEST_PAUSE = 30.0
"""Seconds between two attempts at a drop that fails, at most (unless its period is longer)."""
_MOST_BUSY = 30.0
"""A place that takes a second to look into is looked into every so many seconds at most."""


def mail_drops() -> DropSettings:
    """How mail accounts are used: every mail stays with its receiver until it is taken, so little
    is sent twice, and nothing that comes in another way within a while."""
    return DropSettings(
        head_start=20.0,
        renew_after=14 * 86_400.0,
        linger=0.0,
        files_for_one=1_000_000,
        file_bytes=4 << 20,
        fastest=2.0,
    )


@dataclass(frozen=True, slots=True)
class DropView:
    """A drop as a person sees it; without the password."""

    id: str
    kind: str
    place: str
    owner_learns: str
    """One sentence to be shown before the drop is first used."""
    files: int
    """Files of ours that lie there."""
    bytes: int
    problem: str | None
    """Why the latest look failed, or what else there is to know, in a sentence; None when all is
    well, or there was no look yet."""
    received: int
    """Events that came by it and were new, since the node was unlocked."""
    contacts: dict[str, str]
    """Of a mail account: the addresses that contacts (by their ids) are written to."""


class Drops:
    """The drops of one open node. `run` serves them; `round` looks once into each."""

    def __init__(
        self,
        parts: Parts,
        crypto: Crypto,
        now: Callable[[], float],
        path: LivePath,
        settings: DropSettings | None = None,
        mail: MailSettings | None = None,
    ) -> None:
        """`now` gives Unix seconds. `path` carries the calls to servers; it is the caller's."""
        self._parts = parts
        self._crypto = crypto
        self._now = now
        self.dial = Dialler(parts.paths)
        """Makes connections to servers that are called by something else than HTTP."""
        self._around = Surroundings(path, self.dial, now, crypto.random, mail)
        self._settings = settings
        self._addresses: dict[str, MailAddresses] = {}
        self._couriers: dict[str, Courier] = {}
        self._problems: dict[str, str | None] = {}
        self._changed = Pulse()

    async def records(self) -> list[DropRecord]:
        """What is in the vault. Raises VaultLocked."""
        return await self._parts.vault.read(self._load)

    def _load(self, tx: Transaction) -> list[DropRecord]:
        records = load_records(tx)
        for record in records:
            if record.kind == "mail" and record.id not in self._addresses:
                addresses = self._addresses[record.id] = MailAddresses(record.id)
                addresses.load(tx)
        return records

    async def list(self) -> list[DropView]:
        """All drops, in the order in which they were added."""
        views = []
        for record in await self.records():
            courier = self._courier(record)
            files, size = await courier.space()
            views.append(
                DropView(
                    record.id,
                    record.kind,
                    record.place if not record.bucket else f"{record.place}/{record.bucket}",
                    courier.drop.capabilities.owner_learns,
                    files,
                    size,
                    self._problems.get(record.id) or courier.notice(),
                    courier.received,
                    dict(self._addressed(record.id).known),
                )
            )
        return views

    async def add_folder(self, folder: Path, *, check: bool = True) -> str:
        """Use a folder; returns the id of the drop. Raises InvalidDrop, DropError.

        Where it lies on another file system than the root, it counts as a stick.
        """
        return await self._add(await asyncio.to_thread(folder_record, folder), check)

    async def add_webdav(
        self, url: str, user: str, password: str, *, insecure: bool = False, check: bool = True
    ) -> str:
        """Use a collection on a WebDAV server; returns the id of the drop.

        Raises InvalidDrop, PasswordUnprotected (unless `insecure`), DropError.
        """
        place = server_address(url, insecure)
        return await self._add(DropRecord("", "webdav", place, user, password), check)

    async def add_s3(
        self,
        endpoint: str,
        bucket: str,
        key: str,
        secret: str,
        *,
        region: str = "us-east-1",
        prefix: str = "",
        insecure: bool = False,
        check: bool = True,
    ) -> str:
        """Use a bucket of an S3 service; returns the id of the drop.

        The secret never goes over the network, so http gives away only what lies there and when.
        Raises InvalidDrop, PasswordUnprotected (unless `insecure`), DropError.
        """
        place = server_address(endpoint, insecure)
        if not bucket or "/" in bucket:
            raise InvalidDrop("This is no name of a bucket.")
        record = DropRecord("", "s3", place, key, secret, bucket, region, prefix)
        return await self._add(record, check)

    async def add(self, record: DropRecord, *, check: bool = True) -> str:
        """Use a place that a record (without id) describes; returns the id of the drop.

        Raises InvalidDrop, DropError.
        """
        return await self._add(record, check)

    async def write_to(self, identifier: str, contact: str, address: str) -> None:
        """Write to a contact (by id) at this mail address. Raises NoSuchDrop, InvalidDrop."""
        records = await self.records()
        if not any(each.id == identifier and each.kind == "mail" for each in records):
            raise NoSuchDrop
        addresses = self._addressed(identifier)
        try:
            await self._parts.vault.transact(lambda tx: addresses.give(tx, contact, address))
        except InvalidMailAddress as error:
            raise InvalidDrop(str(error)) from error

    async def remove(self, identifier: str) -> None:
        """Take away our files where that is possible, and forget the drop. Raises NoSuchDrop."""
        record = next((each for each in await self.records() if each.id == identifier), None)
        if record is None:
            raise NoSuchDrop
        courier = self._courier(record)
        await self._parts.vault.transact(
            lambda tx: save_records(
                tx, [each for each in load_records(tx) if each.id != identifier]
            )
        )
        self._changed.beat()
        with suppress(DropError):
            await courier.clear()
        self._couriers.pop(identifier, None)
        self._problems.pop(identifier, None)
        self._addresses.pop(identifier, None)
        await courier.drop.close()

        def forget(tx: Transaction) -> None:
            for name in (*memory_of(identifier), setting_of(identifier)):
                tx.execute("DELETE FROM setting WHERE name = ?", (name,))

        await self._parts.vault.transact(forget)

    async def test(self, identifier: str) -> float:
        """Leave a file of random bytes, find it, read it, remove it; returns the seconds it took.

        Raises NoSuchDrop, DropError.
        """
        for record in await self.records():
            if record.id == identifier:
                return await try_drop(self._courier(record).drop, self._crypto.random)
        raise NoSuchDrop

    async def look(self, identifier: str) -> None:
        """Look into a drop and change nothing there. Raises NoSuchDrop, DropError."""
        for record in await self.records():
            if record.id == identifier:
                await self._courier(record).drop.list()
                return
        raise NoSuchDrop

    async def round(self) -> tuple[Pass, dict[str, str]]:
        """Look into each drop until nothing moves; returns what was done, and problems by place."""
        total, problems = Pass(), dict[str, str]()
        for record in await self.records():
            courier = self._courier(record)
            try:
                while True:
                    done = await courier.once()
                    total = total.then(done)
                    if not done.unread and not done.events:
                        break
                self._problems[record.id] = None
                if notice := courier.notice():
                    problems[record.place] = notice
            except (DropError, StoreError, BlobError) as error:
                problems[record.place] = self._problems[record.id] = sentence(error)
        return total, problems

    async def run(self) -> None:
        """Serve all drops until cancelled."""
        tasks: dict[str, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as group:
            while True:
                changed = asyncio.ensure_future(self._changed.wait())
                await asyncio.sleep(0)  # it waits from here on
                try:
                    records = {each.id: each for each in await self.records()}
                    for identifier in tasks.keys() - records.keys():
                        tasks.pop(identifier).cancel()
                    for identifier in records.keys() - tasks.keys():
                        courier = self._courier(records[identifier])
                        tasks[identifier] = group.create_task(self._serve(identifier, courier))
                    await changed
                finally:
                    changed.cancel()

    async def close(self) -> None:
        """Release what the drops hold open."""
        for courier in self._couriers.values():
            await courier.drop.close()
        self._couriers.clear()
        self.dial.close()

    async def _serve(self, identifier: str, courier: Courier) -> None:
        clock = asyncio.get_running_loop().time
        period = courier.drop.capabilities.latency
        latest, failures = float("-inf"), 0
        while True:
            began = clock()
            if (change := courier.drop.change) is not None:
                change.clear()
            try:
                done = await courier.once()
            except (DropError, StoreError, BlobError) as error:
                self._problems[identifier] = sentence(error)
                await asyncio.sleep(min(period * 2**failures, max(period, _LONGEST_PAUSE)))
                failures = min(failures + 1, 8)
                continue
            self._problems[identifier], failures = None, 0
            if done.moved:
                latest = clock()
            # Looking into a place with very many files takes long, and must not be all we do.
            least = 0.0 if done.moved else min(_LONGEST_PAUSE, _MOST_BUSY * (clock() - began))
            if not done.unread:
                change = courier.drop.change
                pause = next_look(period, clock() - latest, courier.settings)
                if change is not None:
                    pause = _WATCHED_PAUSE
                await self._rest(courier, max(pause, least), change)

    async def _rest(self, courier: Courier, seconds: float, change: asyncio.Event | None) -> None:
        """Wait until the next look is due: after so long, or as soon as something waits, or comes
        where that is told."""
        clock = asyncio.get_running_loop().time
        end = clock() + seconds
        while (left := end - clock()) > 0:
            wait = self._parts.chat.outbox_changed()
            due = await courier.due_in()
            if due is not None and due <= 0:
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(left if due is None else min(left, due)):
                    await _first(wait(), *([change.wait()] if change else []))
                    await asyncio.sleep(_DEBOUNCE)
            if change is not None and change.is_set():
                return

    async def _add(self, record: DropRecord, check: bool) -> str:
        identifier = self._crypto.random(8).hex()
        fresh = DropRecord(**{**asdict(record), "id": identifier})
        known = {(each.kind, each.place, each.bucket, each.prefix) for each in await self.records()}
        if (fresh.kind, fresh.place, fresh.bucket, fresh.prefix) in known:
            raise InvalidDrop("This place is in use already.")
        if check:
            drop = self._made(fresh)
            try:
                await try_drop(drop, self._crypto.random)
            finally:
                await drop.close()
        await self._parts.vault.transact(lambda tx: save_records(tx, [*load_records(tx), fresh]))
        self._changed.beat()
        return identifier

    def _addressed(self, identifier: str) -> MailAddresses:
        return self._addresses.setdefault(identifier, MailAddresses(identifier))

    def _elsewhere(self, record: DropRecord) -> Callable[[], bool]:
        """Whether any place but a mail account works: it goes first."""

        def works() -> bool:
            return any(
                name in self._problems and self._problems[name] is None
                for name, courier in self._couriers.items()
                if name != record.id and not courier.drop.capabilities.addressed
            )

        return works if record.kind == "mail" else lambda: False

    def _courier(self, record: DropRecord) -> Courier:
        if record.id not in self._couriers:
            self._couriers[record.id] = Courier(
                record.id,
                self._made(record),
                self._parts,
                self._crypto,
                self._now,
                self._settings or (mail_drops() if record.kind == "mail" else DropSettings()),
                self._elsewhere(record),
            )
        return self._couriers[record.id]

    def _made(self, record: DropRecord) -> Drop:
        if record.kind in ("webdav", "s3"):
            self._parts.paths.guard.own_drop(urlsplit(record.place).hostname or "")
        addresses = self._addressed(record.id)

        async def learned(contact: str, address: str) -> None:
            await self._parts.vault.transact(lambda tx: addresses.learn(tx, contact, address))

        return make_drop(record, self._around, addresses.known, learned)


async def _first(*things: Awaitable[object]) -> None:
    """Return when one of several has happened."""
    tasks = [asyncio.ensure_future(thing) for thing in things]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
