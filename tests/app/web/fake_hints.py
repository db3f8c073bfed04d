"""The hints of the fake node: lists in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from volok.chat.hint_book import HintView, ShareView
from volok.chat.views import ChatError

if TYPE_CHECKING:
    from .fake_node import FakeNode


class FakeHints:
    """Satisfies WebHints."""

    def __init__(self) -> None:
        self.told: list[HintView] = []
        self.known: list[ShareView] = []
        self.on = True
        self.failure: ChatError | None = None

    def hear(self, place: str, kind: str = "relay", *names: str, **state: bool) -> None:
        """Somebody tells of a place."""
        base = HintView(place, kind, names, ("c1",) * len(names), 0, False, False, False)
        self.told.append(replace(base, **state))

    async def heard(self) -> Sequence[HintView]:
        return self.told

    async def shared(self) -> Sequence[ShareView]:
        return self.known

    async def is_on(self) -> bool:
        return self.on

    async def switch(self, on: bool) -> None:
        self.on = on

    async def share(self, place: str, to: Sequence[str] = ()) -> str:
        if self.failure is not None:
            raise self.failure
        self.known.append(ShareView(place, "relay", tuple(to), False))
        return place

    async def unshare(self, place: str) -> None:
        self.known = [each for each in self.known if each.place != place]

    async def keep(self, url: str) -> None:
        self.told = [replace(each, own=each.own or each.place == url) for each in self.told]

    async def remove(self, place: str) -> None:
        self.told = [each for each in self.told if each.place != place]


def tell(node: FakeNode) -> None:
    """One of each kind of row."""
    some = next(iter(node.chat.people.values()))
    own = node.relays[0].url
    hints = node.places
    hints.hear(
        "wss://203.0.113.9:7443/a-secret-path-of-22-ch#" + "A" * 22,
        "relay",
        "Anna <b>K.</b>",
        "Павел",
        used=True,
        works=True,
    )
    hints.hear("wss://river.example", "relay", "ليلى", used=True)
    hints.hear(own, "relay", "Jun", own=True)
    hints.hear("mailto:jun@mail.example", "mail", "Jun")
    hints.known = [
        ShareView("wss://spare.example", "relay", (), True),
        ShareView("mailto:me@mail.example", "mail", (some.id,), False),
    ]
