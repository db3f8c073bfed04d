"""Hints as one object: what we share, what contacts told us, and the use of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from volok.chat import contacts, hint_telling, hint_using, hints
from volok.chat.kit import Kit
from volok.chat.messages import contacts as people
from volok.model.hints import RELAY
from volok.store.vault import Transaction


@dataclass(frozen=True, slots=True)
class HintView:
    """A place that contacts told us of."""

    place: str
    kind: str
    """`relay`, `webdav`, `sftp`, `s3` or `mail`."""
    told_by: tuple[str, ...]
    """Names of those who told it."""
    contacts: tuple[str, ...]
    """Their ids."""
    until: int
    """When it is forgotten unless it is told again, in Unix milliseconds."""
    used: bool
    """A relay at which we read now, because our own are gone."""
    works: bool
    """Whether it was reached since."""
    own: bool
    """A relay that is one of ours anyway."""


@dataclass(frozen=True, slots=True)
class ShareView:
    """A place that we let contacts know."""

    place: str
    kind: str
    contacts: tuple[str, ...]
    """Ids of those who may know it; empty: all, each of whom is told a few of all such places."""
    told: bool
    """Whether anybody was told yet."""


@dataclass(frozen=True, slots=True)
class LastResort:
    """What decides about the use of heard relays."""

    own: tuple[str, ...]
    """The relays that the person chose."""
    candidates: tuple[str, ...]
    """Heard relays that may be used, in the order in which to try them; empty if switched off."""
    used: tuple[str, ...]
    """Those that we read at now."""


class HintBook:
    """Hints in the vault of one open node."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit

    async def heard(self) -> list[HintView]:
        """What contacts told us, relays first in the order in which they would be tried."""
        return await self._kit.vault.read(partial(_heard, now=int(self._kit.now())))

    async def shared(self) -> list[ShareView]:
        """What we let contacts know."""

        def work(tx: Transaction) -> list[ShareView]:
            return [
                ShareView(each.hint.place, each.hint.kind, each.contacts, each.told_at is not None)
                for each in hint_telling.shares(tx)
                if not each.ended
            ]

        return await self._kit.vault.read(work)

    async def share(self, place: str, to: Sequence[str] = ()) -> str:
        """Let contacts (ids; empty: all) know of a place; returns it in its one form.

        Raises ChatError.
        """
        return await self._kit.change(lambda hands: hint_telling.share(hands, place, to))

    async def unshare(self, place: str) -> None:
        """Take it back. Raises ChatError."""
        await self._kit.change(partial(hint_telling.unshare, place=place))

    async def keep(self, url: str) -> None:
        """Make a heard relay one of our own. Raises ChatError."""
        await self._kit.change(partial(hint_using.keep, url=url))

    async def remove(self, place: str) -> None:
        """Never use a heard place, and do not show it. Raises ChatError."""
        await self._kit.change(partial(hint_using.remove, place=place))

    async def is_on(self) -> bool:
        """Whether heard relays are used when our own are gone."""
        return not await self._kit.vault.read(hints.is_off)

    async def switch(self, on: bool) -> None:
        """Change that."""
        await self._kit.change(partial(hint_using.set_off, off=not on))

    # What the app wires

    async def used(self) -> tuple[str, ...]:
        """The heard relays that we read at now."""
        return await self._kit.vault.read(contacts.heard_relays)

    async def last_resort(self) -> LastResort:
        """What the use of heard relays is decided by."""
        now = int(self._kit.now())

        def work(tx: Transaction) -> LastResort:
            own = contacts.own_relays(tx)
            may = hints.candidates(tx, own, now)
            return LastResort(own, tuple(may), contacts.heard_relays(tx))

        return await self._kit.vault.read(work)

    async def try_relays(self, urls: Sequence[str]) -> None:
        """Read at these heard relays and at no others."""
        await self._kit.change(partial(hint_using.try_relays, urls=urls))

    async def reached(self, url: str, gone: Iterable[str]) -> None:
        """One of them was reached; `gone`: relays that cannot be reached."""
        await self._kit.change(partial(hint_using.reached, url=url, gone=tuple(gone)))

    async def set_gone(self, gone: Iterable[str]) -> None:
        """These relays cannot be reached now."""
        await self._kit.change(partial(hint_using.set_gone, gone=tuple(gone)))

    async def end(self) -> None:
        """Our own relays are back: leave the heard ones."""
        await self._kit.change(hint_using.end)


def _heard(tx: Transaction, now: int) -> list[HintView]:
    names = {person.id: person.name for person in people(tx)}
    own, used = contacts.own_relays(tx), contacts.heard_relays(tx)
    works = contacts.heard_relays(tx, working=True)
    told: dict[str, list[hints.Heard]] = defaultdict(list)
    for each in hints.heard(tx, now):
        if not each.removed:
            told[each.hint.place].append(each)
    order = hints.in_order((each for some in told.values() for each in some), ())
    places = [*order, *(place for place in told if place not in order)]
    return [
        HintView(
            place,
            told[place][0].hint.kind,
            tuple(names.get(each.contact, "?") for each in told[place]),
            tuple(each.contact for each in told[place]),
            max(each.until for each in told[place]) * 1000,
            place in used,
            place in works,
            told[place][0].hint.kind == RELAY and place in own,
        )
        for place in places
    ]
