"""A relay as clients see it, over real sockets."""

from __future__ import annotations

import asyncio
import json

import pytest
import websockets
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from volok.relay.settings import DAY


async def test_publish_then_fetch_newest_first(relay, people):
    anna = people[0]
    client = await relay.connect()
    old, new = anna.event(content="old"), anna.event(content="new", at=1_800_000_001)
    assert await client.publish(old) == ["OK", old.id, True, ""]
    assert await client.publish(new) == ["OK", new.id, True, ""]
    assert await client.fetch({"authors": [anna.pubkey]}) == [new.id, old.id]
    assert (await client.publish(old))[2:] == [True, "duplicate: already here"]


async def test_live_events_reach_each_matching_subscription_once(relay, people):
    anna, boris = people[:2]
    reader, writer = await relay.connect(), await relay.connect()
    assert await reader.ask("REQ", "all", {}) == ["EOSE", "all"]
    assert await reader.ask("REQ", "anna", {"authors": [anna.pubkey]}) == ["EOSE", "anna"]
    first, second = anna.event(content="1"), boris.event(content="2")
    await writer.publish(first)
    await writer.publish(second)
    got = [await reader.receive() for _ in range(3)]
    assert sorted((m[1], m[2]["id"]) for m in got[:2]) == [("all", first.id), ("anna", first.id)]
    assert (got[2][1], got[2][2]["id"]) == ("all", second.id)
    await reader.send("CLOSE", "all")
    third = anna.event(content="3")
    await writer.publish(third)
    assert (await reader.receive())[1:] == ["anna", json.loads(third.to_json())]


async def test_ephemeral_events_are_passed_on_and_not_kept(relay, people):
    reader, writer = await relay.connect(), await relay.connect()
    assert await reader.ask("REQ", "live", {"kinds": [20001]}) == ["EOSE", "live"]
    event = people[0].event(20001)
    assert (await writer.publish(event))[2] is True
    assert (await reader.receive())[2]["id"] == event.id
    assert await writer.fetch({"kinds": [20001]}) == []


async def test_forged_events_are_refused(relay, people):
    client = await relay.connect()
    genuine = json.loads(people[0].event(content="genuine").to_json())
    for field, value in [("content", "other"), ("sig", "00" * 64), ("pubkey", people[1].pubkey)]:
        ok = await client.ask("EVENT", genuine | {field: value})
        assert ok[2:] == [False, "invalid: the id or the signature is wrong"]
    assert await client.fetch({}) == []


async def test_sealed_events_go_to_their_addressee_alone(relay, people):
    sender, boris, clara, stranger = people
    sealed = [sender.event(1059, tags=[["p", person.pubkey]]) for person in (boris, clara)]
    writer, nosy, both = [await relay.connect() for _ in range(3)]
    assert await nosy.ask("REQ", "all", {}) == ["EOSE", "all"]
    for event in sealed:
        assert (await writer.publish(event))[2] is True
    assert await nosy.fetch({}, {"ids": [sealed[0].id]}, {"#p": [boris.pubkey]}) == []
    for asked in ({"kinds": [1059]}, {"kinds": [1, 1059], "#p": [boris.pubkey]}):
        for client in (nosy, both):
            assert (await client.ask("REQ", "x", asked))[2].startswith("auth-required:")
    assert (await nosy.ask("COUNT", "n", {"#p": [boris.pubkey]}))[2] == {"count": 0}
    assert (await nosy.authenticate(stranger))[2] is True
    wanted = {"kinds": [1059], "#p": [boris.pubkey, clara.pubkey]}
    assert (await nosy.ask("REQ", "x", wanted))[2].startswith("restricted:")

    # Two keys on one connection; the first alone does not do for both.
    assert (await both.authenticate(boris))[2] is True
    assert (await both.ask("REQ", "x", wanted))[2].startswith("restricted:")
    assert (await both.authenticate(clara))[2] is True
    assert set(await both.fetch(wanted)) == {event.id for event in sealed}
    assert set(await both.fetch({"kinds": [1059]})) == {event.id for event in sealed}

    # Live events obey the same rule.
    await both.send("REQ", "live", wanted | {"limit": 0})
    assert await both.receive() == ["EOSE", "live"]
    late, public = sender.event(1059, "late", [["p", clara.pubkey]]), sender.event(1)
    await writer.publish(late)
    await writer.publish(public)
    assert (await both.receive())[2]["id"] == late.id
    assert (await nosy.receive())[2]["id"] == public.id


async def test_auth_needs_this_challenge_and_this_relay(relay, people):
    client, other = await relay.connect(), await relay.connect()
    assert (await client.authenticate(people[0], "wss://elsewhere.example"))[2] is False
    client.challenge, mine = other.challenge, client.challenge
    assert (await client.authenticate(people[0]))[2] is False
    client.challenge = mine
    assert (await client.authenticate(people[0]))[2] is True


async def test_public_names_replace_the_host_header(start, people):
    async with start(public_urls=("wss://relay.example",)) as relay:
        client = await relay.connect()
        assert (await client.authenticate(people[0]))[2] is False
        assert (await client.authenticate(people[0], "wss://relay.example/"))[2] is True


async def test_deletion_by_author_and_by_addressee(relay, people):
    anna, boris, stranger, throwaway = people
    note = anna.event(content="note")
    sealed = throwaway.event(1059, tags=[["p", boris.pubkey]])
    client = await relay.connect()
    await client.authenticate(boris)
    targets = [["e", note.id], ["e", sealed.id]]
    everything = {"ids": [note.id, sealed.id]}
    await client.publish(note)
    await client.publish(sealed)
    await client.publish(stranger.event(5, tags=targets))
    assert set(await client.fetch(everything)) == {note.id, sealed.id}
    await client.publish(anna.event(5, tags=targets))
    assert await client.fetch(everything) == [sealed.id]
    deletion = boris.event(5, tags=[*targets, ["k", "1059"]])
    await client.publish(deletion)
    assert await client.fetch(everything) == []
    assert (await client.publish(note))[2:] == [False, "blocked: it was deleted"]
    # What an inbox deleted is its own business.
    nosy = await relay.connect()
    assert deletion.id not in await nosy.fetch({"kinds": [5]})
    assert deletion.id in await client.fetch({"kinds": [5]})


async def test_expired_events_are_refused_not_served_and_erased(start, people):
    async with start(sweep_seconds=0.02) as relay:
        anna, client = people[0], await relay.connect()
        event = anna.event(tags=[["expiration", "1800000010"]])
        gone = anna.event(tags=[["expiration", "1799999999"]])
        assert (await client.publish(gone))[2] is False
        assert (await client.publish(event))[2] is True
        assert await client.fetch({}) == [event.id]
        relay.clock.now += 11
        assert await client.fetch({}) == []
        async with asyncio.timeout(5):
            while relay.metrics.events_expired == 0:
                await client.fetch({})
        assert await relay.store.log(0, 10, 0) == []


async def test_policy_is_told_in_ok(start, people):
    async with start(max_content_length=10, created_at_past=DAY, require_auth=True) as relay:
        anna, client = people[0], await relay.connect()
        assert (await client.publish(anna.event()))[3].startswith("auth-required:")
        assert (await client.ask("REQ", "x", {}))[2].startswith("auth-required:")
        await client.authenticate(anna)
        for event in (
            anna.event(content="x" * 11),
            anna.event(at=1_800_000_000 + 3600),
            anna.event(at=1_800_000_000 - 2 * DAY),
            anna.event(22242),
        ):
            ok = await client.publish(event)
            assert ok[:3] == ["OK", event.id, False]
            assert ok[3].startswith("invalid:")
        assert (await client.publish(people[1].event(tags=[["-"]])))[3].startswith("restricted:")
        assert (await client.publish(anna.event(tags=[["-"]])))[2] is True
        assert await client.ask("COUNT", "n", {"kinds": [1]}) == ["COUNT", "n", {"count": 1}]


async def test_limits_of_a_connection(start):
    async with start(max_subscriptions=2, max_filters=2, max_filter_values=3) as relay:
        client = await relay.connect()
        for name in ("a", "b", "a"):
            assert await client.ask("REQ", name, {}) == ["EOSE", name]
        assert (await client.ask("REQ", "c", {}))[:2] == ["CLOSED", "c"]
        await client.send("CLOSE", "a")
        assert (await client.ask("REQ", "c", {}, {}, {}))[:2] == ["CLOSED", "c"]
        assert (await client.ask("REQ", "c", {"kinds": [1, 2, 3, 4]}))[:2] == ["CLOSED", "c"]
        assert await client.ask("REQ", "c", {}) == ["EOSE", "c"]
        assert relay.metrics.subscriptions == 2
        await client.socket.close()


async def test_too_many_connections_are_refused(start):
    async with start(max_connections=1) as relay:
        client = await relay.connect()
        with pytest.raises(websockets.InvalidStatus):
            await relay.connect()
        assert await client.ask("REQ", "a", {}) == ["EOSE", "a"]


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "nonsense",
        "[",
        '{"EVENT": 1}',
        '["EVENT"]',
        '["REQ"]',
        '["UNKNOWN",1]',
        '["EVENT",{"id":"\\ud800"}]',
        "[" * 100_000,
        "[" * 1_000 + "]" * 1_000,
        '["REQ","a",' + '{"a":' * 20_000,
        "NaN",
        b"\x00\xff",
    ],
)
async def test_a_malformed_frame_gets_a_notice_and_stops_nothing(relay, frame):
    client = await relay.connect()
    await client.socket.send(frame)
    assert (await client.receive())[0] == "NOTICE"
    assert await client.fetch({}) == []
    assert relay.metrics.connections == 1


async def test_long_frames_are_refused_longer_ones_end_the_connection(start, people):
    async with start(max_message_length=2_000) as relay:
        client, other = await relay.connect(), await relay.connect()
        event = people[0].event(content="x" * 2_000)
        assert (await client.publish(event))[:3] == ["OK", event.id, False]
        await client.socket.send("x" * 5_000)
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await client.receive()
        assert closed.value.rcvd.code == 1009
        assert await other.fetch({}) == []


async def _listen(client, heard):
    async for frame in client.socket:
        heard.append(frame)


async def test_a_slow_reader_is_closed_and_blocks_nobody(start, people):
    async with start(max_queue_messages=50, max_content_length=100_000) as relay:
        slow, quick, writer = [await relay.connect() for _ in range(3)]
        # The client library stops reading from its socket once its queue is full.
        for client in (slow, quick):
            assert await client.ask("REQ", "all", {}) == ["EOSE", "all"]
        content = "x" * 60_000
        sent, got = [], []
        for number in range(400):
            event = people[0].event(content=content, at=1_800_000_000 - number)
            await writer.publish(event)
            sent.append(event.id)
            got.append((await quick.receive())[2]["id"])
            if relay.metrics.slow_readers:
                break
        assert relay.metrics.slow_readers == 1
        assert got == sent
        # It gets what was on its way already, and then the end.
        heard = []
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await _listen(slow, heard)
        assert closed.value.rcvd.code == 1013
        assert json.loads(heard[-1])[0] == "NOTICE"
        assert len(heard) < len(sent)
        assert len(await quick.fetch({"limit": 500})) == len(sent)


async def test_pipelined_events_all_get_an_ok(start, people):
    async with start(max_pending=16) as relay:
        client = await relay.connect()
        events = [people[0].event(content=str(number)) for number in range(200)]
        for event in events:
            await client.send("EVENT", json.loads(event.to_json()))
        answers = [await client.receive() for _ in events]
        assert {answer[1] for answer in answers if answer[2]} == {event.id for event in events}
        assert relay.metrics.batches < len(events)


async def test_other_origins_and_hosts_need_consent(start):
    def allowed(origin: str | None) -> bool:
        return origin in (None, "http://known.example")

    async with start(origin_allowed=allowed, hosts=("127.0.0.1",)) as relay:
        await relay.connect()
        await relay.connect(origin="http://known.example")
        with pytest.raises(websockets.InvalidStatus):
            await relay.connect(origin="http://strange.example")
        with pytest.raises(websockets.InvalidStatus):
            async with websockets.connect(
                f"ws://rebound.example:{relay.address.port}", host="127.0.0.1", proxy=None
            ):
                pass
        assert relay.metrics.connections_refused == 2


async def test_a_pocket_relay_serves_no_sealed_events(start, people):
    sender, boris = people[:2]
    async with start(serve_sealed=False) as relay:
        client = await relay.connect()
        await client.authenticate(boris)
        event = sender.event(1059, tags=[["p", boris.pubkey]])
        await client.publish(event)
        assert (await client.ask("REQ", "x", {"kinds": [1059]}))[2].startswith("restricted:")
        assert await client.fetch({"ids": [event.id]}) == []


async def test_sealed_events_do_not_hide_the_others_behind_them(start, people):
    async with start(max_limit=3) as relay:
        client = await relay.connect()
        note = people[0].event(at=1_799_999_000)
        await client.publish(note)
        for number in range(10):
            await client.publish(people[0].event(1059, str(number), [["p", people[1].pubkey]]))
        assert await client.fetch({"limit": 1}) == [note.id]


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.text(max_size=200), min_size=1, max_size=20))
async def test_any_frames_are_survived(relay, frames):
    client = await relay.connect()
    for frame in frames:
        await client.socket.send(frame.encode("utf-8", "replace").decode())
    for _ in frames:
        assert (await client.receive())[0] in ("NOTICE", "CLOSED", "OK")
    assert await client.fetch({}) == []
    await client.socket.close()
