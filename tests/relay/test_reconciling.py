"""Reconciliation with a relay over real sockets (NIP-77)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.relay.conftest import NOW, Person

from volok.model.event import Event, event_id
from volok.model.filters import Filter
from volok.relay.access import Reader, Refusal
from volok.relay.metrics import Metrics
from volok.relay.outputs import Reconcile
from volok.relay.reconciling import Reconciler
from volok.relay.settings import RelaySettings
from volok.relay.snapshots import Snapshots, in_slices
from volok.store.memory_store import MemoryStore
from volok.store.store import stamp
from volok.sync.neg_messages import NegMessage, NegOpen
from volok.sync.negentropy import Initiator
from volok.sync.negentropy_records import Records, assemble


class CountingStore(MemoryStore):
    """Counts how often stamps are read."""

    reads = 0

    async def stamps(self, *given: Any) -> list[bytes]:
        self.reads += 1
        return await super().stamps(*given)


def unsigned(content: str, at: int) -> Event:
    """A note of nobody, quicker to make than a signed one."""
    author = "00" * 32
    return Event(event_id(author, at, 1, (), content), author, at, 1, (), content, "00" * 64)


OPENING = Initiator(Records.of([])).start().hex()


async def reconcile(
    client: Any, wanted: dict[str, Any], ours: Iterable[Event] = (), name: str = "n"
) -> tuple[set[str], set[str]]:
    """The ids that the client has and those that it needs, as the relay tells."""
    stamps = Records.of(stamp(event.created_at, event.id) for event in ours)
    initiator, have, need = Initiator(stamps), set(), set()
    answer = await client.ask("NEG-OPEN", name, wanted, initiator.start().hex())
    while True:
        assert answer[:2] == ["NEG-MSG", name], answer
        step = initiator.take(bytes.fromhex(answer[2]))
        have.update(one.hex() for one in step.have)
        need.update(one.hex() for one in step.need)
        if step.reply is None:
            await client.send("NEG-CLOSE", name)
            return have, need
        answer = await client.ask("NEG-MSG", name, step.reply.hex())


async def test_both_learn_what_the_other_lacks(relay, people):
    anna, boris = people[:2]
    theirs = [anna.event(content=str(n), at=1_800_000_000 + n // 3) for n in range(80)]
    ours = [*theirs[5:], *(anna.event(content=f"new {n}") for n in range(3))]
    await relay.store.add([*theirs, boris.event()], relay.clock.now)
    client = await relay.connect()
    have, need = await reconcile(client, {"authors": [anna.pubkey]}, ours)
    assert have == {event.id for event in ours[-3:]}
    assert need == {event.id for event in theirs[:5]}
    have, need = await reconcile(client, {"kinds": [1], "until": 1_800_000_003}, theirs[:12])
    assert (have, need) == (set(), {boris.event().id})
    assert relay.metrics.reconciliations == 2
    # The names of REQ and of NEG-OPEN are apart, and the connection serves both.
    assert len(await client.fetch({"kinds": [1]})) == 81


async def test_sealed_events_are_reconciled_with_their_addressee_alone(relay, people):
    anna, boris, clara, _ = people
    sealed = [anna.event(1059, tags=[["p", one.pubkey]]) for one in (boris, clara)]
    deleted = boris.event(5, tags=[["e", "00" * 32], ["k", "1059"]])
    public = [anna.event(), anna.event(5, tags=[["e", "11" * 32], ["k", "1"]])]
    await relay.store.add([*sealed, deleted, *public], relay.clock.now)
    client = await relay.connect()
    assert (await reconcile(client, {}))[1] == {event.id for event in public}
    for wanted in ({"kinds": [1059]}, {"kinds": [1, 1059], "#p": [boris.pubkey]}):
        answer = await client.ask("NEG-OPEN", "x", wanted, OPENING)
        assert answer[:2] == ["NEG-ERR", "x"]
        assert answer[2].startswith("auth-required:")
    assert (await client.authenticate(boris))[2] is True
    answer = await client.ask("NEG-OPEN", "x", {"kinds": [1059], "#p": [clara.pubkey]}, OPENING)
    assert answer[2].startswith(("auth-required:", "restricted:"))
    own = {sealed[0].id}
    assert (await reconcile(client, {"kinds": [1059], "#p": [boris.pubkey]}))[1] == own
    assert (await reconcile(client, {}))[1] == own | {deleted.id} | {event.id for event in public}


async def test_a_relay_that_asks_for_a_key_asks_here_too(start, people):
    async with start(require_auth=True) as relay:
        client = await relay.connect()
        answer = await client.ask("NEG-OPEN", "x", {}, OPENING)
        assert answer[2].startswith("auth-required:")
        await client.authenticate(people[0])
        assert await reconcile(client, {}) == (set(), set())


async def test_too_many_events_are_refused_with_the_limit(start, people):
    async with start(max_reconciled=10) as relay:
        events = [people[0].event(at=1_800_000_000 - n) for n in range(11)]
        await relay.store.add(events, relay.clock.now)
        client = await relay.connect()
        answer = await client.ask("NEG-OPEN", "x", {}, OPENING)
        assert answer[2].startswith("blocked:")
        assert answer[3] == 10
        since = {"since": 1_800_000_000 - 9}
        assert (await reconcile(client, since))[1] == {event.id for event in events[:10]}
        assert (await reconcile(client, {"limit": 2} | since))[1] == {e.id for e in events[:2]}
        # What a set that is in use takes counts for all connections.
    async with start(max_reconciled=10, max_reconciled_total=15) as relay:
        await relay.store.add(events[:10], relay.clock.now)
        client, other = await relay.connect(), await relay.connect()
        assert (await client.ask("NEG-OPEN", "x", {}, OPENING))[0] == "NEG-MSG"
        answer = await other.ask("NEG-OPEN", "x", {"kinds": [1]}, OPENING)
        assert answer[:2] == ["NEG-ERR", "x"]
        assert answer[2].startswith("rate-limited:")
        assert (await other.ask("NEG-OPEN", "x", {}, OPENING))[0] == "NEG-MSG"
        await client.send("NEG-CLOSE", "x")
        assert await client.fetch({"ids": ["00" * 32]}) == []
        await other.send("NEG-CLOSE", "x")
        assert len((await reconcile(other, {"kinds": [1]}))[1]) == 10


@pytest.mark.own_time
async def test_a_silent_client_is_told_that_it_is_over(start):
    async with start(reconciliation_seconds=0.05) as relay:
        client = await relay.connect()
        assert (await client.ask("NEG-OPEN", "x", {}, OPENING))[0] == "NEG-MSG"
        assert (await client.receive()) == ["NEG-ERR", "x", "closed: you took too long"]
        answer = await client.ask("NEG-MSG", "x", "61")
        assert answer[:2] == ["NEG-ERR", "x"]
        assert answer[2].startswith("closed:")
        # Closing what is not open is no mistake.
        await client.send("NEG-CLOSE", "x")
        assert await client.fetch({}) == []


async def test_reconciliations_of_one_connection_have_a_limit(start):
    async with start(max_reconciliations=2) as relay:
        client = await relay.connect()
        for name in ("a", "b", "a"):
            assert (await client.ask("NEG-OPEN", name, {}, OPENING))[0] == "NEG-MSG"
        answer = await client.ask("NEG-OPEN", "c", {}, OPENING)
        assert answer[:2] == ["NEG-ERR", "c"]
        assert answer[2].startswith("rate-limited:")
        await client.send("NEG-CLOSE", "b")
        assert (await client.ask("NEG-OPEN", "c", {}, OPENING))[0] == "NEG-MSG"


async def test_reconciliation_can_be_switched_off(start):
    async with start(max_reconciled=0) as relay:
        client = await relay.connect()
        answer = await client.ask("NEG-OPEN", "x", {}, OPENING)
        assert answer[:2] == ["NEG-ERR", "x"]
        assert answer[2].startswith("unsupported:")


@pytest.mark.parametrize(
    "message",
    [
        ["NEG-OPEN", "x", {}, "zz"],
        ["NEG-OPEN", "x", {}, "6 1"],
        ["NEG-OPEN", "x", {}],
        ["NEG-OPEN", "x", {"kinds": 1}, OPENING],
        ["NEG-OPEN", "x", {}, "00"],
        ["NEG-OPEN", "x", {}, "6100"],
        ["NEG-MSG", "x", ""],
        ["NEG-MSG", "x", [1]],
    ],
)
async def test_malformed_messages_are_answered(relay, message):
    client = await relay.connect()
    answer = await client.ask(*message)
    assert answer[:2] == ["NEG-ERR", "x"]
    assert answer[2].startswith("invalid:")
    assert await reconcile(client, {}) == (set(), set())


async def test_another_version_is_answered_with_ours(relay):
    client = await relay.connect()
    assert await client.ask("NEG-OPEN", "x", {}, "62aabb") == ["NEG-MSG", "x", "61"]
    assert (await client.ask("NEG-OPEN", "x", {}, OPENING))[0] == "NEG-MSG"


async def test_frames_out_of_turn_end_it():
    sent: list[str] = []

    async def room() -> None:
        pass

    config, reader = RelaySettings(), Reader(frozenset(), True)
    snapshots = Snapshots(MemoryStore(), config, lambda: NOW)
    reconciler = Reconciler(snapshots, config, Metrics(), sent.append, room)
    opening = NegOpen("x", Filter(), bytes.fromhex(OPENING))
    reconciler.take(Reconcile(opening, (Filter(),)), reader)
    reconciler.take(Reconcile(NegMessage("x", b"a")), reader)
    assert [json.loads(text)[:2] for text in sent] == [["NEG-ERR", "x"]]
    assert "wait for the answer" in sent.pop()
    reconciler.take(Reconcile(NegMessage("x", b"a")), reader)
    assert "no such reconciliation" in sent.pop()
    await asyncio.sleep(0)
    assert sent == []
    assert snapshots.records == 0


async def test_a_client_that_leaves_frees_what_it_held(start, people):
    async with start(max_reconciled_total=3) as relay:
        await relay.store.add([people[n].event() for n in range(3)], relay.clock.now)
        for _ in range(3):
            client = await relay.connect()
            assert (await client.ask("NEG-OPEN", "x", {"kinds": [1]}, OPENING))[0] == "NEG-MSG"
            await client.socket.close()
        other = await relay.connect()
        async with asyncio.timeout(10):
            while (await other.ask("NEG-OPEN", "x", {}, OPENING))[0] == "NEG-ERR":
                await asyncio.sleep(0)


SEALED = st.sampled_from(["1059", "1060", "21059", "1", "5"])
PEOPLE = [Person(bytes([number]) * 32) for number in range(1, 4)]
KEYS = st.sets(st.sampled_from([person.pubkey for person in PEOPLE]))
events = st.builds(
    lambda author, to, kind, sealed, age: author.event(
        kind, tags=[["p", to.pubkey], ["k", sealed]], at=NOW - age
    ),
    st.sampled_from(PEOPLE),
    st.sampled_from(PEOPLE),
    st.sampled_from([1, 5, 1059, 1060]),
    SEALED,
    st.integers(0, 5),
)
filters = st.builds(
    lambda kinds, authors, named, since: Filter(
        kinds=kinds, authors=authors, since=since, tags={} if named is None else {"k": named}
    ),
    st.none() | st.frozensets(st.sampled_from([1, 5, 1059])),
    st.none() | st.builds(frozenset, KEYS),
    st.none() | st.frozensets(SEALED, max_size=2),
    st.none() | st.just(NOW - 2),
)


@settings(deadline=None)
@given(st.lists(events, max_size=12), filters, KEYS, st.booleans())
async def test_nobody_learns_an_id_that_a_request_would_not_give(
    given_events, wanted, keys, sealed
):
    store, reader = MemoryStore(), Reader(keys, sealed)
    await store.add(given_events, NOW)
    here = [entry.event for entry in await store.query([Filter()], 100, NOW)]
    permitted = reader.permitted([wanted])
    if isinstance(permitted, Refusal):
        return
    async with Snapshots(store, RelaySettings(), lambda: NOW).hold(
        permitted, reader.visibility
    ) as records:
        assert records.packed == b"".join(
            sorted(
                stamp(event.created_at, event.id)
                for event in here
                if reader.may_see(event) and any(one.matches(event) for one in permitted)
            )
        )


async def test_a_large_set_is_kept_and_gets_what_is_new(people):
    """And what a reader may not see does not come in that way."""
    anna, boris = people[:2]
    store, seen = CountingStore(), Reader(frozenset(), True).visibility
    many = [unsigned(content=str(n), at=NOW - n) for n in range(10_000)]
    await store.add(many, NOW)
    snapshots = Snapshots(store, RelaySettings(), lambda: NOW)

    async def ids() -> int:
        async with snapshots.hold((Filter(),), seen) as records:
            return len(records)

    assert await ids() == await ids() == 10_000
    assert store.reads == 1
    await store.add([anna.event(), boris.event(1059, tags=[["p", anna.pubkey]])], NOW)
    assert await asyncio.gather(ids(), ids()) == [10_001, 10_001]
    assert (store.reads, snapshots.records) == (1, 10_001)
    snapshots = Snapshots(store, RelaySettings(reconciled_seconds=0.01), lambda: NOW)
    assert await ids() == 10_001
    async with asyncio.timeout(10):
        while snapshots.records:
            await asyncio.sleep(0.01)
    assert await ids() == 10_001
    assert store.reads == 3


async def test_those_who_ask_the_same_at_once_share_one_reading(people):
    store, seen = CountingStore(), Reader(frozenset(), True).visibility
    await store.add([people[0].event()], NOW)
    snapshots = Snapshots(store, RelaySettings(), lambda: NOW)
    inside = asyncio.Event()

    async def hold() -> int:
        async with snapshots.hold((Filter(),), seen) as records:
            if store.reads == 1:
                await inside.wait()
            return len(records)

    tasks = [asyncio.create_task(hold()) for _ in range(5)]
    while snapshots.records == 0:
        await asyncio.sleep(0)
    inside.set()
    assert await asyncio.gather(*tasks) == [1] * 5
    assert (store.reads, snapshots.records) == (1, 0)


async def test_a_large_set_is_made_in_slices():
    """Others get their turn while a set is made."""
    store = MemoryStore()
    await store.add([unsigned(content=str(n), at=NOW - n) for n in range(30_000)], NOW)
    runs = await store.stamps([Filter()], 30_000, NOW)
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(others())
    halves = [runs[0][: len(runs[0]) // 2], runs[0]]
    records = await in_slices(assemble(halves))
    task.cancel()
    assert len(records) == 30_000
    assert turns > 3
