"""Reading a conversation in whole, by its pages."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress

from volok.chat.messenger import Messenger
from volok.chat.views import ChatError, Contact, Message, MessageState

PAGE = 200
"""Messages that are read at once."""


async def history(chat: Messenger, contact: Contact, last: int | None) -> list[Message]:
    """The last messages (with None all), oldest first, lines of the program among them."""
    pages: list[list[Message]] = []
    async for page in _pages(chat, contact):
        pages.append(page)
        if last is not None and sum(map(len, pages)) >= last:
            break
    whole = _in_order(pages)
    return whole if last is None else whole[max(0, len(whole) - last) :]


async def arrivals(
    chat: Messenger, cursor: int, contact_id: str | None, given: set[str]
) -> AsyncIterator[list[Message]]:
    """Yield what is new after a cursor of the journal, in batches, for ever.

    Each message comes once, and none whose id is in `given`, which grows by what is yielded. For
    one contact ours are among them, and lines of the program; for all (None) only theirs are.
    """
    async for changes in chat.follow(cursor):
        batch: list[Message] = []
        for change in changes:
            if change.message is None or change.message in given:
                continue
            if change.contact != contact_id if contact_id else not change.new:
                continue
            with suppress(ChatError):  # it may have disappeared meanwhile
                batch.append(await chat.message(change.message))
                given.add(change.message)
        if batch:
            yield batch


async def unread(chat: Messenger, contact: Contact) -> list[Message]:
    """Their messages that we have not seen, oldest first."""
    pages: list[list[Message]] = []
    async for page in _pages(chat, contact):
        pages.append([message for message in page if _is_unread(message)])
        if sum(map(len, pages)) >= contact.unread:
            break
    return _in_order(pages)


async def _pages(chat: Messenger, contact: Contact) -> AsyncIterator[list[Message]]:
    """Pages, the newest first."""
    before: int | None = None
    while page := await chat.messages(contact.id, before=before, limit=PAGE):
        before = page[0].order
        yield page


def _is_unread(message: Message) -> bool:
    return message.state is MessageState.RECEIVED and message.notice is None and not message.mine


def _in_order(pages: list[list[Message]]) -> list[Message]:
    return [message for page in reversed(pages) for message in page]
