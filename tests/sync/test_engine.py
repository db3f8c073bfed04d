"""A node in step with relays: ours, and those that others wrote, at their stock settings."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from typing import Any

import pytest
from tests.sync.world import CRYPTO, Node, envelope, free_port, inbox_key

from volok.store.deliveries import ItemKind, MarkState, RelayFacts
from volok.sync.dialogue import InboxKey
from volok.sync.engine import RelayScope
from volok.sync.status import RelayState

ANN, BOB, CAT = inbox_key(1), inbox_key(2), inbox_key(3)


@pytest.fixture(params=["ours", "local", "local-nip42", "local-auth-dm", "nostr-relay"])
async def any_relay(request: Any, our_relay: Any, local_relay: Any) -> Any:
    """The URL of a running relay, one of each kind."""
    if request.param == "nostr-relay":
        yield request.getfixturevalue("nostr_relay_url")
        return
    running = {
        "ours": our_relay.running,
        "local": local_relay,
        "local-nip42": lambda: local_relay(nip42=True),
        "local-auth-dm": lambda: local_relay(auth_dm=True),
    }[request.param]
    async with running() as url:
        yield url


def fresh_key() -> InboxKey:
    """An inbox that no other test writes to."""
    secret = CRYPTO.random(32)
    return InboxKey(CRYPTO.public_key(secret).hex(), secret)


async def test_publish_and_live_delivery_to_two_inboxes(make_node: Any, any_relay: str) -> None:
    alice, bob, keys = make_node(), make_node(), (fresh_key(), fresh_key())
    now = int(time.time())
    events = [envelope(keys[n % 2], f"message {n}", now - n) for n in range(20)]
    async with alice.running(), bob.running():
        await bob.in_step(RelayScope(any_relay, keys))
        await alice.publish(any_relay, *events)
        received = await bob.contents(20)
        await alice.deliveries.settled()
    assert sorted(received) == sorted(event.content for event in events)
    assert len(alice.deliveries.items(MarkState.TAKEN)) == 20


async def test_a_backlog_of_many_pages(make_node: Any, any_relay: str) -> None:
    alice, bob, keys = make_node(), make_node(), (fresh_key(), fresh_key())
    now = int(time.time())
    # Several a second, so that pages end within a second.
    events = [envelope(keys[n % 2], str(n), now - n // 3) for n in range(1200)]
    async with alice.running():
        await alice.publish(any_relay, *events)
        await alice.deliveries.settled()
    report = None
    bob.engine.set_scopes([RelayScope(any_relay, keys)])
    report = await bob.engine.round(20.0)
    assert report.problems == ()
    assert report.received == 1200
    assert sorted(map(int, await bob.contents(1200))) == list(range(1200))
    assert all(bob.deliveries.cursors[any_relay, key.public] >= now for key in keys)


async def test_facts_are_learned(make_node: Any, any_relay: str, request: Any) -> None:
    kind = request.node.callspec.params["any_relay"]
    node, keys = make_node(), (fresh_key(), fresh_key())
    async with node.running():
        await node.in_step(RelayScope(any_relay, keys))
    facts = node.deliveries.known[any_relay]
    assert facts.guards_inboxes is (kind not in ("local", "nostr-relay"))
    assert (facts.keys_per_connection == 1) is (kind in ("local-nip42", "local-auth-dm"))
    if kind == "ours":
        assert facts.max_content is not None


async def test_duplicates_are_harmless(make_node: Any, any_relay: str) -> None:
    alice, bob, key = make_node(), make_node(), fresh_key()
    event = envelope(key, "once", int(time.time()))
    async with alice.running(), bob.running():
        await bob.in_step(RelayScope(any_relay, (key,)))
        await alice.publish(any_relay, event)
        await alice.deliveries.settled()
        alice.deliveries.queue(any_relay, event.id)
        await alice.deliveries.settled()
        await alice.publish(any_relay, envelope(key, "last", int(time.time())))
        assert await bob.contents(2) == ["once", "last"]
    again = await bob.engine.round(10.0)
    assert (again.received, again.problems) == (0, ())
    assert alice.deliveries.items(MarkState.TAKEN).count(event.id) == 2


async def test_a_new_inbox_joins_the_live_connection(make_node: Any, our_relay: Any) -> None:
    alice, bob = make_node(), make_node()
    async with our_relay.running() as url, alice.running(), bob.running():
        await bob.in_step(RelayScope(url, (ANN,)))
        since = bob.engine.status()[0].since
        await bob.in_step(RelayScope(url, (ANN, BOB)))
        now = int(time.time())
        await alice.publish(url, envelope(BOB, "to the new one", now), envelope(ANN, "old", now))
        assert sorted(await bob.contents(2)) == ["old", "to the new one"]
        assert bob.engine.status()[0].since == since
        await bob.in_step(RelayScope(url, (BOB,)))
        await alice.publish(url, envelope(ANN, "gone", now), envelope(BOB, "still", now))
        assert (await bob.contents(3))[2:] == ["still"]


async def test_what_is_too_large_for_nostr_relay_is_refused_once(
    make_node: Any, nostr_relay_url: str
) -> None:
    alice, bob, key = make_node(), make_node(), fresh_key()
    now, url = int(time.time()), nostr_relay_url
    big = [envelope(key, "x" * 5000, now), envelope(key, "y" * 6000, now)]
    small = [envelope(key, f"small {n}", now) for n in range(10)]
    async with alice.running(), bob.running():
        await bob.in_step(RelayScope(url, (key,)))
        await alice.publish(url, big[0], *small, big[1])
        assert sorted(await bob.contents(10)) == sorted(event.content for event in small)
        await alice.deliveries.settled()
    reasons = {mark.item: mark.reason for mark in alice.deliveries.done if mark.reason}
    assert reasons == {big[0].id: "too-large", big[1].id: "too-large"}
    assert alice.deliveries.known[url].max_content == 4999


async def test_local_relay_limits(make_node: Any, local_relay: Any) -> None:
    """Its stock settings: 60 events a minute, 65,536 bytes for an event."""
    alice, bob, key = make_node(publish_pause=0.05), make_node(), fresh_key()
    now = int(time.time())
    async with local_relay(quick=False) as url, alice.running(), bob.running():
        await bob.in_step(RelayScope(url, (key,)))
        big = envelope(key, "x" * 66_000, now)
        await alice.publish(url, big, *[envelope(key, str(n), now) for n in range(60)])
        assert sorted(map(int, await bob.contents(60))) == list(range(60))
        await alice.deliveries.settled()
    assert alice.deliveries.items(MarkState.REFUSED) == [big.id]
    assert alice.deliveries.known[url].max_content == 65_999


async def test_nothing_is_lost_when_the_relay_restarts(make_node: Any, our_relay: Any) -> None:
    alice, bob, now = make_node(), make_node(), int(time.time())
    our_relay.port = free_port()
    async with contextlib.AsyncExitStack() as stack:
        for node in (alice, bob):
            await stack.enter_async_context(node.running())
        bob.engine.set_scopes([RelayScope(f"ws://127.0.0.1:{our_relay.port}", (BOB,))])
        for part in range(3):
            async with our_relay.running() as url:
                await alice.publish(url, *[envelope(BOB, f"{part}.{n}", now) for n in range(50)])
                await bob.contents(part * 50 + 10)
            assert (await bob.contents(part * 50 + 10)) != []
            await bob.until(lambda: bob.engine.status()[0].state is not RelayState.CONNECTED)
        async with our_relay.running():
            received = await bob.contents(150)
            await alice.deliveries.settled()
    assert sorted(received) == sorted(f"{part}.{n}" for part in range(3) for n in range(50))


async def test_the_status_says_what_is_wrong(make_node: Any, our_relay: Any) -> None:
    node = make_node()
    our_relay.port = free_port()
    url = f"ws://127.0.0.1:{our_relay.port}"
    async with node.running():
        node.engine.set_scopes([RelayScope(url, (ANN,))])
        await node.until(
            lambda: any(one.state is RelayState.WAITING for one in node.engine.status())
        )
        (status,) = node.engine.status()
        assert status.problem == "Nothing answers at this relay's address."
        assert not status.in_step
        async with our_relay.running():
            await node.until(lambda: node.engine.status()[0].in_step)
            assert node.engine.status()[0].problem == ""
            assert node.engine.status()[0].state is RelayState.CONNECTED


async def test_a_round_without_and_beside_run(make_node: Any, our_relay: Any) -> None:
    alice, bob, now = make_node(), make_node(), int(time.time())
    dead = f"ws://127.0.0.1:{free_port()}"
    async with our_relay.running() as url:
        await alice.publish(url, envelope(BOB, "one", now))
        report = await alice.engine.round(10.0)
        assert (report.received, report.published, report.problems) == (0, 1, ())
        bob.engine.set_scopes([RelayScope(url, (BOB,)), RelayScope(dead, (BOB,))])
        report = await bob.engine.round(10.0)
        assert (report.received, report.published) == (1, 0)
        assert [one.url for one in report.problems] == [dead]
        async with alice.running(), bob.running():
            await alice.publish(url, envelope(BOB, "two", now))
            await alice.engine.round(10.0)
            report = await bob.engine.round(10.0)
            assert [one.url for one in report.problems] == [dead]
        assert await bob.contents(2) == ["one", "two"]


async def test_a_relay_without_an_inbox_of_ours_is_let_go(make_node: Any, our_relay: Any) -> None:
    node = make_node(idle_timeout=0.05)
    async with our_relay.running() as url, node.running():
        await node.publish(url, envelope(BOB, "hello", int(time.time())))
        await node.deliveries.settled()
        await node.until(lambda: node.engine.status() == ())
        await node.publish(url, envelope(BOB, "again", int(time.time())))
        await node.deliveries.settled()
    assert len(node.deliveries.items(MarkState.TAKEN)) == 2


async def test_a_relay_that_is_no_longer_named_is_left(make_node: Any, our_relay: Any) -> None:
    node = make_node()
    async with our_relay.running() as url, node.running():
        await node.in_step(RelayScope(url, (BOB,)))
        node.engine.set_scopes([])
        await node.until(lambda: node.engine.status() == ())


async def test_experience_outweighs_what_a_relay_says(make_node: Any, our_relay: Any) -> None:
    node = make_node()
    async with our_relay.running() as url, node.running():
        await node.deliveries.set_facts(RelayFacts(url, max_content=4999))
        await node.in_step(RelayScope(url, (BOB,)))
        await node.publish(url, envelope(BOB, "x" * 5000, int(time.time())))
        await node.deliveries.settled()
    assert node.deliveries.known[url].max_content == 4999
    assert [mark.reason for mark in node.deliveries.done] == ["too-large"]


async def test_what_is_gone_from_the_store_is_refused(make_node: Any, our_relay: Any) -> None:
    node = make_node()
    async with our_relay.running() as url, node.running():
        node.deliveries.queue(url, "0" * 64)
        await node.deliveries.settled()
    assert [(mark.state, mark.reason) for mark in node.deliveries.done] == [
        (MarkState.REFUSED, "missing")
    ]


async def queue_blob(node: Node, url: str, data: bytes) -> str:
    name, _ = await node.blobs.put(data)
    node.deliveries.queue(url, name, kind=ItemKind.BLOB)
    return name


async def test_blobs_go_up_and_down(make_node: Any, our_relay: Any) -> None:
    alice, bob = make_node(), make_node(absence_limit=0)
    data = [CRYPTO.random(300_000), CRYPTO.random(10), CRYPTO.random(70_000)]
    async with our_relay.running() as url, alice.running(), bob.running():
        names = [await queue_blob(alice, url, one) for one in data]
        await alice.deliveries.settled()
        for name, one in zip(names, data, strict=True):
            bob.deliveries.want(name, len(one), url)
        bob.deliveries.want("0" * 64, 5, url)
        bob.deliveries.want(hashlib.sha256(data[0]).hexdigest(), 300_000, url)
        async with asyncio.timeout(10):
            while any(relays for _, relays in bob.deliveries.wants.values()):
                await bob.engine.changed()
        assert [await bob.blobs.get(name) for name in names] == data
        assert bob.deliveries.wants == {"0" * 64: (5, [])}
        # What is there already is not sent again.
        alice.deliveries.queue(url, names[0], kind=ItemKind.BLOB)
        await alice.deliveries.settled()
    assert sorted(alice.deliveries.items(MarkState.TAKEN)) == sorted([*names, names[0]])
    assert alice.deliveries.known[url].blossom is True


@pytest.mark.parametrize("any_relay", ["local", "nostr-relay"], indirect=True)
async def test_a_relay_without_blossom(make_node: Any, any_relay: str) -> None:
    node = make_node()
    name, _ = await node.blobs.put(b"a file")
    async with node.running():
        await node.in_step(RelayScope(any_relay, (fresh_key(),)))
        node.deliveries.queue(any_relay, name, kind=ItemKind.BLOB)
        await node.deliveries.settled()
    assert [(mark.state, mark.reason) for mark in node.deliveries.done] == [
        (MarkState.REFUSED, "no-blossom")
    ]
    assert node.deliveries.known[any_relay].blossom is False
