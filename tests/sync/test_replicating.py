"""A store and a relay brought to the same events, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import websockets
from tests.sync.world import CRYPTO, OurRelay

from volok.model.event import Event, sign_event
from volok.model.filters import Filter
from volok.paths.direct import DirectPath
from volok.relay.settings import RelaySettings
from volok.store.memory_store import MemoryStore
from volok.store.store import Visibility
from volok.sync.intake import Intake
from volok.sync.replicating import CannotReplicate, Replica, ReplicaSettings, Replicator

START = 1_700_000_000
PUBLIC = Visibility(frozenset((1059,)), frozenset())
SMALL = ReplicaSettings(frame=4096, events_of_request=40, window=7, answer_timeout=5)


def note(number: int, kind: int = 1, tags: tuple[tuple[str, ...], ...] = ()) -> Event:
    """A signed event, the same in every run but for its signature."""
    return sign_event(CRYPTO, b"\x07" * 32, START + number, kind, tags, str(number))


async def ids(store: MemoryStore) -> set[str]:
    return {entry.event.id for entry in await store.query([Filter()], 10_000, START)}


@contextlib.asynccontextmanager
async def connected(url: str, store: MemoryStore) -> AsyncIterator[Replicator]:
    path = DirectPath()
    socket = await path.websocket(url)
    try:
        intake = Intake(store, CRYPTO, time.time, 1_000)
        yield Replicator(socket, store, intake, PUBLIC, time.time, SMALL)
    finally:
        await socket.close()
        await path.close()


@pytest.mark.parametrize(
    ("down", "up"), [(True, True), (True, False), (False, True), (False, False)]
)
async def test_what_is_missing_goes_where_it_is_missing(tmp_path, down, up):
    events = [note(number) for number in range(300)]
    relay, store = OurRelay(tmp_path), MemoryStore()
    await relay.store.add(events[:250], START)
    await store.add(events[100:], START)
    async with relay.running() as url, connected(url, store) as replicator:
        replica = await replicator.run(Filter(), down=down, up=up)
    assert (replica.needed, replica.lacking) == (100, 50)
    assert (replica.fetched, replica.published) == (100 * down, 50 * up)
    assert await ids(store) == {event.id for event in (events if down else events[100:])}
    assert await ids(relay.store) == {event.id for event in (events if up else events[:250])}
    assert (replica.refused, replica.forged) == (0, 0)


async def test_sealed_events_stay_where_they_are(tmp_path):
    sealed = [note(1, 1059, (("p", "11" * 32),)), note(2, 5, (("k", "1059"), ("e", "22" * 32)))]
    relay, store = OurRelay(tmp_path), MemoryStore()
    await store.add([*sealed, note(3)], START)
    async with relay.running() as url, connected(url, store) as replicator:
        assert (await replicator.run(Filter(), down=True, up=True)).published == 1
    assert await ids(relay.store) == {note(3).id}


async def test_a_relay_that_takes_few_at_once_is_asked_for_halves(tmp_path):
    relay = OurRelay(tmp_path, settings=RelaySettings(max_reconciled=40, max_limit=25))
    events = [note(number * 50_000) for number in range(150)]
    await relay.store.add(events, START)
    store = MemoryStore()
    async with relay.running() as url, connected(url, store) as replicator:
        wanted = Filter(since=START, until=START + 150 * 50_000)
        assert (await replicator.run(wanted, down=True, up=False)).fetched == 150
        crowd = [sign_event(CRYPTO, b"\x09" * 32, START - 5, 1, (), str(n)) for n in range(41)]
        await relay.store.add(crowd, START)
        with pytest.raises(CannotReplicate, match="one second"):
            await replicator.run(Filter(since=START - 6, until=START - 4), down=True, up=False)


async def test_filters_and_their_limits_hold(tmp_path):
    relay, store = OurRelay(tmp_path), MemoryStore()
    await relay.store.add([note(number) for number in range(30)], START)
    async with relay.running() as url, connected(url, store) as replicator:
        await replicator.run(Filter(kinds=frozenset((1,)), limit=3), down=True, up=False)
        assert await ids(store) == {note(number).id for number in (27, 28, 29)}
        replica = await replicator.run(Filter(kinds=frozenset((7,))), down=True, up=True)
    assert replica.lacking == 0


async def test_a_relay_that_reconciles_nothing_is_named(tmp_path):
    relay = OurRelay(tmp_path, settings=RelaySettings(max_reconciled=0))
    async with relay.running() as url, connected(url, MemoryStore()) as replicator:
        with pytest.raises(CannotReplicate, match="unsupported"):
            await replicator.run(Filter(), down=True, up=True)


Answer = Callable[[websockets.ServerConnection, list[object]], Awaitable[None]]


@contextlib.asynccontextmanager
async def pretender(answer: Answer) -> AsyncIterator[str]:
    """A relay that answers each message as it is told."""

    async def serve(socket: websockets.ServerConnection) -> None:
        async for text in socket:
            await answer(socket, json.loads(text))

    async with websockets.serve(serve, "127.0.0.1", 0) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (["NOTICE", "unknown message"], "NIP-77"),
        (["NEG-MSG", "volok", "61ff"], "make no sense"),
        (["NEG-MSG", "volok", "62"], "make no sense"),
        (["NEG-ERR", "volok", "auth-required: who are you"], "auth-required"),
        (["CLOSED", "volok", "error: no"], "error: no"),
        (["NEG-MSG", "volok", "61" + "000001" + "00" * 16], "no end"),
    ],
)
async def test_what_hostile_and_old_relays_answer(answer, problem):
    async def say(socket: websockets.ServerConnection, asked: list[object]) -> None:
        if asked[0] != "NEG-CLOSE":
            await socket.send("no JSON")
            await socket.send(json.dumps(["EOSE"]))
            await socket.send(json.dumps(answer))

    async with pretender(say) as url, connected(url, MemoryStore()) as replicator:
        with pytest.raises(CannotReplicate, match=problem):
            await replicator.run(Filter(), down=True, up=False)


async def test_events_that_nobody_asked_for_and_forged_ones_are_left_out():
    wanted, other, vanish = note(1), note(2), note(3, 62, (("relay", "wss://other.example"),))
    forged = json.loads(wanted.to_json()) | {"content": "something else"}
    served = [json.loads(other.to_json()), json.loads(vanish.to_json()), forged]

    async def lie(socket: websockets.ServerConnection, asked: list[object]) -> None:
        if asked[0] == "NEG-OPEN":
            named = "".join(event.id for event in (wanted, vanish))
            await socket.send(json.dumps(["NEG-MSG", "volok", f"61000002{2:02x}{named}"]))
        elif asked[0] == "REQ":
            for event in served:
                await socket.send(json.dumps(["EVENT", asked[1], event]))
            await socket.send(json.dumps(["EOSE", asked[1]]))

    store = MemoryStore()
    async with pretender(lie) as url, connected(url, store) as replicator:
        replica = await replicator.run(Filter(), down=True, up=False)
    assert (replica.needed, replica.fetched, replica.forged) == (2, 0, 1)
    assert await ids(store) == set()


async def test_refused_events_are_counted():
    events = [note(number) for number in range(20)]

    async def refuse(socket: websockets.ServerConnection, asked: list[object]) -> None:
        if asked[0] == "NEG-OPEN":
            await socket.send(json.dumps(["NEG-MSG", "volok", "6100000200"]))
        elif asked[0] == "EVENT":
            name = asked[1]["id"]  # type: ignore[index]
            taken = name == events[3].id
            await socket.send(json.dumps(["OK", name, taken, "" if taken else "blocked: no"]))

    store = MemoryStore()
    await store.add(events, START)
    async with pretender(refuse) as url, connected(url, store) as replicator:
        async with asyncio.timeout(20):
            replica = await replicator.run(Filter(), down=False, up=True)
    assert replica == Replica(
        lacking=20,
        published=1,
        refused=19,
        frames=1,
        reconciling_bytes=replica.reconciling_bytes,
    )
