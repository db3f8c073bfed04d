"""Reading a conversation in whole, by its pages."""

from __future__ import annotations

from collections.abc import AsyncIterator

from volok.chat.messenger import Messenger
from volok.chat.views import Contact, Message, MessageState

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


async def newer(chat: Messenger, contact: Contact, order: int) -> list[Message]:
    """What came after that place, oldest first, lines of the program included."""
    pages: list[list[Message]] = []
    async for page in _pages(chat, contact):
        pages.append([message for message in page if message.order > order])
        if len(pages[-1]) < len(page):
            break
    return _in_order(pages)


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
