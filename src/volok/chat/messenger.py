"""Conversations as one object: everything that a page, a command or a bot may ask for.

Each method reads the vault or changes it in one transaction and returns; the `Worker` carries what
follows. Errors that a person can do something about are `ChatError`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial

from volok.chat import composing, contacts, invites, inviting, messages, people, safety, writing
from volok.chat.files import FileGone, read_file, store_file
from volok.chat.hint_book import HintBook
from volok.chat.history import drop_files
from volok.chat.hooks import Hands
from volok.chat.kit import FetchInvite, Kit
from volok.chat.people import InboxScope
from volok.chat.records import Keys, setting
from volok.chat.settings import ChatSettings
from volok.chat.views import (
    Change,
    ChatError,
    Contact,
    FileState,
    FileView,
    InviteView,
    Message,
    Outgoing,
    SafetyNumber,
)
from volok.chat.worker import Worker
from volok.model.crypto import Crypto
from volok.store.blobs import Blobs
from volok.store.store import Store
from volok.store.vault import T, Transaction, Vault
from volok.store.vault_deliveries import VaultDeliveries


class Messenger:
    """The conversations of one open node."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self._worker = Worker(kit)
        self._desk = writing.Desk(kit)

    @classmethod
    async def open(
        cls,
        vault: Vault,
        store: Store,
        blobs: Blobs,
        deliveries: VaultDeliveries,
        crypto: Crypto,
        now: Callable[[], float],
        fetch_invite: FetchInvite,
        settings: ChatSettings,
    ) -> Messenger:
        """Open conversations over a vault whose schema is `volok.chat.schema.SCHEMA`."""
        pickle_key, epoch = await vault.transact(partial(people.node_keys, crypto=crypto))
        keys = Keys(crypto, pickle_key, epoch)
        return cls(Kit(vault, store, blobs, deliveries, keys, now, settings, fetch_invite))

    async def run(self) -> None:
        """Send, receive and keep time until cancelled."""
        await self._worker.run()

    async def settle(self) -> None:
        """Do once what `run` would do now: for a node that opens only for a moment."""
        await self._worker.settle()

    async def restored(self) -> None:
        """This vault comes from a backup: announce a new epoch and start new sessions.

        Called once, before `run` or `settle`.
        """
        epoch = await self._kit.vault.transact(
            partial(people.new_epoch, crypto=self._kit.keys.crypto)
        )
        self._kit = replace(self._kit, keys=replace(self._kit.keys, epoch=epoch))
        self._worker, self._desk = Worker(self._kit), writing.Desk(self._kit)
        await self._kit.change(people.start_anew)

    async def _read(self, work: Callable[[Transaction], T]) -> T:
        return await self._kit.vault.read(work)

    # The person

    async def name(self) -> str:
        """How we call ourselves."""
        return await self._read(contacts.own_name)

    async def set_name(self, name: str) -> None:
        """Change it, and tell every contact."""
        await self._kit.change(partial(people.set_name, name=name))

    async def relays(self) -> list[str]:
        """The relays at which we read."""
        return list(await self._read(contacts.own_relays))

    async def set_relays(self, urls: Sequence[str]) -> None:
        """Replace them, and tell every contact. Raises InvalidUrl."""
        await self._kit.change(partial(people.set_own_relays, urls=urls))

    async def default_timer(self) -> int:
        """Seconds of the disappearing timer in new conversations; 0 is never."""
        return int(await self._read(lambda tx: setting(tx, "timer", 0)) or 0)

    async def set_default_timer(self, seconds: int) -> None:
        """Change it for conversations that begin from now on."""
        await self._kit.change(partial(people.set_default_timer, seconds=seconds))

    @property
    def hints(self) -> HintBook:
        """Relays and other places that contacts tell each other of."""
        return HintBook(self._kit)

    # Contacts

    async def contacts(self) -> list[Contact]:
        """Everybody: pinned first, then by the latest message."""
        return await self._read(messages.contacts)

    async def contact(self, identifier: str) -> Contact:
        """One contact. Raises ChatError."""
        return await self._read(lambda tx: messages.contact(tx, identifier))

    async def find(self, who: str) -> Contact:
        """A contact by id or name. Raises ChatError."""
        return await self._read(lambda tx: messages.find(tx, who))

    async def rename(self, contact: str, name: str) -> None:
        """Call a contact by a name of our own; empty goes back to theirs."""
        await self._kit.change(partial(people.rename, contact=contact, name=name))

    async def mute(self, contact: str, on: bool) -> None:
        """No notifications from a contact."""
        await self._kit.change(partial(people.set_flag, contact=contact, flag="muted", on=on))

    async def pin(self, contact: str, on: bool) -> None:
        """Keep a conversation at the top."""
        await self._kit.change(partial(people.set_flag, contact=contact, flag="pinned", on=on))

    async def verify(self, contact: str, on: bool) -> None:
        """Note that the safety numbers were compared."""
        await self._kit.change(partial(people.set_flag, contact=contact, flag="verified", on=on))

    async def block(self, contact: str, on: bool) -> None:
        """Neither show nor acknowledge anything from a contact."""
        await self._kit.change(partial(people.block, contact=contact, on=on))

    async def forget(self, contact: str) -> None:
        """Delete a conversation and everything that the relationship consists of."""
        await self._kit.change(partial(people.forget, contact=contact))

    async def accept_key(self, contact: str) -> None:
        """Accept a contact's new identity key and go on."""
        await self._kit.change(partial(people.accept_key, contact=contact))

    async def safety_number(self, contact: str) -> SafetyNumber:
        """What to compare with a contact. Raises ChatError while they have not answered yet."""
        return await self._read(lambda tx: safety.number(tx, contact))

    async def set_timer(self, contact: str, seconds: int) -> None:
        """Messages of this conversation disappear so long after they are seen; 0 is never."""
        await self._kit.change(partial(composing.set_timer, contact=contact, seconds=seconds))

    # Messages

    async def messages(
        self, contact: str, before: int | None = None, limit: int = 50
    ) -> list[Message]:
        """The latest messages, or those before the one whose `order` is given; oldest first."""
        return await self._read(lambda tx: messages.page(tx, contact, before, limit))

    async def message(self, identifier: str) -> Message:
        """One message. Raises ChatError."""
        return await self._read(lambda tx: messages.one(tx, identifier))

    async def search(self, text: str, limit: int = 50) -> list[Message]:
        """Messages with all these words, newest first."""
        return await self._read(lambda tx: messages.search(tx, text, limit))

    async def send(
        self,
        contact: str,
        text: str,
        files: Sequence[Outgoing] = (),
        reply_to: str | None = None,
        view_once: bool = False,
    ) -> Message:
        """Write a message; it is durable on return. Raises ChatError."""
        return (
            await self._send(writing.Draft(contact, text, (), reply_to, view_once), files)
        ).message

    async def send_to(
        self, who: str, text: str, files: Sequence[Outgoing] = ()
    ) -> tuple[Message, str]:
        """Write to a contact given by id or name; returns their name, too. Raises ChatError."""
        written = await self._send(writing.Draft(who, text), files)
        return written.message, written.name

    async def _send(self, draft: writing.Draft, files: Sequence[Outgoing]) -> writing.Written:
        kit = self._kit
        if files:
            await self._read(
                lambda tx: writing.check(tx, draft.who, draft.text, files, kit.settings)
            )
            stored = [await store_file(kit.keys.crypto, kit.blobs, file) for file in files]
            draft = replace(draft, files=tuple(stored))
        return await self._desk.write(draft)

    async def react(self, message: str, emoji: str) -> None:
        """Set our reaction to a message; empty removes it."""
        await self._kit.change(partial(composing.react, message=message, emoji=emoji))

    async def edit(self, message: str, text: str) -> None:
        """Replace the text of a message of ours. Raises ChatError."""
        await self._kit.change(partial(composing.edit, message=message, text=text))

    async def delete(self, message: str, for_everyone: bool) -> None:
        """Delete a message here, or (ours) for both. Raises ChatError."""
        await self._kit.change(
            partial(composing.delete, message=message, for_everyone=for_everyone)
        )

    async def retry(self, message: str) -> None:
        """Send a message that failed once more."""
        await self._kit.change(partial(composing.retry, message=message))

    async def seen(self, contact: str, upto: int | None = None) -> None:
        """Everything of this conversation, or what came up to an `order`, has been seen."""
        await self._kit.change(partial(composing.seen, contact=contact, upto=upto))

    async def waiting(self) -> int:
        """How many messages of ours have no receipt yet."""
        rows = await self._read(
            lambda tx: tx.execute("SELECT count(*) FROM outbox WHERE type = 'text'")
        )
        return int(rows[0][0])

    # Files

    async def file(self, identifier: str) -> tuple[FileView, AsyncIterator[bytes]]:
        """A file and its bytes. Raises ChatError when it is not here (yet, or any more)."""
        kit = self._kit
        view, key, names, once = await self._read(lambda tx: composing.find_file(tx, identifier))
        if once:
            raise ChatError("This picture can be opened once only.")
        if key is None or view.state is not FileState.READY:
            raise ChatError("This file is not here.")
        return view, read_file(kit.keys.crypto, kit.blobs, key, names, view.size)

    async def open_once(self, identifier: str) -> tuple[FileView, bytes]:
        """Give the bytes of a view-once file and destroy it. Raises ChatError."""
        kit = self._kit
        view, key, names, _ = await self._read(lambda tx: composing.find_file(tx, identifier))
        if key is None or view.state is not FileState.READY:
            raise ChatError("This picture has been opened already, or is not here yet.")
        try:
            pieces = read_file(kit.keys.crypto, kit.blobs, key, names, view.size)
            data = b"".join([piece async for piece in pieces])
        except FileGone as error:
            raise ChatError(str(error)) from error

        def destroy(hands: Hands) -> None:
            message = composing.message_of_file(hands.tx, identifier)
            hands.effects.gone_blobs += drop_files(hands.tx, message)
            composing.touch(hands.tx, message)

        await kit.change(destroy)
        return view, data

    # Invites

    async def invite(self, days: int = 7, multiple: bool = False) -> InviteView:
        """Make an invite and leave its sealed bundle on our relays. Raises ChatError."""
        return await inviting.invite(self._kit, days, multiple)

    async def invites(self) -> list[InviteView]:
        """All invites, newest first."""
        return await self._read(invites.views)

    async def revoke(self, identifier: str) -> None:
        """End an invite: nobody can use it any more."""
        await inviting.revoke(self._kit, identifier)

    async def invite_file(self, identifier: str) -> bytes:
        """The invite as a self-contained file, for where there is no network. Raises ChatError."""
        return await inviting.invite_file(self._kit, identifier)

    async def accept(self, link: str) -> Contact:
        """Accept an invite by its link: fetches the bundle from its relays. Raises ChatError."""
        return await self.contact(await inviting.accept(self._kit, link))

    async def accept_file(self, data: bytes) -> Contact:
        """Accept a self-contained invite. Raises ChatError."""
        return await self.contact(await inviting.accept_file(self._kit, data))

    # What the app wires

    async def scopes(self) -> list[InboxScope]:
        """The inboxes to be read, each with its relays."""
        return await self._read(people.scopes)

    def scopes_changed(self) -> Callable[[], Awaitable[object]]:
        """A waiter: take it before `scopes`, await its result after."""
        return self._kit.scopes.waiter()

    async def cursor(self) -> int:
        """The journal's newest line."""
        rows = await self._read(
            lambda tx: tx.execute("SELECT coalesce(max(cursor), 0) FROM journal")
        )
        return int(rows[0][0])

    async def follow(self, cursor: int) -> AsyncIterator[Sequence[Change]]:
        """Yield journal lines after `cursor`, for ever."""
        while True:
            wait = self._kit.changed.waiter()
            lines = await self._read(partial(people.journal_after, cursor=cursor))
            if lines:
                cursor = lines[-1].cursor
                yield lines
            else:
                await wait()

    def export_parts(self, contact: str | None) -> AsyncIterator[people.Parcel]:
        """What waits for a contact, or for each contact, sealed anew for being carried by hand."""
        return people.parcels(self._kit, contact)

    async def waiting_contents(self) -> list[people.Waiting]:
        """Everything that waits for a receipt, encrypted by now."""
        return await people.waiting_contents(self._kit)

    async def parcel_of(
        self, contact: str, numbers: Sequence[int], blobs: Sequence[str]
    ) -> people.Parcel | None:
        """Some of what waits for a contact, sealed anew; None when they get nothing."""
        return await people.parcel_of(self._kit, contact, numbers, blobs)

    def outbox_changed(self) -> Callable[[], Awaitable[object]]:
        """A waiter: take it before `waiting_contents`, await its result after."""
        return self._kit.outgoing.waiter()

    async def opening_keys(self) -> list[tuple[str, bytes]]:
        """Every (inbox, secret sealing key) that a bundle for us may be sealed to."""
        return await self._read(people.opening_keys)

    async def take_blob(self, name: str) -> None:
        """A blob is in the blob store now; if it is wanted, its file gets it."""
        wanted = await self._read(
            lambda tx: tx.execute("SELECT 1 FROM chunk WHERE name = ? AND NOT here", (name,))
        )
        if wanted:
            await self._kit.deliveries.arrived(name)
