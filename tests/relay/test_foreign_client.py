"""The relay through a Nostr library that is not ours (nostr-sdk)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from datetime import timedelta

import nostr_sdk as sdk
import pytest
from nostr_sdk.nostr_sdk import uniffi_set_event_loop

TIMEOUT = timedelta(seconds=10)


def event(keys: sdk.Keys, kind: int, content: str, *tags: list[str]) -> sdk.Event:
    builder = sdk.EventBuilder(sdk.Kind(kind), content).tags([sdk.Tag.parse(tag) for tag in tags])
    return builder.finalize(keys)


def asked(**conditions: object) -> sdk.ReqTarget:
    return sdk.ReqTarget.auto([sdk.Filter.from_json(json.dumps(conditions))])


@pytest.fixture
async def connect(relay):
    # Its callbacks come from a thread of its own.
    uniffi_set_event_loop(asyncio.get_running_loop())
    relay.clock.now = time.time()
    url = sdk.RelayUrl.parse(relay.address.websocket_url)
    async with contextlib.AsyncExitStack() as stack:

        async def connect(keys: sdk.Keys | None = None) -> sdk.Client:
            builder = sdk.ClientBuilder()
            if keys is not None:
                builder = builder.authenticator(sdk.SignerAuthenticator(keys))
            client = builder.build()
            stack.push_async_callback(client.shutdown)
            await client.add_relay(url)
            await client.connect(and_wait=TIMEOUT)
            return client

        yield connect
    uniffi_set_event_loop(None)


async def test_publish_fetch_and_delete(connect):
    keys = sdk.Keys.generate()
    client = await connect()
    note = event(keys, 1, 'ёлка\n"quoted" \\ \x7f 🚣')
    sent = await client.send_event(note)
    assert len(sent.success) == 1
    (found,) = await client.fetch_events(asked(authors=[keys.public_key().to_hex()]), TIMEOUT)
    assert found.as_json() == note.as_json()
    await client.send_event(event(keys, 5, "", ["e", note.id().to_hex()]))
    assert await client.fetch_events(asked(ids=[note.id().to_hex()]), TIMEOUT) == []


async def test_a_live_subscription(connect):
    keys = sdk.Keys.generate()
    reader, writer = await connect(), await connect()
    notifications = reader.notifications()
    await reader.subscribe(asked(kinds=[1], authors=[keys.public_key().to_hex()]))
    note = event(keys, 1, "live")
    await writer.send_event(note)
    async with asyncio.timeout(10):
        while True:
            notification = await notifications.next()
            if notification.is_new_event():
                assert notification.event.id().to_hex() == note.id().to_hex()
                return


async def test_sealed_events_after_auth(connect):
    boris, stranger = sdk.Keys.generate(), sdk.Keys.generate()
    inbox = boris.public_key().to_hex()
    writer = await connect()
    sealed = event(sdk.Keys.generate(), 1059, "sealed", ["p", inbox])
    await writer.send_event(sealed)
    wanted = asked(kinds=[1059], **{"#p": [inbox]})
    (found,) = await (await connect(boris)).fetch_events(wanted, TIMEOUT)
    assert found.id().to_hex() == sealed.id().to_hex()
    assert await (await connect(stranger)).fetch_events(wanted, timedelta(seconds=1)) == []


async def test_search(connect):
    keys = sdk.Keys.generate()
    client = await connect()
    wanted, other = event(keys, 1, "Лодки несут по берегу"), event(keys, 1, "Телеги едут")
    for note in (wanted, other):
        await client.send_event(note)
    (found,) = await client.fetch_events(asked(search="лодки берегу", kinds=[1]), TIMEOUT)
    assert found.id().to_hex() == wanted.id().to_hex()


async def test_protected_events(connect):
    keys = sdk.Keys.generate()
    protected = event(keys, 1, "protected", ["-"])
    refused = await (await connect()).send_event(protected)
    assert not refused.success
    assert "auth-required" in str(refused.failed)
    assert len((await (await connect(keys)).send_event(protected)).success) == 1


async def test_reconciliation(connect):
    keys = sdk.Keys.generate()
    writer, reader = await connect(), await connect()
    notes = [event(keys, 1, str(number)) for number in range(5)]
    for note in notes:
        await writer.send_event(note)
    author = keys.public_key().to_hex()
    wanted = sdk.Filter.from_json(json.dumps({"kinds": [1], "authors": [author]}))
    result = await reader.sync(wanted)
    assert not result.failed
    assert not result.report.local
    for found in (result.report.remote, result.report.received):
        assert {one.to_hex() for one in found} == {note.id().to_hex() for note in notes}
