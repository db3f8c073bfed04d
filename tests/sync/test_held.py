"""Asking a relay only for what it has not given us yet (NIP-77)."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.sync.test_client import ANN, BOB, DAY, NOW, Dialogue, names, sent
from tests.sync.world import CRYPTO, MemoryDeliveries, Node, OurRelay, envelope, inbox_key

from volok.model.event import Event
from volok.paths.direct import DirectPath
from volok.paths.live import Socket
from volok.store.file_blobs import FileBlobs
from volok.store.memory_store import MemoryStore
from volok.store.store import stamp
from volok.sync.dialogue import CatchUpWanted, CaughtUp, Described, Ingest
from volok.sync.engine import Engine, RelayScope
from volok.sync.held import Held
from volok.sync.negentropy import Responder
from volok.sync.negentropy_records import Records
from volok.sync.settings import SyncSettings

GIVEN = [envelope(ANN, f"old {n}", NOW - 100 * n) for n in range(20)]
NEW = [envelope(ANN, f"new {n}", NOW - DAY - n) for n in range(230)]


def looking_again(*inboxes: Any) -> Dialogue:
    """A client that was given some events, knows that the relay reconciles, and looks again."""
    talk = Dialogue(*(inboxes or (ANN,)), cursor=NOW - 5)
    talk.say("EOSE", "i1")
    talk.client.held.add(GIVEN)
    talk.give(Described(reconciles=True))
    talk.give(CatchUpWanted())
    return talk


def answer(talk: Dialogue, relay: list[Event]) -> list[Any]:
    """The relay, which holds these events, answers until it is not asked any more."""
    stamps = Records.of(stamp(event.created_at, event.id) for event in relay)
    while (message := sent(talk.outputs)[0])[0] in ("NEG-OPEN", "NEG-MSG"):
        frame = Responder(stamps).answer(bytes.fromhex(message[-1]))
        talk.say("NEG-MSG", message[1], frame.hex())
    return sent(talk.outputs)


def test_only_what_is_missing_is_asked_for() -> None:
    talk = looking_again()
    live = [{"kinds": [1059], "#p": [ANN.public], "limit": 1}]
    assert sent(talk.outputs) == [["REQ", "i1", *live]]
    talk.say("EOSE", "i1")
    ((name, own, wanted, _),) = sent(talk.outputs)
    assert (name, own) == ("NEG-OPEN", "i1n")
    assert wanted == {"kinds": [1059], "#p": [ANN.public], "since": NOW - 3 * DAY}
    ending, request = answer(talk, [*GIVEN[3:], *NEW])
    assert ending == ["NEG-CLOSE", "i1n"]
    assert request[:2] == ["REQ", "i1p"]
    asked = set(request[2]["ids"])
    assert len(asked) == 200
    assert talk.event("i1p", GIVEN[0]) == []  # nobody asked for that
    for event in NEW:
        if event.id in asked:
            assert talk.event("i1p", event) == [Ingest((event,))]
    ((_, _, rest),) = sent(talk.say("EOSE", "i1p"))
    assert asked | set(rest["ids"]) == {event.id for event in NEW}
    assert not talk.client.in_step
    outputs = talk.say("EOSE", "i1p")
    assert outputs[-1] == CaughtUp((ANN.public,), NOW)
    assert talk.client.in_step
    assert talk.event("i1", envelope(ANN, "live", NOW)) != []


def test_a_relay_with_nothing_new_sends_no_event() -> None:
    talk = looking_again()
    talk.say("EOSE", "i1")
    assert answer(talk, GIVEN) == [["NEG-CLOSE", "i1n"]]
    assert talk.client.in_step


@pytest.mark.parametrize(
    "refusal",
    [
        ["NEG-ERR", "i1n", "blocked: too many"],
        ["NEG-ERR", "i1n", "closed: too slow"],
        ["CLOSED", "i1n", "error: what is that"],
        ["NEG-MSG", "i1n", "62"],
        ["NEG-MSG", "i1n", "61ff"],
    ],
)
def test_a_relay_that_does_not_do_it_is_read_as_any_other(refusal: list[str]) -> None:
    talk = looking_again()
    talk.say("EOSE", "i1")
    (request,) = sent(talk.say(*refusal))
    assert request[:2] == ["REQ", "i1p"]
    assert request[2]["since"] == NOW - 3 * DAY
    talk.say("EOSE", "i1p")
    assert talk.client.in_step
    assert talk.client.held.reconciles is False
    # It is not tried again, whatever the relay says of itself.
    talk.give(Described(reconciles=True))
    assert sent(talk.give(CatchUpWanted()))[0][2]["limit"] == 500


def test_a_relay_that_does_not_answer_is_read_as_any_other() -> None:
    talk = looking_again()
    talk.say("EOSE", "i1")
    while not talk.outputs or names(talk.outputs) == ["NEG-OPEN"]:
        talk.wait()
    assert names(talk.outputs) == ["REQ"]


def test_a_relay_without_end_is_believed_for_some_rounds() -> None:
    talk = looking_again()
    talk.say("EOSE", "i1")
    rounds = 0
    while names(talk.outputs) in (["NEG-OPEN"], ["NEG-MSG"]):
        talk.say("NEG-MSG", "i1n", "61" + "000001" + "00" * 16)
        rounds += 1
        assert rounds < 100
    assert names(talk.outputs) == ["NEG-CLOSE"]
    assert talk.client.in_step


def test_it_is_left_where_little_was_given_or_an_inbox_is_new() -> None:
    for talk in (Dialogue(ANN, cursor=NOW - 5), Dialogue(ANN)):
        talk.say("EOSE", "i1")
        talk.client.held.add(GIVEN[: 7 if talk.client.in_step else 20])
        talk.give(Described(reconciles=True))
        assert sent(talk.give(CatchUpWanted()))[0][2]["limit"] == 500


def test_frames_that_nobody_asked_for_are_nonsense() -> None:
    talk = looking_again()
    assert talk.say("NEG-MSG", "i1n", "61") == []
    assert talk.say("NEG-ERR", "i2n", "blocked: no") == []
    assert names(talk.say("EOSE", "i1")) == ["NEG-OPEN"]


@given(st.lists(st.integers(0, 30), max_size=60), st.integers(0, 20))
def test_what_was_given_is_bounded(numbers: list[int], most: int) -> None:
    held, events = Held(most), NEW[:31]
    held.add(events[number] for number in numbers)
    stamps = held.stamps([ANN.public], 0)
    assert len(stamps) <= most
    assert stamps <= {stamp(events[number].created_at, events[number].id) for number in numbers}
    assert held.stamps([BOB.public], 0) == set()
    since = NOW - DAY - 9
    assert all(one[:8] >= since.to_bytes(8, "big") for one in held.stamps([ANN.public], since))


class Counting(DirectPath):
    """Counts what comes over its websockets."""

    characters = 0
    frames: list[str]

    async def websocket(self, url: str) -> Socket:
        socket = await super().websocket(url)
        receive, send = socket.receive, socket.send

        async def counted() -> str:
            text = await receive()
            self.characters += len(text)
            return text

        async def noted(text: str) -> None:
            self.frames.append(text[2:9])
            await send(text)

        socket.receive, socket.send = counted, noted  # type: ignore[method-assign]
        return socket


async def test_looking_again_costs_a_fraction(tmp_path: Any) -> None:
    """After a lost connection as well, and nothing that came meanwhile is missed."""
    inbox, relay = inbox_key(7), OurRelay(tmp_path / "relay")
    path, store, deliveries = Counting(), MemoryStore(), MemoryDeliveries()
    path.frames = []
    blobs = FileBlobs(tmp_path / "blobs")
    settings = SyncSettings()
    engine = Engine(store, blobs, deliveries, path, CRYPTO, time.time, settings)
    node = Node(engine, store, blobs, deliveries, path)
    now = int(time.time())
    events = [envelope(inbox, f"{n:03}" + "x" * 4000, now - n) for n in range(60)]
    await relay.store.add(events[:50], now)
    async with node.running():
        async with relay.running() as url:
            await node.in_step(RelayScope(url, (inbox,)))
            assert len(await node.contents(50)) == 50
            plain = path.characters
            async with asyncio.timeout(20):
                while not any(frame.startswith("NEG-") for frame in path.frames):
                    await engine.round(10)
            path.characters = 0
            await engine.round(10)
            again = path.characters
        await relay.store.add(events[50:], now)
        path.characters, path.frames = 0, []
        async with relay.running():
            await node.contents(60)
            await node.until(lambda: all(one.in_step for one in engine.status()))
            assert "NEG-OPEN"[:7] in path.frames
            after_a_loss = path.characters
    await path.close()
    assert plain > 50 * 4000
    assert again < plain / 20  # of it most is the newest event, for which every reading asks
    assert after_a_loss < plain * 11 / 50 + 6000
