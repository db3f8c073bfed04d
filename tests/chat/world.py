"""Two or more people in one process, and a courier that carries events and blobs between them.

The courier stands where sync and relays stand: it takes what waits in the delivery log of each,
drops it into a common set, and gives everybody what is addressed to their inboxes. It can hold
things back, shuffle, and replay.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from pathlib import Path

from volok.chat.messenger import Messenger
from volok.chat.schema import SCHEMA
from volok.chat.settings import ChatSettings
from volok.chat.views import ChatError, Contact, Message
from volok.model.event import Event, parse_event
from volok.model.filters import Filter
from volok.native import NativeCrypto
from volok.store.deliveries import ItemKind, Mark, MarkState
from volok.store.file_blobs import FileBlobs
from volok.store.memory_store import MemoryStore
from volok.store.vault_connection import Migration
from volok.store.vault_deliveries import VaultDeliveries
from volok.store.vault_sqlite import SqliteVault

RELAY = "wss://relay.example"
MIGRATIONS = tuple(Migration(n, sql) for n, sql in enumerate(SCHEMA, start=1))
PROMPT = ChatSettings(receipt_delay=0, receipt_jitter=0, delete_delay=0, delete_jitter=0)


class Clock:
    """Unix seconds that move when told to."""

    def __init__(self) -> None:
        self.time = 1_800_000_000.0

    def __call__(self) -> float:
        self.time += 0.001
        return self.time


@dataclass
class Person:
    """One node without network, relay or page."""

    name: str
    home: Path
    vault: SqliteVault
    store: MemoryStore
    blobs: FileBlobs
    deliveries: VaultDeliveries
    chat: Messenger

    async def close(self) -> None:
        await self.vault.close()
        await self.store.close()

    async def talk(self, who: str) -> list[Message]:
        contact = await self.chat.find(who)
        return [m for m in await self.chat.messages(contact.id, limit=5000) if m.notice is None]

    async def texts(self, who: str) -> list[str]:
        return [m.text for m in await self.talk(who)]

    async def to(self, who: str) -> str:
        return (await self.chat.find(who)).id


@dataclass
class World:
    """The people, and the set of everything that was ever published."""

    folder: Path
    clock: Clock = field(default_factory=Clock)
    crypto: NativeCrypto = field(default_factory=NativeCrypto)
    people: list[Person] = field(default_factory=list)
    events: dict[str, Event] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    seen: list[Event] = field(default_factory=list)
    max_content: int | None = None
    takes_blobs: bool = True
    given: set[tuple[str, str]] = field(default_factory=set)
    marked: int = 0

    async def person(
        self,
        name: str,
        settings: ChatSettings = PROMPT,
        relays: tuple[str, ...] = (RELAY,),
        home: Path | None = None,
    ) -> Person:
        """Somebody new, or (with `home`) the node of a home that exists."""
        folder = home or self.folder / f"{name}-{len(self.people)}"
        folder.mkdir(exist_ok=True)
        vault = await SqliteVault.open(folder / "vault.db", bytes(32), MIGRATIONS)
        store, blobs = MemoryStore(), FileBlobs(folder / "blobs")
        deliveries = VaultDeliveries(vault, self.clock)
        chat = await Messenger.open(
            vault, store, blobs, deliveries, self.crypto, self.clock, self.fetch, settings
        )
        person = Person(name, folder, vault, store, blobs, deliveries, chat)
        if home is None:
            await chat.set_name(name)
            await chat.set_relays(list(relays))
        self.people.append(person)
        return person

    async def fetch(self, relays: object, locator: bytes) -> list[str]:
        public = self.crypto.public_key(locator).hex()
        if not relays:
            raise ChatError("no relay")
        return [e.content for e in self.events.values() if e.tag("p") == public]

    async def collect(self, person: Person) -> list[Event]:
        """Take what waits in a person's delivery log."""
        collected = []
        for relay in await person.deliveries.relays():
            marks = []
            for delivery in await person.deliveries.pending(relay, 100_000):
                reason = ""
                if delivery.kind is ItemKind.EVENT:
                    found = await person.store.query(
                        [Filter(ids=frozenset({delivery.item}))], 1, int(self.clock())
                    )
                    if not found:
                        reason = "missing"
                    elif self.max_content and len(found[0].event.content) > self.max_content:
                        reason = "too-large"
                    else:
                        collected.append(parse_event_of(found[0].raw))
                elif self.takes_blobs:
                    self.blobs[delivery.item] = await person.blobs.get(delivery.item)
                else:
                    reason = "no-blossom"
                state = MarkState.REFUSED if reason else MarkState.TAKEN
                marks.append(Mark(delivery.item, relay, state, reason))
            await person.deliveries.mark(marks)
            self.marked += len(marks)
        return collected

    def publish(self, events: list[Event]) -> None:
        """Put events into the common set; deletions by the addressee take effect."""
        for event in events:
            self.seen.append(event)
            if event.kind == 5:
                for target in event.values("e"):
                    held = self.events.get(target)
                    if held is not None and held.tag("p") == event.pubkey:
                        del self.events[target]
            else:
                self.events[event.id] = event

    async def give(self, person: Person, events: list[Event]) -> int:
        """Hand a person events that are addressed to them; returns how many were new."""
        inboxes = {scope.public for scope in await person.chat.scopes()}
        mine = [e for e in events if e.tag("p") in inboxes]
        await person.store.add(mine, int(self.clock()))
        for wanted in await person.deliveries.wanted():
            if wanted.name in self.blobs:
                await person.blobs.put(self.blobs[wanted.name], expected=wanted.name)
                await person.deliveries.arrived(wanted.name)
        fresh = {(person.name, event.id) for event in mine} - self.given
        self.given |= fresh
        return len(fresh)

    async def step(self, shuffle: random.Random | None = None) -> int:
        """Everybody settles, publishes, and gets what is there; returns how much moved."""
        before = self.marked
        for person in self.people:
            await person.chat.settle()
            self.publish(await self.collect(person))
        moved = self.marked - before
        for person in self.people:
            waiting = list(self.events.values())
            if shuffle is not None:
                shuffle.shuffle(waiting)
            moved += await self.give(person, waiting)
        return moved

    async def run(self, steps: int = 30, shuffle: random.Random | None = None) -> None:
        """Step until nothing moves."""
        for _ in range(steps):
            if not await self.step(shuffle):
                for person in self.people:
                    await person.chat.settle()
                return
        raise AssertionError("it does not come to rest")

    async def meet(self, one: Person, other: Person) -> None:
        """One invites, the other accepts, both know each other."""
        invite = await one.chat.invite()
        await self.step()
        await other.chat.accept(invite.link)
        await self.run()

    async def close(self) -> None:
        for person in self.people:
            await person.close()


def parse_event_of(raw: bytes) -> Event:
    return parse_event(json.loads(raw))


async def contact_of(person: Person, who: str) -> Contact:
    """A contact by name."""
    return await person.chat.find(who)
