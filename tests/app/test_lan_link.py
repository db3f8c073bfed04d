"""Links on the local network: what is pushed over them, and what a contact gone bad can do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from ipaddress import IPv4Interface

import pytest
import pytest_asyncio
from tests.end_to_end.nodes import Person

from volok.app.lan_certificate import throwaway_context
from volok.app.lan_link import Link, LinkSettings, read_frame, recognise
from volok.chat.nearby import Acquaintance
from volok.chat.views import ContactState
from volok.native import NativeCrypto
from volok.paths import lan_channel
from volok.paths.lan_channel import Channel, ChannelSettings, Listener, NeighbourLost, dial
from volok.paths.lan_interfaces import Interface
from volok.sync.lan import (
    MOST_PART,
    Answer,
    InvalidFrame,
    Kind,
    frame_head,
    parse_part,
    parse_taken,
    part_body,
    taken_body,
)

CRYPTO = NativeCrypto()
QUICK = LinkSettings(recognition=1.0, later=0.1, useless=3)
IMPATIENT = LinkSettings(answer=0.3)
pytestmark = pytest.mark.asyncio(loop_scope="module")
HERE = Interface("lo", 1, (IPv4Interface("127.0.0.1/8"),))


@dataclass
class Pair:
    """Two people who know each other, and a channel between their nodes."""

    ana: Person
    bo: Person
    ours: Channel
    theirs: Channel

    async def link(self, person: Person, channel: Channel, settings: LinkSettings = QUICK) -> Link:
        """What serves one end of the channel."""
        lan = person.node.lan
        await lan._learn()
        parts = person.node._open()
        link = Link(channel, list(lan.known), lan, parts, CRYPTO, time.time, settings)
        assert lan.joined(link)
        return link

    async def send(self, kind: int, body: bytes) -> None:
        """Say something as Bo."""
        await self.theirs.write(bytes([kind]) + len(body).to_bytes(4, "big"), body)

    async def part(self) -> int:
        """The number of the next part that comes to Bo."""
        while True:
            kind, body = await read_frame(self.theirs)
            if kind is Kind.PART:
                return parse_part(body)[0]

    async def take_everything(self) -> None:
        """As Bo, say of every part that it was taken in."""
        while True:
            await self.send(Kind.TAKEN, taken_body(await self.part(), Answer.TAKEN))

    async def answer(self) -> tuple[int, Answer]:
        """The next answer that comes to Bo."""
        while True:
            kind, body = await read_frame(self.theirs)
            if kind is Kind.TAKEN:
                return parse_taken(body)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def people(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Person, Person]]:
    """Two people who know each other and have no path left."""
    folder = tmp_path_factory.mktemp("people")
    ana, bo = [await Person.with_relays(folder, name) for name in ("Ana", "Bo")]
    shared = folder / "shared"
    shared.mkdir()
    drops = [await person.node.drops.add_folder(shared) for person in (ana, bo)]
    invite = await ana.chat.invite()
    contact = await bo.chat.accept_file(await ana.chat.invite_file(invite.id))

    async def active() -> bool:
        return (await bo.chat.contact(contact.id)).state is ContactState.ACTIVE

    await bo.until(active)
    for person, drop in zip((ana, bo), drops, strict=True):
        await person.node.drops.remove(drop)
    yield ana, bo
    for person in (ana, bo):
        await person.leave()


@pytest_asyncio.fixture(loop_scope="module")
async def pair(
    people: tuple[Person, Person], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Pair]:
    monkeypatch.setattr(lan_channel, "dialable", lambda addresses, _: list(addresses))
    came: asyncio.Queue[Channel] = asyncio.Queue()

    async def entered(channel: Channel, known: Callable[[], None]) -> None:
        await came.put(channel)
        await asyncio.Event().wait()

    context, certificate = throwaway_context("a.local", time.time())
    listener = Listener(HERE, context, certificate, entered)
    theirs = await dial("127.0.0.1", listener.open(), ChannelSettings())
    yield Pair(*people, await came.get(), theirs)
    theirs.close()
    await listener.close()
    for person in people:
        for link in list(person.node.lan._links):
            person.node.lan.left(link)


async def test_both_recognise_each_other_and_a_stranger_is_nobody(pair: Pair) -> None:
    for person in (pair.ana, pair.bo):
        await person.node.lan._learn()
    one, other = await asyncio.gather(
        recognise(pair.ours, pair.ana.node.lan.known, CRYPTO.random, 1),
        recognise(pair.theirs, pair.bo.node.lan.known, CRYPTO.random, 1),
    )
    assert [each.contact for each in one] == [await pair.ana.to("Bo")]
    assert [each.contact for each in other] == [await pair.bo.to("Ana")]
    stranger = [Acquaintance(CRYPTO.random(32))]
    assert await asyncio.gather(
        recognise(pair.ours, pair.ana.node.lan.known, CRYPTO.random, 1),
        recognise(pair.theirs, stranger, CRYPTO.random, 1),
    ) == [[], []]


async def test_whoever_says_nothing_is_not_waited_for(pair: Pair) -> None:
    with pytest.raises(NeighbourLost):
        await recognise(pair.ours, [], CRYPTO.random, 0.2)


async def test_two_links_carry_both_ways(pair: Pair) -> None:
    await pair.ana.say("Bo", "Hello")
    await pair.bo.say("Ana", "Hi")
    links = [
        asyncio.create_task((await pair.link(person, channel)).run("0123456789ab"))
        for person, channel in ((pair.ana, pair.ours), (pair.bo, pair.theirs))
    ]
    await pair.ana.until_states("Bo", "delivered")
    await pair.bo.until_states("Ana", "delivered")
    assert set(await pair.ana.texts("Bo")) == set(await pair.bo.texts("Ana"))
    for link in links:
        link.cancel()
    await asyncio.gather(*links, return_exceptions=True)


async def test_what_they_cannot_take_now_is_sent_again(pair: Pair) -> None:
    await pair.ana.say("Bo", "Hello")
    running = asyncio.create_task((await pair.link(pair.ana, pair.ours)).run("0123456789ab"))
    first = await pair.part()
    await pair.send(Kind.TAKEN, taken_body(first, Answer.LATER))
    second = await pair.part()
    assert second > first
    await pair.send(Kind.TAKEN, taken_body(second, Answer.USELESS))
    await pair.ana.say("Bo", "And this")
    third = await pair.part()
    await pair.send(Kind.TAKEN, taken_body(third, Answer.TAKEN))
    assert {message.state.value for message in (await pair.ana.talk("Bo"))[-2:]} == {"queued"}
    assert not running.done()
    running.cancel()


async def test_without_an_answer_the_link_ends_and_the_message_still_waits(pair: Pair) -> None:
    before = await pair.ana.chat.waiting()
    await pair.ana.say("Bo", "Anybody there?")
    with pytest.raises(NeighbourLost):
        await (await pair.link(pair.ana, pair.ours, IMPATIENT)).run("0123456789ab")
    assert await pair.ana.chat.waiting() == before + 1


async def test_a_few_useless_parts_are_borne_and_more_end_the_link(pair: Pair) -> None:
    running = asyncio.create_task((await pair.link(pair.ana, pair.ours)).run("0123456789ab"))
    for number in range(QUICK.useless):
        await pair.send(Kind.PART, part_body(number, CRYPTO.random(5_000)))
        assert await pair.answer() == (number, Answer.USELESS)
    await pair.send(Kind.PART, part_body(9, b""))
    with pytest.raises(NeighbourLost):
        await running


@pytest.mark.parametrize(
    "data",
    [
        frame_head(Kind.PART, MOST_PART + 5),
        frame_head(Kind.HERE, 2**32 - 1),
        frame_head(Kind.PART, 2) + b"ab",
        frame_head(Kind.TAKEN, 5) + b"\0\0\0\1\xff",
        frame_head(Kind.HERE, 2) + b"\xff\xff",
        b"\xc8\xff\xff\xff\xff",
    ],
)
async def test_what_is_no_frame_ends_the_link_alone(pair: Pair, data: bytes) -> None:
    link = await pair.link(pair.ana, pair.ours)
    await pair.theirs.write(data)
    with pytest.raises(InvalidFrame):
        await link.run("0123456789ab")
    assert pair.ana.node.state == "open"


async def test_what_was_not_asked_for_does_nothing(pair: Pair) -> None:
    running = asyncio.create_task((await pair.link(pair.ana, pair.ours)).run("0123456789ab"))
    await pair.send(200, b"from a later version")
    await pair.send(Kind.TAKEN, taken_body(77, Answer.TAKEN))
    await pair.send(Kind.INVITE, b"nobody asked")
    await pair.send(Kind.HAVE, bytes(64))
    await pair.send(Kind.WANT, bytes(64))
    await pair.send(Kind.FILE, bytes(64))
    await pair.send(Kind.PART, part_body(1, b"useless"))
    assert await pair.answer() == (1, Answer.USELESS)
    assert not pair.ana.node.home.carried.exists()
    assert not running.done()
    running.cancel()


async def test_who_is_blocked_is_linked_no_more(pair: Pair) -> None:
    running = asyncio.create_task((await pair.link(pair.ana, pair.ours)).run("0123456789ab"))
    answering = asyncio.create_task(pair.take_everything())
    await pair.ana.chat.block(await pair.ana.to("Bo"), True)
    await pair.ana.node.lan._learn()
    async with asyncio.timeout(5):
        await running
    answering.cancel()
