"""Reading a conversation in whole, by its pages. Lines of the program are left out."""

from __future__ import annotations

from collections.abc import AsyncIterator

from volok.chat.messenger import Messenger
from volok.chat.views import Contact, Message, MessageState

PAGE = 200
"""Messages that are read at once."""


async def history(chat: Messenger, contact: Contact, last: int | None) -> list[Message]:
    """The last messages (with None all), oldest first."""
    pages: list[list[Message]] = []
    async for page in _pages(chat, contact):
        pages.append(page)
        if last is not None and sum(map(len, pages)) >= last:
            break
    whole = _in_order(pages)
    return whole if last is None else whole[max(0, len(whole) - last) :]


async def newer(chat: Messenger, contact: Contact, order: int) -> list[Message]:
    """The messages after that place, oldest first."""
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
        pages.append([message for message in page if message.state is MessageState.RECEIVED])
        if sum(map(len, pages)) >= contact.unread:
            break
    return _in_order(pages)


async def _pages(chat: Messenger, contact: Contact) -> AsyncIterator[list[Message]]:
    """Pages without lines of the program, the newest page first."""
    before: int | None = None
    while page := await chat.messages(contact.id, before=before, limit=PAGE):
        before = page[0].order
        yield [message for message in page if message.notice is None]


def _in_order(pages: list[list[Message]]) -> list[Message]:
    return [message for page in reversed(pages) for message in page]
