"""A malicious relay: replays, reorders, withholds, lies, floods, forges, stalls.

With one honest relay beside it nothing is lost, nothing comes twice, and the node stays in step
with the honest one.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from tests.sync.world import envelope, inbox_key
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from volok.model.event import Event
from volok.store.deliveries import MarkState
from volok.sync.engine import RelayScope
from volok.sync.status import RelayState

pytestmark = pytest.mark.own_time

BOB = inbox_key(2)
NOW = int(time.time())

Behaviour = Callable[[ServerConnection, list[Any]], Awaitable[None]]


@contextlib.asynccontextmanager
async def hostile(behave: Behaviour) -> AsyncIterator[str]:
    """A relay that answers every message with `behave`."""

    async def talk(socket: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for text in socket:
                await behave(socket, json.loads(text))

    async with serve(talk, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        yield f"ws://127.0.0.1:{port}"


def frame(subscription: str, event: Event, **changes: Any) -> str:
    return json.dumps(["EVENT", subscription, {**json.loads(event.to_json()), **changes}])


EVENTS = [envelope(BOB, str(number), NOW - number) for number in range(30)]


async def replays_and_reorders(socket: ServerConnection, message: list[Any]) -> None:
    if message[0] == "REQ":
        order = random.Random(7).choices(EVENTS, k=500)
        for event in order:
            await socket.send(frame(message[1], event))
        await socket.send(json.dumps(["EOSE", message[1]]))


async def forges(socket: ServerConnection, message: list[Any]) -> None:
    if message[0] == "REQ":
        for event in EVENTS * 20:
            await socket.send(frame(message[1], event, content="forged"))
            await socket.send(frame(message[1], event, sig="0" * 128))
            await socket.send(frame(message[1], event, id="0" * 64))


async def floods(socket: ServerConnection, message: list[Any]) -> None:
    nonsense = ["{", "[]", '["EVENT"]', '["NOTICE","x"]', "[" * 5000, '["OK","x",1]', "\x00"]
    for _ in range(500):
        for text in nonsense:
            await socket.send(text)


async def sends_giants(socket: ServerConnection, message: list[Any]) -> None:
    await socket.send("x" * 5_000_000)


async def says_nothing(socket: ServerConnection, message: list[Any]) -> None:
    return


async def hangs_up(socket: ServerConnection, message: list[Any]) -> None:
    await socket.close()


async def asks_for_keys_for_ever(socket: ServerConnection, message: list[Any]) -> None:
    await socket.send(json.dumps(["AUTH", "challenge"]))
    if message[0] == "REQ":
        await socket.send(json.dumps(["CLOSED", message[1], "auth-required: more"]))
    elif message[0] == "AUTH":
        await socket.send(json.dumps(["OK", message[1]["id"], True, ""]))


async def never_ends_paging(socket: ServerConnection, message: list[Any]) -> None:
    if message[0] == "REQ":
        until = message[2].get("until", NOW)
        for event in EVENTS:
            if event.created_at <= until:
                await socket.send(frame(message[1], event))
        await socket.send(json.dumps(["EOSE", message[1]]))
    elif message[0] == "CLOSE":
        await socket.send(json.dumps(["CLOSED", message[1], "error: no"]))


@pytest.mark.parametrize(
    "behave",
    [
        replays_and_reorders,
        forges,
        floods,
        sends_giants,
        says_nothing,
        hangs_up,
        asks_for_keys_for_ever,
        never_ends_paging,
    ],
)
async def test_with_one_honest_relay_nothing_is_lost(
    make_node: Any, our_relay: Any, behave: Behaviour
) -> None:
    bob = make_node()
    async with our_relay.running() as honest, hostile(behave) as bad, bob.running():
        bob.engine.set_scopes([RelayScope(bad, (BOB,)), RelayScope(honest, (BOB,))])
        await our_relay.store.add(EVENTS, NOW)
        received = await bob.contents(30)
        await bob.until(
            lambda: any(one.url == honest and one.in_step for one in bob.engine.status())
        )
        late = envelope(BOB, "live", NOW)
        await our_relay.store.add([late], NOW)
        received = await bob.contents(31)
    assert sorted(received) == sorted([*(event.content for event in EVENTS), "live"])


@pytest.mark.parametrize("behave", [forges, floods])
async def test_a_relay_that_floods_is_left_alone(make_node: Any, behave: Behaviour) -> None:
    bob = make_node()
    async with hostile(behave) as bad, bob.running():
        bob.engine.set_scopes([RelayScope(bad, (BOB,))])
        await bob.until(lambda: any(one.state is RelayState.WAITING for one in bob.engine.status()))
        assert bob.engine.status()[0].problem == "The relay sends things that make no sense."
    assert await bob.store.log(0, 10, NOW) == []
    assert bob.deliveries.cursors == {}


async def test_a_forged_copy_does_not_hide_the_true_event(make_node: Any, our_relay: Any) -> None:
    """The forgery comes first and carries the id of the true one."""
    bob, forged = make_node(), asyncio.Event()

    async def forge_once(socket: ServerConnection, message: list[Any]) -> None:
        if message[0] == "REQ":
            await socket.send(frame(message[1], EVENTS[0], content="forged"))
            await socket.send(json.dumps(["EOSE", message[1]]))
        elif message[0] == "CLOSE":
            forged.set()

    async with our_relay.running() as honest, hostile(forge_once) as bad, bob.running():
        bob.engine.set_scopes([RelayScope(bad, (BOB,))])
        async with asyncio.timeout(10):
            await forged.wait()
        await our_relay.store.add(EVENTS[:1], NOW)
        bob.engine.set_scopes([RelayScope(bad, (BOB,)), RelayScope(honest, (BOB,))])
        assert await bob.contents(1) == ["0"]


async def test_lies_in_ok_lose_nothing_at_the_honest_relay(make_node: Any, our_relay: Any) -> None:
    """It says yes to everything, twice, and to things that were never sent."""
    alice = make_node()

    async def lie(socket: ServerConnection, message: list[Any]) -> None:
        for name in (message[1]["id"], "f" * 64, message[1]["id"]):
            await socket.send(json.dumps(["OK", name, True, ""]))

    async with our_relay.running() as honest, hostile(lie) as bad, alice.running():
        await alice.publish(bad, *EVENTS)
        await alice.publish(honest, *EVENTS)
        await alice.deliveries.settled()
    assert len(alice.deliveries.items(MarkState.TAKEN)) == 60
    assert len(await our_relay.store.log(0, 100, NOW)) == 30


async def test_events_that_a_relay_never_acknowledges_stay_in_the_log(make_node: Any) -> None:
    alice = make_node(answer_timeout=0.1, retry_first=(0.01,), retry_max=0.02)
    seen: list[str] = []
    again = asyncio.Event()

    async def keep_silent(socket: ServerConnection, message: list[Any]) -> None:
        seen.append(message[1]["id"])
        if seen.count(EVENTS[0].id) >= 2:
            again.set()

    async with hostile(keep_silent) as bad, alice.running():
        await alice.publish(bad, EVENTS[0])
        async with asyncio.timeout(10):
            await again.wait()
    assert [one.item for one in alice.deliveries.queued] == [EVENTS[0].id]
    assert alice.deliveries.done == []


async def test_a_round_waits_for_what_is_not_acknowledged(make_node: Any) -> None:
    alice = make_node()
    seen: list[str] = []

    async def keep_silent(socket: ServerConnection, message: list[Any]) -> None:
        seen.append(message[1]["id"])

    async with hostile(keep_silent) as bad:
        await alice.publish(bad, *EVENTS)
        report = await alice.engine.round(0.5)
    assert [one.problem for one in report.problems] == ["The relay did not finish in time."]
    assert report.published == 0
    assert sorted(seen) == sorted(event.id for event in EVENTS)
