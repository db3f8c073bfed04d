"""Reconciliation with the relay by a client that is not ours (nostr-sdk, NIP-77)."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta

import nostr_sdk as sdk
import pytest
from nostr_sdk.nostr_sdk import uniffi_set_event_loop

TIMEOUT = timedelta(seconds=20)


class Shelf(sdk.NostrDatabase):
    """A database for the client: the one that comes with it keeps no events."""

    def __init__(self) -> None:
        self.events: dict[str, sdk.Event] = {}

    def backend(self) -> str:
        return "test"

    def features(self) -> sdk.NostrDatabaseFeatures:
        return sdk.NostrDatabaseFeatures(
            persistent=False,
            event_expiration=False,
            full_text_search=False,
            request_to_vanish=False,
        )

    async def save_event(self, event: sdk.Event) -> sdk.SaveEventStatus:
        self.events[event.id().to_hex()] = event
        return sdk.SaveEventStatus.success()

    async def check_id(self, event_id: sdk.EventId) -> sdk.DatabaseEventStatus:
        here = event_id.to_hex() in self.events
        known = sdk.DatabaseEventStatus
        return known.SAVED if here else known.NOT_EXISTENT

    async def event_by_id(self, event_id: sdk.EventId) -> sdk.Event | None:
        return self.events.get(event_id.to_hex())

    async def query(self, _filter: sdk.Filter) -> list[sdk.Event]:
        return list(self.events.values())

    async def count(self, _filter: sdk.Filter) -> int:
        return len(self.events)


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
async def client(relay, shelf):
    # Its callbacks come from a thread of its own.
    uniffi_set_event_loop(asyncio.get_running_loop())
    relay.clock.now = time.time()
    client = sdk.ClientBuilder().database(shelf).build()
    await client.add_relay(sdk.RelayUrl.parse(relay.address.websocket_url))
    await client.connect(and_wait=TIMEOUT)
    yield client
    await client.shutdown()
    uniffi_set_event_loop(None)


async def test_nostr_sdk_brings_both_sides_to_the_same(relay, client, shelf, people):
    now = int(time.time())
    events = [people[0].event(content=str(n), at=now - n) for n in range(120)]
    await relay.store.add(events[:100], now)
    theirs = [sdk.Event.from_json(event.to_json().decode()) for event in events[30:]]
    for event in theirs:
        await shelf.save_event(event)
    wanted = sdk.Filter().author(sdk.PublicKey.parse(people[0].pubkey))
    options = sdk.SyncOptions().direction(sdk.SyncDirection.BOTH)
    async with asyncio.timeout(60):
        told = await client.sync(wanted, opts=options)
    assert told.failed == {}
    assert {one.to_hex() for one in told.report.received} == {e.id for e in events[:30]}
    assert {one.to_hex() for one in told.report.sent} == {e.id for e in events[100:]}
    assert not any(told.report.send_failures.values())
    assert shelf.events.keys() == {event.id for event in events}
    asker = await relay.connect()
    assert set(await asker.fetch({"authors": [people[0].pubkey]})) == {e.id for e in events}
    assert relay.metrics.reconciliations == 1
