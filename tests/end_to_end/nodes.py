"""People whose nodes run inside the test, with real homes and real connections."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from volok.app.node import Node
from volok.chat.messenger import Messenger
from volok.chat.views import ContactState, Message


class Person:
    """Somebody with a node. `clock` and `background` count when it is started the next time."""

    def __init__(self, folder: Path, name: str, clock: Callable[[], float] = time.time) -> None:
        self.name = name
        self._home = folder / name
        self.clock = clock
        self.background = True
        self.node = self._new_node()

    @classmethod
    async def with_relays(
        cls, folder: Path, name: str, *relays: str, clock: Callable[[], float] = time.time
    ) -> Person:
        """Somebody new, whose node is open."""
        person = cls(folder, name, clock)
        await person.node.start()
        await person.node.create(name, relays, None)
        return person

    @property
    def chat(self) -> Messenger:
        """Their conversations."""
        return self.node.chat

    async def leave(self) -> None:
        """Go away."""
        await self.node.stop()

    async def come_back(self) -> None:
        """Open the same home anew."""
        self.node = self._new_node()
        await self.node.start()

    async def accept(self, link: str) -> None:
        """Accept an invite, and wait for the answer."""
        contact = await self.chat.accept(link)

        async def active() -> bool:
            return (await self.chat.contact(contact.id)).state is ContactState.ACTIVE

        await self.until(active)

    async def to(self, who: str) -> str:
        """The id of a contact."""
        return (await self.chat.find(who)).id

    async def say(self, who: str, text: str) -> Message:
        """Write to a contact."""
        return await self.chat.send(await self.to(who), text)

    async def talk(self, who: str) -> list[Message]:
        """What people wrote in a conversation, oldest first."""
        page = await self.chat.messages(await self.to(who), limit=1000)
        return [message for message in page if message.notice is None]

    async def texts(self, who: str) -> list[str]:
        """The same, the texts alone."""
        return [message.text for message in await self.talk(who)]

    async def until(self, true: Callable[[], Awaitable[object]], seconds: float = 30) -> None:
        """Return when a condition over the conversations holds."""
        async with asyncio.timeout(seconds):
            while True:
                cursor = await self.chat.cursor()
                if await true():
                    return
                await anext(aiter(self.chat.follow(cursor)))

    async def until_there(self, who: str, *texts: str) -> None:
        """Return when a conversation has exactly these texts, in this order."""

        async def there() -> bool:
            return await self.texts(who) == list(texts)

        try:
            await self.until(there)
        except TimeoutError:
            raise AssertionError(f"{self.name} has {await self.texts(who)}") from None

    async def until_states(self, who: str, state: str) -> None:
        """Return when all of our own messages to a contact are in a state."""

        async def all_there() -> bool:
            return all(m.state.value == state for m in await self.talk(who) if m.mine)

        await self.until(all_there)

    def _new_node(self) -> Node:
        return Node(self._home, background=self.background, now=self.clock)


async def meet(inviter: Person, guest: Person) -> None:
    """One invites by a link, the other accepts; both know each other on return."""
    invite = await inviter.chat.invite()
    summary = await inviter.node.sync_round(10)
    assert not summary.problems, summary.problems
    await guest.accept(invite.link)
