"""What the command line and bots can ask of a node, with plain JSON-able answers.

`CommandSet` is that contract. `Commands` answers it inside the process of the node;
`volok.app.remote.Remote` passes it on to a running node. Paths are absolute: a running node has
another working directory. Errors are those of `volok.app.errors.STATED`.
"""

from __future__ import annotations

import asyncio
import dataclasses
import mimetypes
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Protocol

from volok.app.conversation import arrivals, history, unread
from volok.app.doctor_shapes import examination_shape, progress_shape
from volok.app.drop_places import add_drop, find_drop, host_key_of
from volok.app.errors import NotRunning
from volok.app.hint_commands import HintCommands, HintCommandSet
from volok.app.lan import LanChoice
from volok.app.node import Node
from volok.app.pictures import attachment
from volok.app.shapes import Json, contact_shape, invite_shape, message_shape, path_shape
from volok.chat.views import Contact, FileState, Message, Outgoing
from volok.model.urls import normalise_relay_url
from volok.paths.doctor_report import Progress


class CommandSet(HintCommandSet, Protocol):
    """One method for each verb."""

    @property
    def carries(self) -> bool:
        """Whether what is queued leaves by itself, because a node is up."""

    async def status(self) -> Json:
        """How the node is connected and what waits; works while locked."""

    async def contacts(self) -> list[Json]:
        """Everybody we talk to, pinned first, then latest first."""

    async def invite(self, days: int, multiple: bool, file: str | None) -> Json:
        """Make an invite; with `file`, also write it as a self-contained file.

        `published` says whether it lies on every one of our `relays`, so that the link works.
        """

    async def accept(self, link: str) -> Json:
        """Accept a link; returns the contact."""

    async def accept_file(self, path: str) -> Json:
        """Accept an invite file; returns the contact."""

    async def send(self, contact: str, text: str, files: list[str]) -> Json:
        """Queue a message durably; returns it."""

    def read(
        self, contact: str, last: int | None, follow: bool, save: str | None
    ) -> AsyncIterator[Json]:
        """Give a conversation, oldest first, then with `follow` what comes, for ever.

        With `save`, files that are here are written into that folder, and `path` names them.
        Lines that the program wrote into it are there, too; `notice` tells them apart. All of it
        counts as seen.
        """

    def incoming(self) -> AsyncIterator[Json]:
        """Give unread messages of others, then each new one, for ever.

        They count as seen only when the next one after a batch is asked for: whoever stops in the
        middle of one gets it again.
        """

    async def sync(self) -> Json:
        """Make one full round in both directions."""

    async def export(self, path: str, contact: str | None) -> Json:
        """Write what waits into a bundle; for one contact, or one sealed part for each."""

    async def take_in(self, path: str) -> Json:
        """Take in a bundle."""

    async def backup(self, path: str) -> Json:
        """Write an encrypted backup; `recovery_code` is None when the passphrase opens it."""

    async def lock(self) -> Json:
        """Forget the keys; the node stays up."""

    async def unlock(self, passphrase: str | None) -> Json:
        """Open the vault again."""

    async def panic(self) -> Json:
        """Destroy the key of the vault, then everything else."""

    async def paths(self) -> list[Json]:
        """The ways to relays, cheapest first, and which of them carries something now."""

    async def drops(self) -> list[Json]:
        """Every folder and server that messages are left in."""

    async def drop_add(
        self, where: str, user: str, password: str, endpoint: str, more: Json | None = None
    ) -> Json:
        """Leave messages there, too; see `volok.app.drop_places.add_drop`. The contacts in `more`
        may be named as the person calls them."""

    async def drop_host_key(self, where: str) -> Json:
        """The `host_key` of an SFTP server and its `fingerprint`, before it is first used."""

    async def drop_remove(self, drop: str) -> Json:
        """Stop using one, given by its id or place."""

    async def drop_test(self, drop: str) -> Json:
        """Leave a file there, read it, remove it; returns the seconds it took."""

    async def path_add(
        self, url: str, name: str, relays: list[str], only: bool, bridges: Sequence[str] = ()
    ) -> Json:
        """Add a proxy or `tor`, for some relays or (with an empty list) for all; returns it."""

    async def path_remove(self, name: str) -> Json:
        """Remove a path that was added."""

    async def path_test(self, name: str | None, relay: str | None) -> list[Json]:
        """Try every path, or one, with our relays, or one of them."""

    async def lan(self) -> Json:
        """How things stand on the local network; see `volok.app.lan.LanView`."""

    async def lan_choose(self, on: bool, carry: bool) -> Json:
        """Be found on local networks or not, and carry sealed messages for others or not."""

    async def lan_test(self) -> Json:
        """Give others a moment to be found; then as `lan`. Raises LanOff."""

    def doctor(self, thorough: bool) -> AsyncIterator[Json]:
        """Look at what is blocked: objects with `progress`, then the result (see
        `volok.app.doctor_shapes`)."""

    async def page(self) -> Json:
        """A fresh `url` that opens the web app once. Raises NotRunning where none is served."""


class Commands(HintCommands):
    """`CommandSet` inside the process of the node."""

    def __init__(self, node: Node, carries: bool, page: Callable[[], str] | None = None) -> None:
        self._node = node
        self._page = page
        self.carries = carries

    async def status(self) -> Json:
        """See `CommandSet.status`."""
        status = dataclasses.asdict(await self._node.status())
        if not self.carries:
            for relay in (*status["relays"], *status["heard"]):
                relay["state"] = "idle"
        return {"running": self.carries, **status}

    async def contacts(self) -> list[Json]:
        """See `CommandSet.contacts`."""
        return [contact_shape(contact) for contact in await self._node.chat.contacts()]

    async def invite(self, days: int, multiple: bool, file: str | None) -> Json:
        """See `CommandSet.invite`."""
        chat = self._node.chat
        invite = await chat.invite(days=days, multiple=multiple)
        if file is not None:
            data = await chat.invite_file(invite.id)
            await asyncio.to_thread(Path(file).write_bytes, data)
        return {
            **invite_shape(invite),
            "file": file,
            "relays": await chat.relays(),
            "published": await self._publish(),
        }

    async def accept(self, link: str) -> Json:
        """See `CommandSet.accept`."""
        contact = await self._node.chat.accept(link)
        await self._publish()
        return contact_shape(contact)

    async def accept_file(self, path: str) -> Json:
        """See `CommandSet.accept_file`."""
        data = await asyncio.to_thread(Path(path).read_bytes)
        return contact_shape(await self._node.chat.accept_file(data))

    async def send(self, contact: str, text: str, files: list[str]) -> Json:
        """See `CommandSet.send`."""
        outgoing = [await asyncio.to_thread(_outgoing, Path(path)) for path in files]
        message, name = await self._node.chat.send_to(contact, text, outgoing)
        return message_shape(message, name)

    async def read(
        self, contact: str, last: int | None, follow: bool, save: str | None
    ) -> AsyncIterator[Json]:
        """See `CommandSet.read`."""
        chat = self._node.chat
        person = await chat.find(contact)
        cursor, given = await chat.cursor(), set[str]()
        everything = await history(chat, person, None if follow else last)
        for message in everything[-last:] if last else everything:
            yield await self._shape(message, person, save)
        await chat.seen(person.id, _latest(everything))
        if not follow:
            return
        given.update(message.id for message in everything)
        async for batch in arrivals(chat, cursor, person.id, given):
            for message in batch:
                yield await self._shape(message, person, save)
            await chat.seen(person.id, _latest(batch))

    async def incoming(self) -> AsyncIterator[Json]:
        """See `CommandSet.incoming`."""
        chat = self._node.chat
        cursor, given = await chat.cursor(), set[str]()
        for person in await chat.contacts():
            if not person.unread:
                continue
            waiting = await unread(chat, person)
            for message in waiting:
                given.add(message.id)
                yield message_shape(message, person.name)
            await chat.seen(person.id, _latest(waiting))
        async for batch in arrivals(chat, cursor, None, given):
            people = {person.id: person.name for person in await chat.contacts()}
            for message in batch:
                yield message_shape(message, people.get(message.contact, "?"))
            for contact_id in people.keys() & {message.contact for message in batch}:
                theirs = [message for message in batch if message.contact == contact_id]
                await chat.seen(contact_id, _latest(theirs))

    async def sync(self) -> Json:
        """See `CommandSet.sync`."""
        return dataclasses.asdict(await self._node.sync_round())

    async def export(self, path: str, contact: str | None) -> Json:
        """See `CommandSet.export`."""
        person = await self._node.chat.find(contact) if contact is not None else None
        report = await self._node.export_bundle(Path(path), person.id if person else None)
        return {"file": path, **dataclasses.asdict(report)}

    async def take_in(self, path: str) -> Json:
        """See `CommandSet.take_in`."""
        return dataclasses.asdict(await self._node.import_bundle(Path(path)))

    async def backup(self, path: str) -> Json:
        """See `CommandSet.backup`."""
        return {"file": path, "recovery_code": await self._node.backup(Path(path))}

    async def lock(self) -> Json:
        """See `CommandSet.lock`."""
        await self._node.lock()
        return {"state": self._node.state}

    async def unlock(self, passphrase: str | None) -> Json:
        """See `CommandSet.unlock`."""
        await self._node.unlock(passphrase)
        return {"state": self._node.state}

    async def panic(self) -> Json:
        """See `CommandSet.panic`."""
        await self._node.panic()
        return {"state": self._node.state}

    async def paths(self) -> list[Json]:
        """See `CommandSet.paths`."""
        paths = self._node.paths
        used = [name for names in paths.many.in_use.values() for name in names]
        return [path_shape(view, view.name in used) for view in paths.views()]

    async def path_add(
        self, url: str, name: str, relays: list[str], only: bool, bridges: Sequence[str] = ()
    ) -> Json:
        """See `CommandSet.path_add`."""
        added = await self._node.paths.add(url, name, relays, only, bridges)
        views = self._node.paths.views()
        return next(path_shape(view, False) for view in views if view.name == added.name)

    async def path_remove(self, name: str) -> Json:
        """See `CommandSet.path_remove`."""
        await self._node.paths.remove(name)
        return {"name": name}

    async def path_test(self, name: str | None, relay: str | None) -> list[Json]:
        """See `CommandSet.path_test`."""
        relays = [normalise_relay_url(relay)] if relay else await self._node.chat.relays()
        trials = await self._node.paths.test(relays, name)
        return [dataclasses.asdict(trial) for trial in trials]

    async def drops(self) -> list[Json]:
        """See `CommandSet.drops`."""
        return [dataclasses.asdict(view) for view in await self._node.drops.list()]

    async def drop_add(
        self, where: str, user: str, password: str, endpoint: str, more: Json | None = None
    ) -> Json:
        """See `CommandSet.drop_add`."""
        contacts = {
            (await self._node.chat.find(who)).id: address
            for who, address in (more or {}).get("contacts", {}).items()
        }
        more = {**(more or {}), "contacts": contacts}
        added = await add_drop(self._node.drops, where, user, password, endpoint, more)
        return next(one for one in await self.drops() if one["id"] == added)

    async def drop_host_key(self, where: str) -> Json:
        """See `CommandSet.drop_host_key`."""
        return await host_key_of(self._node.drops, where)

    async def drop_remove(self, drop: str) -> Json:
        """See `CommandSet.drop_remove`."""
        identifier = await find_drop(self._node.drops, drop)
        await self._node.drops.remove(identifier)
        return {"id": identifier}

    async def drop_test(self, drop: str) -> Json:
        """See `CommandSet.drop_test`."""
        identifier = await find_drop(self._node.drops, drop)
        return {"id": identifier, "seconds": await self._node.drops.test(identifier)}

    async def lan(self) -> Json:
        """See `CommandSet.lan`."""
        return dataclasses.asdict(await self._node.lan.view())

    async def lan_choose(self, on: bool, carry: bool) -> Json:
        """See `CommandSet.lan_choose`."""
        await self._node.lan.choose(LanChoice(on, carry))
        return await self.lan()

    async def lan_test(self) -> Json:
        """See `CommandSet.lan_test`."""
        return dataclasses.asdict(await self._node.lan.test())

    async def doctor(self, thorough: bool) -> AsyncIterator[Json]:
        """See `CommandSet.doctor`."""
        async for found in self._node.ways.examine(thorough):
            if isinstance(found, Progress):
                yield progress_shape(found)
            else:
                yield examination_shape(found)

    async def page(self) -> Json:
        """See `CommandSet.page`."""
        if self._page is None:
            raise NotRunning
        return {"url": self._page()}

    async def _publish(self) -> bool:
        """Bring what is queued to our relays now; False where that did not succeed everywhere."""
        if not await self._node.chat.relays():
            return False
        return not (await self._node.sync_round(self._node.settings.publish_wait)).problems

    async def _shape(self, message: Message, person: Contact, save: str | None) -> Json:
        shape = message_shape(message, person.name)
        if save is not None and not message.view_once:
            for view, file in zip(message.files, shape["files"], strict=True):
                if view.state is FileState.READY:
                    _, pieces = await self._node.chat.file(view.id)
                    file["path"] = str(await _save(Path(save), view.name, pieces))
        return shape


def _outgoing(path: Path) -> Outgoing:
    """Read a file that is to be sent. Raises OSError."""
    media_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return attachment(path.name, media_type, path.read_bytes())


async def _save(folder: Path, name: str, pieces: AsyncIterator[bytes]) -> Path:
    """Write a file under its (sanitised) name; an existing one is never overwritten."""
    target = await asyncio.to_thread(_free_name, folder, Path(name).name)
    with target.open("xb") as file:
        async for piece in pieces:
            file.write(piece)
    return target


def _free_name(folder: Path, name: str) -> Path:
    """A name in the folder (made if needed) that nothing has yet."""
    folder.mkdir(parents=True, exist_ok=True)
    plain, number = Path(name), 1
    target = folder / name
    while target.exists():
        number += 1
        target = folder / f"{plain.stem} ({number}){plain.suffix}"
    return target


def _latest(messages: Sequence[Message]) -> int:
    """The `order` up to which messages were given; 0 for none."""
    return max((message.order for message in messages), default=0)
