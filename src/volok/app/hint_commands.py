"""What the command line and bots can ask about places that contacts tell each other of."""

from __future__ import annotations

import dataclasses
from typing import Protocol

from volok.app.node import Node
from volok.app.shapes import Json
from volok.chat.hint_book import HintView


class HintCommandSet(Protocol):
    """Part of `volok.app.commands.CommandSet`."""

    async def hints(self) -> Json:
        """What contacts told us (`heard`), what we let them know (`shared`), and whether heard
        relays are used when our own are gone (`on`)."""

    async def hint_share(self, place: str, contacts: list[str]) -> Json:
        """Let these contacts (ids or names; empty: all) know of a place."""

    async def hint_unshare(self, place: str) -> Json:
        """Take a place back."""

    async def hint_keep(self, relay: str) -> Json:
        """Make a heard relay one of our own."""

    async def hint_remove(self, place: str) -> Json:
        """Never use or show a heard place."""

    async def hints_switch(self, on: bool) -> Json:
        """Use heard relays when our own are gone, or never."""


class HintCommands:
    """`HintCommandSet` inside the process of the node."""

    _node: Node

    async def hints(self) -> Json:
        """See `HintCommandSet.hints`."""
        book = self._node.chat.hints
        names = {person.id: person.name for person in await self._node.chat.contacts()}
        return {
            "on": await book.is_on(),
            "heard": [heard_shape(view) for view in await book.heard()],
            "shared": [
                {
                    "place": view.place,
                    "kind": view.kind,
                    "contacts": [names.get(contact, "?") for contact in view.contacts],
                    "contact_ids": list(view.contacts),
                    "told": view.told,
                }
                for view in await book.shared()
            ],
        }

    async def hint_share(self, place: str, contacts: list[str]) -> Json:
        """See `HintCommandSet.hint_share`."""
        chat = self._node.chat
        people = [await chat.find(who) for who in contacts]
        shared = await chat.hints.share(place, [person.id for person in people])
        return {"place": shared, "contacts": [person.name for person in people]}

    async def hint_unshare(self, place: str) -> Json:
        """See `HintCommandSet.hint_unshare`."""
        await self._node.chat.hints.unshare(place)
        return {"place": place}

    async def hint_keep(self, relay: str) -> Json:
        """See `HintCommandSet.hint_keep`."""
        await self._node.chat.hints.keep(relay)
        return {"place": relay}

    async def hint_remove(self, place: str) -> Json:
        """See `HintCommandSet.hint_remove`."""
        await self._node.chat.hints.remove(place)
        return {"place": place}

    async def hints_switch(self, on: bool) -> Json:
        """See `HintCommandSet.hints_switch`."""
        await self._node.chat.hints.switch(on)
        return {"on": on}


def heard_shape(view: HintView) -> Json:
    """A place that contacts told us of."""
    shape = dataclasses.asdict(view)
    return {**shape, "told_by": list(view.told_by), "contacts": list(view.contacts)}
