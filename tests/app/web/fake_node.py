"""An in-memory node: what the web app is developed and tested against. It keeps the contracts of
`volok.app.web.interface`, and knows no cryptography and no network."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import itertools
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

from volok.app.web.interface import (
    ExportReport,
    ImportReport,
    NodeError,
    NodeState,
    NodeStatus,
    Preferences,
    RelayStatus,
)
from volok.chat.views import (
    Change,
    ChatError,
    Contact,
    ContactState,
    FileKind,
    FileState,
    FileView,
    InviteView,
    Message,
    MessageState,
    Outgoing,
    Quote,
    ReactionView,
    SafetyNumber,
)
from volok.store.vault import VaultLocked, WrongPassphrase

from .fake_hints import FakeHints
from .fake_ways import FakeWays

NOW = 1_781_956_800.0
"""The clock of the tests: 20 June 2026, 12:00 UTC."""
MINUTE = 60_000
DAY = 86_400_000


def _id(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class FakeChat:
    """Satisfies WebChat."""

    def __init__(self) -> None:
        self.people: dict[str, Contact] = {}
        self.log: dict[str, Message] = {}
        self.data: dict[str, bytes] = {}
        self.sent: list[Outgoing] = []
        self.accepted: list[str] = []
        self.made: list[InviteView] = []
        self.changes: list[Change] = []
        self.own_name = "Mira"
        self.timer = 0
        self.failure: Exception | None = None
        self.locked = False
        self._order = itertools.count(1)
        self._wake = asyncio.Condition()
        self.followed = asyncio.Event()

    # What happens by itself on a real node.

    async def _changed(self, contact: str, message: str | None = None, new: bool = False) -> None:
        kind = "message" if message else "contact"
        self.changes.append(Change(len(self.changes) + 1, kind, contact, message, new))
        await self.wake()

    async def wake(self) -> None:
        async with self._wake:
            self._wake.notify_all()

    def add_contact(self, name: str, state: ContactState = ContactState.ACTIVE) -> str:
        id = _id(name)
        self.people[id] = Contact(id, name, state, False, False, False, 0, 0, None, 0)
        return id

    def put(
        self,
        contact: str,
        text: str,
        mine: bool = False,
        ago: int = 0,
        state: MessageState | None = None,
        notice: str | None = None,
        files: tuple[FileView, ...] = (),
        quote: str | None = None,
        reactions: tuple[ReactionView, ...] = (),
        problem: str | None = None,
        expires_in: int | None = None,
        edited: bool = False,
        deleted: bool = False,
        view_once: bool = False,
    ) -> Message:
        """Put a message into a conversation; `ago` and `expires_in` in milliseconds."""
        order = next(self._order)
        sent_at = int(NOW * 1000) - ago
        quoted = self.log[quote] if quote else None
        message = Message(
            id=_id(f"message {order}"),
            contact=contact,
            mine=mine,
            text=text,
            sent_at=sent_at,
            order=order,
            state=state or MessageState.READ,
            problem=problem,
            notice=notice,
            edited=edited,
            deleted=deleted,
            view_once=view_once,
            expires_at=None if expires_in is None else sent_at + expires_in,
            quote=quoted and Quote(quoted.id, quoted.mine, quoted.text[:80]),
            reactions=reactions,
            files=files,
        )
        self.log[message.id] = message
        self._recount(contact)
        return message

    def _recount(self, contact: str) -> None:
        mine = [message for message in self.log.values() if message.contact == contact]
        self.people[contact] = replace(
            self.people[contact],
            last=mine[-1] if mine else None,
            unread=sum(message.state is MessageState.RECEIVED for message in mine),
            waiting=sum(
                message.mine and message.state in (MessageState.QUEUED, MessageState.RELAYED)
                for message in mine
            ),
        )

    def add_file(self, name: str, data: bytes, **facts: object) -> FileView:
        """A file whose bytes are here."""
        values: dict[str, object] = {
            "kind": FileKind.FILE,
            "media_type": "application/octet-stream",
            "state": FileState.READY,
            "progress": 1.0,
        }
        view = FileView(id=_id(f"file {name}"), name=name, size=len(data), **(values | facts))  # type: ignore[arg-type]
        self.data[view.id] = data
        return view

    async def receive(self, contact: str, text: str) -> Message:
        """A message of theirs arrives."""
        message = self.put(contact, text, state=MessageState.RECEIVED)
        await self._changed(contact, message.id, new=True)
        return message

    async def change_key(self, contact: str) -> None:
        """Their identity key is another one now."""
        await self._set(contact, state=ContactState.KEY_CHANGED)

    async def advance(self, message_id: str, state: MessageState) -> None:
        """A message of ours comes further."""
        self.log[message_id] = replace(self.log[message_id], state=state)
        await self._changed(self.log[message_id].contact, message_id)

    # The contract.

    async def contacts(self) -> list[Contact]:
        return sorted(
            self.people.values(),
            key=lambda one: (not one.pinned, -(one.last.sent_at if one.last else 0)),
        )

    async def contact(self, id: str) -> Contact:
        if id not in self.people:
            raise ChatError("There is no such contact.")
        return self.people[id]

    async def _set(self, id: str, **facts: object) -> None:
        self.people[id] = replace(await self.contact(id), **facts)  # type: ignore[arg-type]
        await self._changed(id)

    async def rename(self, id: str, name: str) -> None:
        await self._set(id, name=name)

    async def mute(self, id: str, on: bool) -> None:
        await self._set(id, muted=on)

    async def pin(self, id: str, on: bool) -> None:
        await self._set(id, pinned=on)

    async def block(self, id: str, on: bool) -> None:
        await self._set(id, state=ContactState.BLOCKED if on else ContactState.ACTIVE)

    async def forget(self, id: str) -> None:
        del self.people[(await self.contact(id)).id]
        self.log = {key: one for key, one in self.log.items() if one.contact != id}
        await self._changed(id)

    async def set_timer(self, id: str, seconds: int) -> None:
        await self._set(id, timer=seconds)

    async def safety_number(self, id: str) -> SafetyNumber:
        digest = hashlib.sha512((await self.contact(id)).id.encode()).hexdigest()
        return SafetyNumber(str(int(digest, 16))[:60], f"volok-safety:{digest[:64]}")

    async def verify(self, id: str, on: bool) -> None:
        await self._set(id, verified=on)

    async def accept_key(self, id: str) -> None:
        await self._set(id, state=ContactState.ACTIVE)

    async def messages(
        self, contact_id: str, before: int | None = None, limit: int = 50
    ) -> list[Message]:
        found = [
            one
            for one in self.log.values()
            if one.contact == contact_id and (before is None or one.order < before)
        ]
        return found[-limit:]

    async def message(self, id: str) -> Message:
        if id not in self.log:
            raise ChatError("This message is not here any more.")
        return self.log[id]

    async def search(self, text: str, limit: int = 50) -> list[Message]:
        found = [one for one in self.log.values() if text.lower() in one.text.lower()]
        return found[::-1][:limit]

    async def send(
        self,
        contact_id: str,
        text: str,
        files: Sequence[Outgoing] = (),
        reply_to: str | None = None,
        view_once: bool = False,
    ) -> Message:
        if self.failure:
            raise self.failure
        await self.contact(contact_id)
        views = []
        for file in files:
            self.sent.append(file)
            thumbnail = file.thumbnail and base64.b64encode(file.thumbnail).decode()
            views.append(
                self.add_file(
                    file.name,
                    file.data,
                    kind=file.kind,
                    media_type=file.media_type,
                    width=file.width,
                    height=file.height,
                    duration=file.duration,
                    thumbnail=thumbnail and f"data:image/webp;base64,{thumbnail}",
                )
            )
        message = self.put(
            contact_id,
            text,
            mine=True,
            state=MessageState.QUEUED,
            files=tuple(views),
            quote=reply_to,
            view_once=view_once,
        )
        await self._changed(contact_id, message.id)
        return message

    async def react(self, message_id: str, emoji: str) -> None:
        message = await self.message(message_id)
        others = tuple(one for one in message.reactions if not one.mine)
        own = (ReactionView(emoji, True),) if emoji else ()
        self.log[message_id] = replace(message, reactions=others + own)
        await self._changed(message.contact, message_id)

    async def edit(self, message_id: str, text: str) -> None:
        message = await self.message(message_id)
        self.log[message_id] = replace(message, text=text, edited=True)
        await self._changed(message.contact, message_id)

    async def delete(self, message_id: str, for_everyone: bool) -> None:
        message = await self.message(message_id)
        if for_everyone:
            self.log[message_id] = replace(message, text="", files=(), deleted=True)
        else:
            del self.log[message_id]
        self._recount(message.contact)
        await self._changed(message.contact, message_id)

    async def retry(self, message_id: str) -> None:
        message = await self.message(message_id)
        self.log[message_id] = replace(message, state=MessageState.QUEUED, problem=None)
        await self._changed(message.contact, message_id)

    async def seen(self, contact_id: str) -> None:
        for id, one in self.log.items():
            if one.contact == contact_id and one.state is MessageState.RECEIVED:
                self.log[id] = replace(one, state=MessageState.READ)
        if self.people[contact_id].unread:
            self._recount(contact_id)
            await self._changed(contact_id)

    def _file(self, file_id: str) -> FileView:
        for message in self.log.values():
            for file in message.files:
                if file.id == file_id:
                    return file
        raise ChatError("This file is not here any more.")

    async def file(self, file_id: str) -> tuple[FileView, AsyncIterator[bytes]]:
        view = self._file(file_id)
        data = self.data[file_id]

        async def pieces() -> AsyncIterator[bytes]:
            for at in range(0, len(data), 1000):
                yield data[at : at + 1000]

        return view, pieces()

    async def open_once(self, file_id: str) -> tuple[FileView, bytes]:
        view = self._file(file_id)
        if file_id not in self.data:
            raise ChatError("This photo was viewed already.")
        for id, message in self.log.items():
            if view in message.files:
                self.log[id] = replace(message, files=(replace(view, state=FileState.GONE),))
                await self._changed(message.contact, id)
        return view, self.data.pop(file_id)

    async def invite(self, days: int = 7, multiple: bool = False) -> InviteView:
        number = len(self.made) + 1
        secret = base64.urlsafe_b64encode(hashlib.sha512(str(number).encode()).digest()[:48])
        now = int(NOW * 1000)
        link = f"volok:i#{secret.decode()}~wss://relay.example"
        made = InviteView(_id(f"invite {number}"), link, now, now + days * DAY, multiple, 0, False)
        self.made.insert(0, made)
        return made

    async def invites(self) -> list[InviteView]:
        return self.made

    async def revoke(self, invite_id: str) -> None:
        self.made = [
            replace(made, revoked=True) if made.id == invite_id else made for made in self.made
        ]

    async def invite_file(self, invite_id: str) -> bytes:
        return b"invite " + invite_id.encode()

    async def accept(self, link: str) -> Contact:
        if not link.startswith("volok:"):
            raise ChatError("This is not an invite. Ask your friend to send the whole link again.")
        self.accepted.append(link)
        id = self.add_contact("Noor", ContactState.WAITING)
        await self._changed(id)
        return self.people[id]

    async def accept_file(self, data: bytes) -> Contact:
        if not data.startswith(b"invite "):
            raise ChatError("This file is not an invite.")
        return await self.accept("volok:file")

    async def set_name(self, name: str) -> None:
        self.own_name = name

    async def default_timer(self) -> int:
        return self.timer

    async def set_default_timer(self, seconds: int) -> None:
        self.timer = seconds

    async def cursor(self) -> int:
        return len(self.changes)

    async def follow(self, cursor: int) -> AsyncIterator[Sequence[Change]]:
        self.followed.set()
        while True:
            async with self._wake:
                while not self.locked and len(self.changes) <= cursor:
                    await self._wake.wait()
            if self.locked:
                return
            batch = self.changes[cursor:]
            cursor += len(batch)
            yield batch


class FakeNode:
    """Satisfies WebNode."""

    def __init__(self, state: NodeState = "open", passphrase: str | None = None) -> None:
        self._state: NodeState = state
        self._chat = FakeChat()
        self.passphrase = passphrase
        self.chosen = Preferences()
        self.relays: tuple[RelayStatus, ...] = ()
        self.heard: tuple[RelayStatus, ...] = ()
        self._changed = asyncio.Event()
        self.out = FakeWays()
        self.places = FakeHints()

    @property
    def hints(self) -> FakeHints:
        if self._state != "open":
            raise VaultLocked
        return self.places

    @property
    def ways(self) -> FakeWays:
        if self._state != "open":
            raise VaultLocked
        return self.out

    @property
    def state(self) -> NodeState:
        return self._state

    @property
    def chat(self) -> FakeChat:
        if self._state != "open":
            raise VaultLocked
        return self._chat

    async def become(self, state: NodeState) -> None:
        """Take on another state."""
        self._state = state
        self._chat.locked = state != "open"
        await self._chat.wake()
        self.changed()

    def changed(self) -> None:
        """The status is another one."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def create(self, name: str, relays: Sequence[str], passphrase: str | None) -> None:
        for url in relays:
            await self.add_relay(url)
        self._chat.own_name = name
        self.passphrase = passphrase
        await self.become("open")

    async def unlock(self, passphrase: str | None) -> None:
        if passphrase != self.passphrase:
            raise WrongPassphrase
        await self.become("open")

    async def lock(self) -> None:
        if self._state == "open":
            await self.become("locked")

    async def panic(self) -> None:
        await self.become("destroyed")

    async def change_passphrase(self, old: str | None, new: str | None) -> None:
        if old != self.passphrase:
            raise WrongPassphrase
        self.passphrase = new

    async def status(self) -> NodeStatus:
        waiting = sum(one.waiting for one in self._chat.people.values())
        return NodeStatus(
            self._chat.own_name,
            self._state,
            self.relays,
            waiting,
            self.passphrase is not None,
            self.heard,
        )

    async def status_changed(self) -> None:
        await self._changed.wait()

    async def add_relay(self, url: str) -> None:
        if not url.startswith(("ws://", "wss://")):
            raise NodeError("This is no relay address. It begins with wss://.")
        self.relays += (RelayStatus(url, "connecting"),)
        self.changed()

    async def remove_relay(self, url: str) -> None:
        self.relays = tuple(one for one in self.relays if one.url != url)
        self.changed()

    async def backup(self, path: Path) -> str | None:
        path.write_bytes(b"backup")
        return None if self.passphrase else "4TQX-9M2K-WB7D-P3HJ-6RZC-8NVF"

    async def restore(self, path: Path, passphrase_or_code: str) -> None:
        if path.read_bytes() != b"backup":
            raise NodeError("This file is not a backup of Volok.")
        await self.become("open")

    async def export_bundle(self, path: Path, contact_id: str | None) -> ExportReport:
        path.write_bytes(b"bundle")
        return ExportReport(3)

    async def import_bundle(self, path: Path) -> ImportReport:
        if path.read_bytes() != b"bundle":
            raise NodeError("This file carries no messages for you.")
        return ImportReport(2, 1)

    async def preferences(self) -> Preferences:
        return self.chosen

    async def set_preference(self, name: str, value: str | int | bool) -> None:
        self.chosen = replace(self.chosen, **{name: value})  # type: ignore[arg-type]


class FolderScratch:
    """Satisfies Scratch in a temporary folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = itertools.count()

    def new(self) -> Path:
        return self._folder / f"scratch-{next(self._count)}"

    async def write(self, path: Path, data: AsyncIterator[bytes]) -> None:
        path.write_bytes(b"".join([piece async for piece in data]))

    async def read(self, path: Path) -> AsyncIterator[bytes]:
        yield path.read_bytes()

    async def remove(self, path: Path) -> None:
        path.unlink(missing_ok=True)
