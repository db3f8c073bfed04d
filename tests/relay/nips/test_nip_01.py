"""NIP-01: events, filters and subscriptions, over a real relay and socket."""

from __future__ import annotations

import json

import pytest
import websockets
from websockets.exceptions import InvalidStatus

from volok.model.event import Event

NOW = 1_800_000_000


def wire(event: Event) -> dict:
    return json.loads(event.to_json())


async def test_nip_01_publish_query_and_subscribe(relay, people):
    anna, boris = people[:2]
    writer, reader = await relay.connect(), await relay.connect()
    old, live = anna.event(content="stored\n\"'\\ \x7f 🛶"), anna.event(content="live")
    assert await writer.publish(old) == ["OK", old.id, True, ""]
    assert await reader.ask("REQ", "s", {"authors": [anna.pubkey]}) == ["EVENT", "s", wire(old)]
    assert await reader.receive() == ["EOSE", "s"]
    await writer.publish(boris.event())
    await writer.publish(live)
    assert await reader.receive() == ["EVENT", "s", wire(live)]
    await reader.send("CLOSE", "s")
    await writer.publish(anna.event(content="after"))
    assert await reader.ask("REQ", "other", {"limit": 0}) == ["EOSE", "other"]


async def test_nip_01_order_ties_and_limits(relay, people):
    client = await relay.connect()
    same = [people[0].event(content=str(n)) for n in range(4)]
    newer, older = people[0].event(at=NOW + 1), people[0].event(at=NOW - 1)
    for event in (older, *same, newer):
        assert (await client.publish(event))[2] is True
    order = [newer.id, *sorted(event.id for event in same), older.id]
    assert await client.fetch({}) == order
    assert await client.fetch({"limit": 3}) == order[:3]
    assert await client.fetch({"limit": 0}) == []
    assert await client.fetch({"since": NOW, "until": NOW}) == order[1:5]
    assert await client.fetch({"until": NOW - 1}, {"since": NOW + 1}) == [newer.id, older.id]


async def test_nip_01_several_filters_give_each_event_once(relay, people):
    anna, boris = people[:2]
    client = await relay.connect()
    note = anna.event(1, tags=[["t", "x"], ["e", "a" * 64]])
    other, profile = boris.event(1, at=NOW - 1), anna.event(0, at=NOW - 2)
    for event in (note, other, profile):
        await client.publish(event)
    twice = {"kinds": [1], "#t": ["x", "y"]}
    assert await client.fetch(twice, twice, {"ids": [note.id]}) == [note.id]
    assert await client.fetch({"kinds": [0]}, {"authors": [boris.pubkey]}) == [other.id, profile.id]
    assert await client.fetch({"kinds": [1], "limit": 1}, {"kinds": [0]}) == [note.id, profile.id]
    assert await client.fetch({"kinds": [1], "#t": ["z"]}, {"ids": []}) == []


async def test_nip_01_a_subscription_is_replaced_and_belongs_to_one_connection(relay, people):
    writer, first, second = [await relay.connect() for _ in range(3)]
    for client, kind in ((first, 1), (second, 7)):
        assert await client.ask("REQ", "s", {"kinds": [kind]}) == ["EOSE", "s"]
    assert await first.ask("REQ", "s", {"kinds": [2]}) == ["EOSE", "s"]
    events = {kind: people[0].event(kind) for kind in (1, 2, 7)}
    for event in events.values():
        await writer.publish(event)
    assert (await first.receive())[2]["id"] == events[2].id
    assert (await second.receive())[2]["id"] == events[7].id


async def test_nip_01_a_refused_request_ends_what_it_was_to_replace(relay, people):
    client, writer = await relay.connect(), await relay.connect()
    assert await client.ask("REQ", "s", {}) == ["EOSE", "s"]
    assert (await client.ask("REQ", "s", {"kinds": ["x"]}))[:2] == ["CLOSED", "s"]
    await writer.publish(people[0].event())
    assert await client.ask("REQ", "t", {"limit": 0}) == ["EOSE", "t"]


@pytest.mark.parametrize(
    ("filters", "prefix"),
    [
        ([{"ids": ["ab"]}], "invalid:"),  # prefixes of ids are of an older NIP-01
        ([{"authors": ["A" * 64]}], "invalid:"),
        ([{"#e": ["short"]}], "invalid:"),
        ([{"kinds": [65536]}], "invalid:"),
        ([{"since": -1}], "invalid:"),
        ([{"limit": "5"}], "invalid:"),
        ([{}, 5], "invalid:"),
        ([], "invalid:"),
        ([{"colour": ["red"]}], "unsupported:"),
        ([{"#long": ["x"]}], "unsupported:"),
        ([{"kinds": [1]}, {"&t": ["x"]}], "unsupported:"),
    ],
)
async def test_nip_01_a_refused_request_is_answered_by_closed(relay, filters, prefix):
    client = await relay.connect()
    name, subscription, reason = await client.ask("REQ", "s", *filters)
    assert (name, subscription) == ("CLOSED", "s")
    assert reason.startswith(f"{prefix} ")


async def test_nip_01_names_of_subscriptions_have_1_to_64_characters(relay):
    client = await relay.connect()
    for name in ("x", "🛶" * 64, 'a "quoted" one'):
        assert await client.ask("REQ", name, {}) == ["EOSE", name]
    for name in ("", "x" * 65):
        assert (await client.ask("REQ", name, {}))[:2] == ["CLOSED", name]
    for name in ("x" * 300, 5, None):
        assert (await client.ask("REQ", name, {}))[0] == "NOTICE"


async def test_nip_01_what_is_wrong_with_an_event_is_said_in_ok(relay, people):
    client = await relay.connect()
    good = people[0].event(content="signed")
    fields = wire(good)
    for changed in (
        {"content": "changed"},
        {"sig": "0" * 128},
        {"pubkey": people[1].pubkey},
        {"created_at": -1},
        {"kind": 65536},
        {"tags": [[]]},
        {"tags": [[None]]},
        {"tags": "x"},
        {"sig": fields["sig"].upper()},
    ):
        name, event_id, accepted, reason = await client.ask("EVENT", fields | changed)
        assert (name, event_id, accepted) == ("OK", good.id, False)
        assert reason.startswith("invalid: ")
    assert await client.publish(good) == ["OK", good.id, True, ""]
    assert (await client.publish(good))[2:] == [True, "duplicate: already here"]
    for message in (["EVENT", {"id": "x"}], ["EVENT"], ["WHAT"], {}, 5, []):
        await client.socket.send(json.dumps(message))
        assert (await client.receive())[0] == "NOTICE"


async def test_nip_01_replaceable_events(relay, people):
    anna = people[0]
    client = await relay.connect()
    for kind in (0, 3, 10_000, 19_999):
        low, high = sorted((anna.event(kind, c) for c in "ab"), key=lambda event: event.id)
        older, newer = anna.event(kind, at=NOW - 1), anna.event(kind, at=NOW + 1)
        assert (await client.publish(high))[2] is True
        for late in (older, high):
            accepted, reason = (await client.publish(late))[2:]
            assert accepted is (late is high)
            assert reason.startswith("duplicate: ")
        assert (await client.publish(low))[2] is True  # of one second, the lower id stays
        assert await client.fetch({"kinds": [kind]}) == [low.id]
        assert (await client.publish(newer))[2] is True
        assert await client.fetch({"kinds": [kind]}, {"ids": [low.id]}) == [newer.id]


async def test_nip_01_addressable_events(relay, people):
    anna = people[0]
    client = await relay.connect()
    none, empty, valueless = (
        anna.event(30_000, at=NOW + n, tags=tags)
        for n, tags in enumerate(([], [["d", ""]], [["d"]]))
    )
    named = anna.event(39_999, tags=[["d", "x"], ["d", "y"]])
    other = anna.event(39_999, tags=[["d", "y"]])
    for event in (none, empty, valueless, named, other):
        assert (await client.publish(event))[2] is True
    assert await client.fetch({"kinds": [30_000]}) == [valueless.id]
    assert set(await client.fetch({"kinds": [39_999]})) == {named.id, other.id}
    assert await client.fetch({"#d": ["x"]}) == [named.id]


async def test_nip_01_ephemeral_events_are_streamed_and_not_kept(relay, people):
    writer, reader = await relay.connect(), await relay.connect()
    assert await reader.ask("REQ", "s", {"kinds": [20_000, 29_999]}) == ["EOSE", "s"]
    for kind in (20_000, 29_999):
        event = people[0].event(kind)
        assert await writer.publish(event) == ["OK", event.id, True, ""]
        assert await reader.receive() == ["EVENT", "s", wire(event)]
        assert await writer.fetch({"ids": [event.id]}) == []


async def test_nip_01_other_paths_are_no_relay(relay):
    with pytest.raises(InvalidStatus):
        await websockets.connect(f"{relay.address.websocket_url}/elsewhere")
