"""Order, gaps and sessions, whatever the paths do to the envelopes."""

import asyncio
import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.chat.world import Person, World

from volok.chat.views import ChatError, ContactState, MessageState
from volok.model.event import Event
from volok.store.vault import Transaction


async def _post(world: World, person: Person) -> list[Event]:
    """What a person sends now, taken off their delivery log."""
    await person.chat.settle()
    return await world.collect(person)


async def _receive(world: World, person: Person, events: list[Event]) -> None:
    await world.give(person, events)
    await person.chat.settle()


async def test_one_turn_is_delayed_by_twenty(world: World) -> None:
    ana, bo = await world.person("Ana"), await world.person("Bo")
    await world.meet(ana, bo)
    late: list[Event] = []
    for turn in range(30):
        await ana.chat.send(await ana.to("Bo"), f"a{turn}")
        posted = await _post(world, ana)
        if turn == 5:
            late = posted
        else:
            await _receive(world, bo, posted)
        await bo.chat.send(await bo.to("Ana"), f"b{turn}")
        await _receive(world, ana, await _post(world, bo))
        if turn == 25:
            assert [t for t in await bo.texts("Ana") if t[0] == "a"] == [f"a{n}" for n in range(5)]
            await _receive(world, bo, late)
    await world.run()
    assert [t for t in await bo.texts("Ana") if t[0] == "a"] == [f"a{n}" for n in range(30)]
    assert [t for t in await ana.texts("Bo") if t[0] == "b"] == [f"b{n}" for n in range(30)]
    assert await ana.chat.waiting() == await bo.chat.waiting() == 0


async def test_what_relays_lost_is_asked_for_and_sent_again(world: World) -> None:
    ana, bo = await world.person("Ana"), await world.person("Bo")
    await world.meet(ana, bo)
    await ana.chat.send(await ana.to("Bo"), "lost")
    lost = await _post(world, ana)
    assert lost
    await ana.chat.send(await ana.to("Bo"), "after")
    await _receive(world, bo, await _post(world, ana))
    assert await bo.texts("Ana") == []
    world.clock.time += 60
    await world.run()
    assert await bo.texts("Ana") == ["lost", "after"]


async def test_a_frame_that_nobody_can_bring_back_does_not_block_for_ever(world: World) -> None:
    ana, bo = await world.person("Ana"), await world.person("Bo")
    await world.meet(ana, bo)
    await ana.chat.send(await ana.to("Bo"), "never comes")
    await _post(world, ana)
    await ana.vault.transact(lambda tx: tx.execute("DELETE FROM outbox WHERE type = 'text'"))
    await ana.chat.send(await ana.to("Bo"), "after")
    await _receive(world, bo, await _post(world, ana))
    for _ in range(12):
        world.clock.time += 3600
        await world.run()
    assert await bo.texts("Ana") == ["after"]
    await bo.chat.send(await bo.to("Ana"), "still here")
    await world.run()
    assert await ana.texts("Bo") == ["never comes", "after", "still here"]


async def test_no_more_than_the_window_is_under_way(world: World) -> None:
    ana, bo = await world.person("Ana"), await world.person("Bo")
    await world.meet(ana, bo)
    for n in range(1010):
        await ana.chat.send(await ana.to("Bo"), f"m{n}")
    await ana.chat.settle()
    framed = await ana.vault.read(
        lambda tx: tx.execute("SELECT count(*) FROM outbox WHERE session IS NOT NULL")
    )
    assert framed == [(1000,)]
    await world.run()
    assert await bo.texts("Ana") == [f"m{n}" for n in range(1010)]


async def test_envelopes_are_sealed_anew_before_they_expire(world: World) -> None:
    ana, bo = await world.person("Ana"), await world.person("Bo")
    await world.meet(ana, bo)
    await ana.chat.send(await ana.to("Bo"), "patient")
    first = await _post(world, ana)
    world.clock.time += 29 * 86_400
    second = await _post(world, ana)
    assert {e.id for e in first}.isdisjoint({e.id for e in second})
    await _receive(world, bo, [*second, *first])
    assert await bo.texts("Ana") == ["patient"]


async def test_a_changed_key_stops_sending_until_it_is_accepted(world: World) -> None:
    ana, bo = await world.person("Ana"), await world.person("Bo")
    await world.meet(ana, bo)
    await bo.chat.send(await bo.to("Ana"), "old key")
    await world.run()

    def another_identity(tx: Transaction) -> None:
        account = world.crypto.new_account()
        key = tx.execute("SELECT value FROM setting WHERE name = 'pickle_key'")[0][0]
        tx.execute(
            "UPDATE inbox SET account = ?, identity = ? WHERE contact IS NOT NULL",
            (account.pickle(key), account.identity_key),
        )

    await bo.vault.transact(another_identity)
    await bo.chat.restored()
    await bo.chat.send(await bo.to("Ana"), "new key")
    await world.run()
    contact = await ana.chat.find("Bo")
    assert contact.state is ContactState.KEY_CHANGED
    assert await ana.texts("Bo") == ["old key"]
    held = await ana.chat.send(contact.id, "is it you?")
    await ana.chat.settle()
    assert (await ana.chat.message(held.id)).state is MessageState.QUEUED
    await ana.chat.accept_key(contact.id)
    await world.run()
    assert await ana.texts("Bo") == ["old key", "is it you?", "new key"]
    assert not (await ana.chat.find("Bo")).verified


async def test_keys_rotate_and_old_ones_go(world: World) -> None:
    ana, bo = await world.person("Ana"), await world.person("Bo")
    await world.meet(ana, bo)
    before = await ana.chat.opening_keys()
    for week in range(8):
        world.clock.time += 7.5 * 86_400
        await world.run()
        await bo.chat.send(await bo.to("Ana"), f"week {week}")
        await world.run()
    after = await ana.chat.opening_keys()
    inbox = next(i for i, _ in after if [j for j, _ in after].count(i) > 1)
    kept = {secret for i, secret in after if i == inbox}
    # Only the key that goes with the reset key outlives its time.
    assert len(kept & {secret for _, secret in before}) == 1
    assert 2 <= len(kept) <= 6
    assert await ana.texts("Bo") == [f"week {n}" for n in range(8)]


async def test_garbage_in_an_inbox_changes_nothing(world: World) -> None:
    ana, bo = await world.person("Ana"), await world.person("Bo")
    await world.meet(ana, bo)
    await ana.chat.send(await ana.to("Bo"), "true")
    true = await _post(world, ana)
    chance = random.Random(3)
    forged = []
    for event in true:
        content = list(event.content)
        content[chance.randrange(len(content))] = "A"
        forged.append(
            Event(
                chance.randbytes(32).hex(),
                event.pubkey,
                event.created_at,
                event.kind,
                event.tags,
                "".join(content),
                event.sig,
            )
        )
    await _receive(world, bo, [*forged, *true, *forged])
    assert await bo.texts("Ana") == ["true"]


async def test_an_unknown_contact_is_a_clear_error(world: World) -> None:
    ana = await world.person("Ana")
    with pytest.raises(ChatError, match="no contact"):
        await ana.chat.find("Nobody")


@settings(max_examples=12)
@given(data=st.data())
def test_any_order_any_duplicates(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_any_order(World(Path(folder)), data))


async def _any_order(world: World, data: st.DataObject) -> None:
    ana, bo = await world.person("Ana"), await world.person("Bo")
    await world.meet(ana, bo)
    sent: dict[str, list[str]] = {"Ana": [], "Bo": []}
    under_way: list[Event] = []
    for n in range(data.draw(st.integers(4, 14))):
        who, other = (ana, bo) if data.draw(st.booleans()) else (bo, ana)
        text = f"{who.name} {n}"
        sent[who.name].append(text)
        await who.chat.send(await who.to(other.name), text)
        under_way += await _post(world, who)
        order = random.Random(data.draw(st.integers(0, 1 << 30)))
        some = order.sample(under_way, order.randint(0, len(under_way)))
        for person in (ana, bo):
            await _receive(world, person, some)
    world.publish(under_way)
    await world.run(shuffle=random.Random(data.draw(st.integers(0, 99))))
    assert [t for t in await bo.texts("Ana") if t.startswith("Ana")] == sent["Ana"]
    assert [t for t in await ana.texts("Bo") if t.startswith("Bo")] == sent["Bo"]
    await world.close()
