"""Contacts tell each other of relays: how many, to whom, and what becomes of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.chat.world import PROMPT, Person, World

from volok.chat.content import MAX_RELAY_HINTS, Hints, parse_content
from volok.chat.hints import POOL_SECONDS, Heard, Share, for_contact, in_order, pool
from volok.chat.payload import InvalidPayload
from volok.chat.records import put_out
from volok.chat.settings import ChatSettings
from volok.chat.views import ChatError, Outgoing
from volok.model.hints import Hint
from volok.store.deliveries import ItemKind

SETTINGS = ChatSettings()
NOW = 1_800_000_000
DAY = 86_400
RELAYS = [f"wss://relay-{n}.example" for n in range(40)]


def shared(number: int) -> list[Share]:
    return [Share(Hint("relay", url), (), None, False) for url in RELAYS[:number]]


def tell(shares: list[Share], contact: int, secret: bytes, now: int) -> tuple[str, ...]:
    """Tell one contact, and remember it in the shares."""
    told = for_contact(shares, f"c{contact}", bytes([contact]) * 16, secret, now, SETTINGS)
    shares[:] = [
        replace(s, told_at=now) if s.hint.place in told and s.told_at is None else s for s in shares
    ]
    return told


@given(
    number=st.integers(0, 40),
    identities=st.lists(st.integers(0, 200), max_size=60),
    secret=st.binary(min_size=32, max_size=32),
)
def test_many_identities_learn_no_more_than_the_pool(
    number: int, identities: list[int], secret: bytes
) -> None:
    shares = shared(number)
    learned: set[str] = set()
    for contact in identities:
        told = tell(shares, contact, secret, NOW)
        assert len(told) == min(SETTINGS.hints_told, number)
        # Asking again reveals nothing more.
        assert tell(shares, contact, secret, NOW) == told
        learned |= set(told)
    assert len(learned) <= min(SETTINGS.hints_pool, number)


@given(
    steps=st.lists(
        st.tuples(st.integers(0, 200), st.integers(0, 20 * DAY), st.integers(0, 39)), max_size=60
    ),
    secret=st.binary(min_size=32, max_size=32),
)
def test_whoever_stays_learns_no_more_than_the_pool_in_thirty_days(
    steps: list[tuple[int, int, int]], secret: bytes
) -> None:
    """Also when the owner takes relays back and shares them again, which makes room for others."""
    shares, now, first_known = shared(40), NOW, dict[str, int]()
    for contact, pause, turned in steps:
        now += pause
        shares[turned] = replace(shares[turned], ended=not shares[turned].ended)
        told = tell(shares, contact, secret, now)
        assert len(told) <= SETTINGS.hints_told
        for place in told:
            first_known.setdefault(place, now)
        window = [at for at in first_known.values() if at > now - POOL_SECONDS]
        assert len(window) <= SETTINGS.hints_pool
        assert len(pool(shares, secret, now, SETTINGS)) <= SETTINGS.hints_pool


def test_different_contacts_get_different_parts() -> None:
    shares = shared(20)
    parts = {tell(shares, contact, b"s" * 32, NOW) for contact in range(30)}
    assert len(parts) > 5


@given(st.permutations(range(6)), st.integers(1, 5))
def test_the_order_of_trying_is_the_same_for_whoever_heard_the_same(
    places: list[int], split: int
) -> None:
    def heard(contact: str, some: list[int]) -> list[Heard]:
        return [Heard(contact, Hint("relay", RELAYS[n]), NOW, False) for n in some]

    one = in_order(heard("x", places), ())
    assert one == in_order(heard("y", sorted(places)), ())
    # Whoever tells many does not push out what others tell: each has one of the first two.
    mixed = in_order([*heard("x", places[:split]), *heard("y", places[split:])], ())
    assert len({RELAYS[n] for n in places[:split]}.intersection(mixed[:2])) == 1
    assert in_order(heard("x", places), one[:2]) == one[2:]


async def pass_days(world: World, days: int) -> None:
    """Let time pass as it does for people who are there every few days."""
    for _ in range(0, days, 4):
        world.clock.time += 4 * DAY
        await world.run()


async def told(person: Person) -> list[str]:
    return [hint.place for hint in await person.chat.hints.heard()]


async def test_a_shared_relay_is_told_and_taken_back(world: World) -> None:
    ana, bo = await world.person("Ana"), await world.person("Bo")
    await world.meet(ana, bo)
    assert await ana.chat.hints.share("WSS://Spare.Example:443/") == "wss://spare.example"
    await world.run()
    (view,) = await bo.chat.hints.heard()
    assert (view.place, view.told_by) == ("wss://spare.example", ("Ana",))
    assert not any((view.used, view.works, view.own))
    assert [each.told for each in await ana.chat.hints.shared()] == [True]
    # It is known, and nothing is done with it.
    assert all("wss://spare.example" not in scope.relays for scope in await bo.chat.scopes())
    await ana.chat.hints.unshare("wss://spare.example")
    await world.run()
    assert await told(bo) == []
    assert await ana.chat.hints.shared() == []


async def test_somebody_who_comes_later_is_told_too(world: World) -> None:
    ana = await world.person("Ana")
    await ana.chat.hints.share("wss://spare.example")
    bo = await world.person("Bo")
    await world.meet(ana, bo)
    await world.run()
    assert await told(bo) == ["wss://spare.example"]


async def test_what_was_heard_is_not_passed_on(world: World) -> None:
    ana, bo, clara = [await world.person(name) for name in ("Ana", "Bo", "Clara")]
    await world.meet(ana, bo)
    await world.meet(bo, clara)
    await ana.chat.hints.share("wss://spare.example")
    await world.run()
    with pytest.raises(ChatError, match="from a contact"):
        await bo.chat.hints.share("wss://spare.example")
    assert await told(clara) == []
    # The person may make it their own, and then decides.
    await bo.chat.hints.keep("wss://spare.example")
    assert "wss://spare.example" in await bo.chat.relays()
    await bo.chat.hints.share("wss://spare.example")
    await world.run()
    assert await told(clara) == ["wss://spare.example"]


async def test_a_mail_address_is_for_those_who_are_named(world: World) -> None:
    ana, bo, clara = [await world.person(name) for name in ("Ana", "Bo", "Clara")]
    await world.meet(ana, bo)
    await world.meet(ana, clara)
    with pytest.raises(ChatError, match="names you"):
        await ana.chat.hints.share("mailto:ana@mail.example")
    await ana.chat.hints.share("mailto:ana@mail.example", [await ana.to("Bo")])
    await world.run()
    assert [(h.kind, h.place) for h in await bo.chat.hints.heard()] == [
        ("mail", "mailto:ana@mail.example")
    ]
    assert await told(clara) == []


async def test_what_was_for_somebody_who_is_forgotten_is_for_nobody(world: World) -> None:
    ana, bo, clara = [await world.person(name) for name in ("Ana", "Bo", "Clara")]
    await world.meet(ana, bo)
    await world.meet(ana, clara)
    only_bo = [await ana.to("Bo")]
    await ana.chat.hints.share(RELAYS[0], only_bo)
    await ana.chat.hints.share(RELAYS[1], [*only_bo, await ana.to("Clara")])
    await world.run()
    await ana.chat.forget(only_bo[0])
    await ana.chat.hints.share(RELAYS[2])
    await world.run()
    assert [each.place for each in await ana.chat.hints.shared()] == RELAYS[1:3]
    assert set(await told(clara)) == set(RELAYS[1:3])


@pytest.mark.parametrize("place", ["wss://192.168.1.1", "wss://u:p@x.example", "carrier pigeon"])
async def test_what_cannot_be_shared(world: World, place: str) -> None:
    ana = await world.person("Ana")
    with pytest.raises(ChatError):
        await ana.chat.hints.share(place)


async def test_unknown_contacts_and_places(world: World) -> None:
    ana = await world.person("Ana")
    with pytest.raises(ChatError):
        await ana.chat.hints.share("wss://spare.example", ["nobody"])
    for refused in (ana.chat.hints.unshare, ana.chat.hints.keep, ana.chat.hints.remove):
        with pytest.raises(ChatError):
            await refused("wss://spare.example")


async def send_raw(world: World, person: Person, who: str, places: object) -> None:
    """Send a content of hints as a changed program would."""
    contact = await person.to(who)
    body = {"type": "hints", "places": places}
    await person.vault.transact(
        lambda tx: put_out(tx, contact, world.crypto.random(16), body, int(world.clock() * 1000))
    )
    await world.run()


async def test_a_hostile_contact_fills_nothing_and_reaches_nothing(world: World) -> None:
    ana, bo = await world.person("Ana"), await world.person("Bo")
    await world.meet(ana, bo)
    local = ["wss://127.0.0.1:22", "wss://[::1]", "wss://router", "ws://x.example", 7, None, {}]
    await send_raw(world, ana, "Bo", [*local, *RELAYS[:20]])
    assert len(await told(bo)) == MAX_RELAY_HINTS
    for nonsense in ("wss://x.example", 5, [["a"]], ["wss://x.example"] * 33):
        await send_raw(world, ana, "Bo", nonsense)
    await ana.chat.send(await ana.to("Bo"), "still here")
    await world.run()
    assert await bo.texts("Ana") == ["still here"]


async def test_an_older_set_that_comes_late_changes_nothing(world: World) -> None:
    ana, bo = await world.person("Ana"), await world.person("Bo")
    await world.meet(ana, bo)
    await send_raw(world, ana, "Bo", RELAYS[:1])
    contact = await ana.to("Bo")
    body = {"type": "hints", "places": RELAYS[1:2]}
    await ana.vault.transact(lambda tx: put_out(tx, contact, world.crypto.random(16), body, 1))
    await world.run()
    assert await told(bo) == RELAYS[:1]


async def test_no_more_than_so_many_are_kept_in_all(world: World) -> None:
    bo = await world.person("Bo", settings=replace(PROMPT, hints_kept=4))
    for number, name in enumerate(("Ana", "Clara")):
        one = await world.person(name)
        await world.meet(one, bo)
        await send_raw(world, one, "Bo", RELAYS[number * 3 : number * 3 + 3])
    assert len(await told(bo)) == 4
    assert set(RELAYS[:3]) < set(await told(bo))


async def test_it_is_forgotten_unless_it_is_told_again(world: World) -> None:
    ana, bo = await world.person("Ana"), await world.person("Bo")
    await world.meet(ana, bo)
    await ana.chat.hints.share(RELAYS[0])
    await world.run()
    (before,) = await bo.chat.hints.heard()
    await pass_days(world, 32)
    (after,) = await bo.chat.hints.heard()
    assert after.until > before.until + 30 * DAY * 1000
    world.people.remove(ana)
    world.clock.time += 91 * DAY
    assert await told(bo) == []
    await ana.close()


async def test_removed_and_switched_off(world: World) -> None:
    ana, bo = await world.person("Ana"), await world.person("Bo")
    await world.meet(ana, bo)
    await ana.chat.hints.share(RELAYS[0])
    await ana.chat.hints.share(RELAYS[1])
    await world.run()
    await bo.chat.hints.remove(RELAYS[0])
    assert await told(bo) == [RELAYS[1]]
    before = {hint.place: hint.until for hint in await bo.chat.hints.heard()}
    await pass_days(world, 32)
    (hint,) = await bo.chat.hints.heard()  # it was told again
    assert hint.place == RELAYS[1]
    assert hint.until > before[RELAYS[1]]
    assert (await bo.chat.hints.last_resort()).candidates == (RELAYS[1],)
    await bo.chat.hints.switch(False)
    assert not await bo.chat.hints.is_on()
    assert (await bo.chat.hints.last_resort()).candidates == ()
    await bo.chat.hints.try_relays(RELAYS[:2])
    assert (await bo.chat.hints.last_resort()).used == ()


async def reading_at(person: Person) -> set[str]:
    return {relay for scope in await person.chat.scopes() for relay in scope.relays}


async def test_used_then_told_then_left(world: World) -> None:
    ana, bo, clara = [await world.person(name) for name in ("Ana", "Bo", "Clara")]
    for one, other in ((clara, ana), (clara, bo), (ana, bo)):
        await world.meet(one, other)
    await clara.chat.hints.share(RELAYS[0])
    await world.run()
    own = await ana.chat.relays()
    await ana.chat.hints.try_relays([RELAYS[0], RELAYS[5]])
    assert await reading_at(ana) == {*own, RELAYS[0]}
    assert await ana.chat.relays() == own
    await ana.chat.settle()
    await ana.chat.send(await ana.to("Bo"), "before it was reached")
    await ana.chat.settle()
    assert await ana.deliveries.pending(RELAYS[0], 10) == []

    await ana.chat.hints.reached(RELAYS[0], own)
    # What waits for Bo, whose relays are gone as ours are, goes there as well, files included.
    await ana.chat.send(await ana.to("Bo"), "and a file", [Outgoing("a.txt", "text/plain", b"x")])
    await ana.chat.settle()
    queued = await ana.deliveries.pending(RELAYS[0], 100)
    assert {ItemKind.EVENT, ItemKind.BLOB} == {delivery.kind for delivery in queued}
    assert len(queued) >= 4
    await world.run()
    contact = await bo.to("Ana")
    relays_of = await bo.vault.read(
        lambda tx: tx.execute("SELECT url FROM contact_relay WHERE contact = ?", (contact,))
    )
    assert {url for (url,) in relays_of} == {*own, RELAYS[0]}

    await ana.chat.hints.end()
    assert await reading_at(ana) == set(own)
    await world.run()
    relays_of = await bo.vault.read(
        lambda tx: tx.execute("SELECT url FROM contact_relay WHERE contact = ?", (contact,))
    )
    assert {url for (url,) in relays_of} == set(own)
    assert await bo.texts("Ana") == ["before it was reached", "and a file"]


@pytest.mark.parametrize("how", ["block", "forget", "unshare"])
async def test_whoever_told_it_is_gone_and_so_is_its_use(world: World, how: str) -> None:
    ana, bo = await world.person("Ana"), await world.person("Bo")
    await world.meet(ana, bo)
    await bo.chat.hints.share(RELAYS[0])
    await world.run()
    await ana.chat.hints.try_relays(RELAYS[:1])
    await ana.chat.hints.reached(RELAYS[0], ())
    assert RELAYS[0] in await reading_at(ana)
    if how == "block":
        await ana.chat.block(await ana.to("Bo"), True)
    elif how == "forget":
        await ana.chat.forget(await ana.to("Bo"))
    else:
        await bo.chat.hints.unshare(RELAYS[0])
    await world.run()
    assert RELAYS[0] not in await reading_at(ana)
    rows = await ana.vault.read(lambda tx: tx.execute("SELECT url FROM hint_use"))
    assert rows == []


async def test_an_invite_is_not_answered_at_a_heard_relay(world: World) -> None:
    ana, bo = await world.person("Ana"), await world.person("Bo")
    await world.meet(ana, bo)
    await bo.chat.hints.share(RELAYS[0])
    await world.run()
    await ana.chat.hints.try_relays(RELAYS[:1])
    await ana.chat.hints.reached(RELAYS[0], ())
    invite = await ana.chat.invite()
    assert RELAYS[0].removeprefix("wss://") not in invite.link
    read_there = [scope for scope in await ana.chat.scopes() if RELAYS[0] in scope.relays]
    assert len(read_there) == len(await ana.chat.contacts())


def test_the_content() -> None:
    body = {"type": "hints", "places": ["wss://a.example", "wss://127.0.0.1", "new:kind"]}
    assert parse_content(body) == Hints((Hint("relay", "wss://a.example"),))
    assert parse_content({"type": "hints"}) == Hints(())
    with pytest.raises(InvalidPayload):
        parse_content({"type": "hints", "places": "wss://a.example"})
