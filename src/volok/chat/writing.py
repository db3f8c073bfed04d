"""Writing messages of ours into the vault: those that wait together are written together.

One statement for many rows, and one commit: what a message costs falls with the number that wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from volok.chat.contacts import contact_relays
from volok.chat.content import MAX_FILES, FileContent
from volok.chat.files import file_body
from volok.chat.history import add_file, index_texts
from volok.chat.hooks import Hands
from volok.chat.kit import Kit
from volok.chat.marks import takes_blobs
from volok.chat.messages import COLUMNS, fresh_view, identify
from volok.chat.payload import Body
from volok.chat.records import Posting, journal_all, put_out_all
from volok.chat.settings import ChatSettings
from volok.chat.views import ChatError, ContactState, Message, MessageState, Outgoing
from volok.store.deliveries import ItemKind
from volok.store.vault import Transaction, Value
from volok.store.vault_deliveries import queue


@dataclass(frozen=True, slots=True)
class Draft:
    """A message about to be written."""

    who: str
    """The contact's id or name."""
    text: str
    files: tuple[FileContent, ...] = ()
    reply_to: str | None = None
    view_once: bool = False


@dataclass(frozen=True, slots=True)
class Written:
    """A message that is in the vault, and the name of its contact."""

    message: Message
    name: str


def check(
    tx: Transaction, who: str, text: str, files: Sequence[Outgoing], settings: ChatSettings
) -> None:
    """Raise ChatError for a message that cannot be sent to this contact."""
    contact = _contact(tx, who)
    _check_text(contact, text, len(files), settings)
    if not files:
        return
    limit = settings.file_limit
    if any(len(file.data) > limit for file in files):
        raise ChatError(f"A file can have at most {limit // (1024 * 1024)} MB.")
    if contact_relays(tx, contact.id) and not takes_blobs(tx, contact.id):
        limit = settings.framed_limit
        if any(len(file.data) > limit for file in files):
            raise ChatError(
                "No relay of this contact takes files of this size. Send it as a bundle, or ask "
                "them to add a relay that takes files."
            )


@dataclass(slots=True)
class _Contact:
    """What is known of a contact while messages to them are written."""

    id: str
    name: str
    blocked: bool
    sent: int
    """The counter of the last message."""
    timer: int
    place: int
    """The `sort_ms` of the last message of the conversation."""


def _contact(tx: Transaction, who: str) -> _Contact:
    identifier, name = identify(tx, who)
    state, sent, timer, place = tx.execute(
        "SELECT state, sent, timer, (SELECT coalesce(max(sort_ms), 0) FROM message "
        "WHERE contact = c.id) FROM contact c WHERE id = ?",
        (identifier,),
    )[0]
    blocked = state == ContactState.BLOCKED.value
    return _Contact(identifier, name, blocked, sent, timer, place)


def _check_text(contact: _Contact, text: str, files: int, settings: ChatSettings) -> None:
    if contact.blocked:
        raise ChatError("You have blocked this contact. Unblock them to write.")
    if not text.strip() and not files:
        raise ChatError("There is nothing to send yet.")
    if len(text.encode(errors="replace")) > settings.text_limit:
        raise ChatError("This text is too long. Send it as a file instead.")
    if files > MAX_FILES:
        raise ChatError(f"At most {MAX_FILES} files fit into one message.")


class _Sheet:
    """Rows of several messages on their way into the vault."""

    def __init__(self, hands: Hands) -> None:
        self._hands = hands
        self._people: dict[str, _Contact] = {}
        self._by_name: dict[str, _Contact] = {}
        last = hands.tx.execute("SELECT coalesce(max(number), 0) FROM message")[0][0]
        self._last = self._number = int(last)
        self._messages: list[tuple[Value, ...]] = []
        self._texts: list[tuple[int, str]] = []
        self._postings: list[Posting] = []
        self._files: dict[str, tuple[str, Draft]] = {}

    def add(self, draft: Draft) -> str:
        """Take up a message; returns the contact's name. Raises ChatError."""
        hands, now_ms = self._hands, self._hands.now_ms
        to = self._to(draft.who)
        _check_text(to, draft.text, len(draft.files), hands.settings)
        content = hands.keys.crypto.random(16)
        identifier = content.hex()
        # Follows the clock, so that a node restored from an old backup does not count behind
        # itself; the place is after all others, whatever the clock.
        to.sent, to.place = max(to.sent + 1, now_ms), max(to.place + 1, now_ms)
        self._number += 1
        queued, once = MessageState.QUEUED.value, int(draft.view_once)
        ends = now_ms + to.timer * 1000 if to.timer else None
        self._messages.append(
            (
                *(self._number, identifier, to.id, draft.text, now_ms, to.place, to.sent),
                *(queued, draft.reply_to, once, to.timer, ends),
            )
        )
        self._postings.append(Posting(to.id, content, _body(draft, to), identifier))
        self._texts.append((self._number, draft.text))
        if draft.files:
            self._files[identifier] = to.id, draft
        return to.name

    def write(self) -> Iterator[Message]:
        """Write everything that was taken up; returns it in the same order."""
        tx, now_ms = self._hands.tx, self._hands.now_ms
        tx.many(
            "INSERT INTO message (number, id, contact, mine, text, sent_ms, sort_ms, counter, "
            "state, reply, once, timer, expires_ms) VALUES (?, ?, ?, 1, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            self._messages,
        )
        index_texts(tx, self._texts)
        for identifier, (contact, draft) in self._files.items():
            relays = contact_relays(tx, contact)
            for place, file in enumerate(draft.files):
                add_file(
                    tx, f"{identifier}{place:02x}", identifier, contact, place, file, here=True
                )
                queue(tx, ItemKind.BLOB, [chunk.name for chunk in file.chunks], relays)
                self._hands.effects.queued = True
        put_out_all(tx, self._postings, now_ms)
        tx.many(
            "UPDATE contact SET sent = ?, latest_ms = ? WHERE id = ?",
            [(to.sent, now_ms, to.id) for to in self._people.values()],
        )
        journal_all(tx, ((one.contact, one.message) for one in self._postings))
        rows = tx.execute(
            f"SELECT {COLUMNS} FROM message WHERE number > ? ORDER BY number",  # noqa: S608
            (self._last,),
        )
        return (fresh_view(tx, row, row[1] in self._files) for row in rows)

    def _to(self, who: str) -> _Contact:
        if who not in self._by_name:
            found = _contact(self._hands.tx, who)
            self._by_name[who] = self._people.setdefault(found.id, found)
        return self._by_name[who]


def _body(draft: Draft, to: _Contact) -> Body:
    body: Body = {"type": "text", "text": draft.text, "n": to.sent}
    if draft.reply_to is not None:
        body["reply"] = draft.reply_to
    if to.timer:
        body["timer"] = to.timer
    if draft.view_once:
        body["once"] = True
    if draft.files:
        body["files"] = [file_body(file) for file in draft.files]
    return body


def write(hands: Hands, drafts: Sequence[Draft]) -> list[Written | ChatError]:
    """Write messages into their conversations and the outbox, in this order."""
    sheet = _Sheet(hands)
    names: list[str | ChatError] = []
    for draft in drafts:
        try:
            names.append(sheet.add(draft))
        except ChatError as error:
            names.append(error)
    written = sheet.write()
    return [name if isinstance(name, ChatError) else Written(next(written), name) for name in names]


class Desk:
    """Where messages are handed in to be written. Belongs to one event loop."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self._waiting: list[tuple[Draft, asyncio.Future[Written]]] = []
        self._work: asyncio.Task[None] | None = None

    async def write(self, draft: Draft) -> Written:
        """Write a message; durable on return. Raises ChatError, VaultFull, VaultError."""
        future: asyncio.Future[Written] = asyncio.get_running_loop().create_future()
        self._waiting.append((draft, future))
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self._write_all())
        return await future

    async def _write_all(self) -> None:
        most = self._kit.settings.writes_at_once
        while batch := self._waiting[:most]:
            del self._waiting[:most]
            # Whoever no longer waits has given up before anything was written.
            batch = [(draft, future) for draft, future in batch if not future.done()]
            drafts = [draft for draft, _ in batch]
            results: Sequence[Written | Exception]
            try:
                results = await self._kit.change(partial(write, drafts=drafts))
            except Exception as error:  # each of those who wait must hear of it
                results = [error] * len(batch)
            for (_, future), result in zip(batch, results, strict=True):
                if future.done():
                    continue
                if isinstance(result, Exception):
                    future.set_exception(result)
                else:
                    future.set_result(result)
