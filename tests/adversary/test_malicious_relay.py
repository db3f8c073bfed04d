"""With one honest relay beside a malicious one, no message is lost, doubled or out of its order,
and the node neither dies nor stalls."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.adversary.evil import (
    Floods,
    Forges,
    HangsUp,
    LiesInOk,
    PlainRelay,
    Reorders,
    Replays,
    Stalls,
    TalksNonsense,
    Withholds,
)
from tests.adversary.world import Person, person, running_relay

from volok.chat.views import MessageState
from volok.model.filters import Filter

TEXTS = 12
RESPONSE = 2.0
"""Seconds of computing, by all together, in which a message must arrive while the other relay
misbehaves."""
MOST_RESPONSE = 10.0
"""The same in seconds of the clock, of which other programs may take their part."""
WAVE = 8 * 1024 * 1024
"""Bytes of the flood between two looks at the node."""


@contextlib.asynccontextmanager
async def two_people(folder: Path, evil: PlainRelay) -> AsyncIterator[tuple[Person, Person]]:
    """Two nodes that know each other, each with our relay and the malicious one."""
    async with contextlib.AsyncExitStack() as stack:
        relays = [
            await stack.enter_async_context(evil.running()),
            await stack.enter_async_context(running_relay(folder / "relay")),
        ]
        ann = await stack.enter_async_context(person("Ann", folder / "ann", relays))
        bob = await stack.enter_async_context(person("Bob", folder / "bob", relays))
        invite = await ann.chat.invite()
        contact = await bob.chat.accept_file(await ann.chat.invite_file(invite.id))

        async def met() -> bool:
            return (await bob.chat.contact(contact.id)).state.value == "active"

        await bob.until(met)
        yield ann, bob


async def converse(ann: Person, bob: Person) -> None:
    """Both write at once; all of it arrives, once and in order, and both are told so."""
    for number in range(TEXTS):
        await ann.send(bob, f"ann {number}")
        await bob.send(ann, f"bob {number}")
    for reader, writer, name in ((ann, bob, "bob"), (bob, ann, "ann")):
        await reader.got(writer, f"{name} {TEXTS - 1}")

        async def acknowledged(reader: Person = reader, writer: Person = writer) -> bool:
            mine = [message for message in await writer.talk(reader) if message.mine]
            return all(message.state is MessageState.DELIVERED for message in mine)

        await writer.until(acknowledged)
        expected = [f"{name} {number}" for number in range(TEXTS)]
        assert await reader.texts(writer) == expected
        assert await writer.texts(reader, mine=True) == expected


async def respond(ann: Person, bob: Person, number: int = 0) -> None:
    """A message and its answer, each in good time."""
    for writer, reader in ((ann, bob), (bob, ann)):
        text = f"quick {number}?"
        began = time.process_time()
        async with asyncio.timeout(MOST_RESPONSE):
            await writer.send(reader, text)
            await reader.got(writer, text)
        assert time.process_time() - began < RESPONSE


@pytest.mark.parametrize(
    "kind",
    [PlainRelay, Replays, Reorders, Withholds, Forges, TalksNonsense, LiesInOk, HangsUp, Stalls],
)
async def test_nothing_is_lost(kind: type[PlainRelay], tmp_path: Path) -> None:
    evil = kind()
    async with two_people(tmp_path, evil) as (ann, bob):
        await converse(ann, bob)
        await respond(ann, bob)
        assert ann.failures == bob.failures == Counter()
        assert kind is Stalls or evil.frames_sent > 0


def memory() -> int:
    """Bytes of this process that lie in memory now (proc(5))."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@pytest.mark.parametrize("waves", [5, pytest.param(50, marks=pytest.mark.full)])
async def test_a_flood_neither_stalls_the_node_nor_fills_its_memory(
    tmp_path: Path, waves: int
) -> None:
    evil = Floods()
    async with two_people(tmp_path, evil) as (ann, bob):
        await converse(ann, bob)
        await evil.flooded(2 * WAVE)  # caches are full now
        before = memory()
        for number in range(waves):
            await respond(ann, bob, number)
            await evil.flooded(WAVE)
        assert memory() - before < 2 * WAVE
        for one in (ann, bob):
            envelopes = Filter(kinds=frozenset({1059}))
            assert await one.parts.store.count([envelopes], int(time.time())) < Floods.DISTINCT / 2
            assert one.parts.store.head > Floods.DISTINCT
        assert ann.failures == bob.failures == Counter()
