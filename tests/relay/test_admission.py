"""Budgets of connections and addresses, and the work that is asked under load."""

from __future__ import annotations

import asyncio
import gc
import json

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from volok.relay.admission import (
    SALT_SECONDS,
    Admission,
    Budget,
    Effort,
    forwarded_address,
    network_of,
)
from volok.relay.settings import RelaySettings


def salts():
    """Counts the salts that were taken."""
    taken: list[bytes] = []

    def random(count: int) -> bytes:
        taken.append(bytes([len(taken)]) * count)
        return taken[-1]

    return taken, random


@given(
    st.floats(0.1, 1000),
    st.floats(1, 1000),
    st.lists(st.tuples(st.floats(-5, 5), st.floats(0, 50)), max_size=60),
)
def test_nobody_gets_more_than_the_burst_and_the_rate(rate, burst, steps) -> None:
    now = latest = 1000.0
    budget, spent = Budget(rate, burst, now), 0.0
    for pause, amount in steps:
        now += pause
        latest = max(latest, now)
        spent += amount if budget.spend(amount, now) else 0.0
    # A clock that goes to and fro gives at most the way forward; one thing may go over.
    forward = sum(max(pause, 0) for pause, _ in steps)
    most = max((amount for _, amount in steps), default=0.0)
    assert spent <= burst + forward * rate + most + 1e-6


def test_a_budget_fills_again() -> None:
    budget = Budget(2, 2, 0)
    assert [budget.spend(1, 0) for _ in range(3)] == [True, True, False]
    assert [budget.spend(1, 1) for _ in range(3)] == [True, True, False]
    assert all(Budget(0, 1, 0).spend(10**9, 0) for _ in range(10))


def test_work_rises_while_events_wait_and_falls_slowly() -> None:
    effort = Effort(most=7, bearable=2.0)
    effort.look(waiting=100, settled=1000, seconds=1.0)
    assert effort.difficulty == 0
    seen = []
    for _ in range(5):
        effort.look(waiting=5000, settled=1000, seconds=1.0)
        seen.append(effort.difficulty)
    assert seen == [2, 4, 6, 7, 7]
    for _ in range(9):
        effort.look(waiting=0, settled=10, seconds=1.0)
    effort.look(waiting=1500, settled=1000, seconds=1.0)  # neither loaded nor calm
    assert effort.difficulty == 7
    for _ in range(70):
        effort.look(waiting=0, settled=0, seconds=1.0)
    assert effort.difficulty == 0


def test_work_that_never_rises() -> None:
    effort = Effort(most=0, bearable=1.0)
    effort.look(waiting=10**6, settled=0, seconds=1.0)
    assert effort.difficulty == 0


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("203.0.113.7", bytes([203, 0, 113, 7])),
        ("::ffff:203.0.113.7", bytes([203, 0, 113, 7])),
        ("2001:db8:1:2::3", bytes.fromhex("20010db800010002")),
        ("[2001:db8:1:2:ffff::9]", bytes.fromhex("20010db800010002")),
        ("127.0.0.1", None),
        ("::1", None),
        ("", None),
        ("unknown", None),
    ],
)
def test_which_addresses_are_one(address: str, name: bytes | None) -> None:
    assert network_of(address) == name


def test_the_address_that_our_own_proxy_saw() -> None:
    assert forwarded_address("10.0.0.1, 203.0.113.7") == "203.0.113.7"
    assert forwarded_address("") == ""


def test_connections_of_one_address() -> None:
    _, random = salts()
    admission = Admission(RelaySettings(address_connections=2), random)
    first = admission.arrive("203.0.113.7", 0)
    assert first is not None
    assert admission.arrive("203.0.113.7", 1)
    assert admission.arrive("203.0.113.7", 2) is None
    assert admission.arrive("203.0.113.8", 2)
    assert all(admission.arrive("127.0.0.1", 2) for _ in range(9))
    first.leave()
    assert admission.arrive("203.0.113.7", 3)


def test_the_salt_is_thrown_away_every_hour_with_all_that_was_counted() -> None:
    taken, random = salts()
    admission = Admission(RelaySettings(address_connections=1), random)
    assert admission.arrive("203.0.113.7", 0)
    assert admission.arrive("203.0.113.7", SALT_SECONDS - 1) is None
    assert len(taken) == 1
    assert admission.arrive("203.0.113.7", SALT_SECONDS)
    assert len(taken) == 2
    assert admission.arrive("203.0.113.7", 5)  # a clock that was set back
    assert len(taken) == 3


def test_memory_for_addresses_is_bounded(monkeypatch) -> None:
    monkeypatch.setattr("volok.relay.admission._MOST_NEIGHBOURS", 50)
    _, random = salts()
    admission = Admission(RelaySettings(address_connections=1), random)
    assert admission.arrive("203.0.113.7", 0)
    for number in range(1000):
        visit = admission.arrive(f"2001:db8:{number:x}::1", 0)
        assert visit is not None
        visit.leave()
    assert len(admission._neighbours) <= 50
    assert admission.arrive("203.0.113.7", 0) is None  # who is here is not forgotten


def test_no_address_is_kept_even_in_memory() -> None:
    admission = Admission(
        RelaySettings(address_connections=9), lambda count: bytes(count - 1) + b"x"
    )
    visit = admission.arrive("203.0.113.77", 0)
    gc.collect()
    kept = repr(gc.get_referents(admission, *gc.get_referents(admission), visit))
    assert "203.0.113.77" not in kept
    assert repr(bytes([203, 0, 113, 77]))[2:-1] not in kept


async def test_a_connection_beyond_its_budget_is_told_and_not_closed(start, people) -> None:
    async with start(events_per_second=1.0, events_burst=3) as relay:
        client = await relay.connect()
        answers = [await client.publish(people[0].event(1, str(n))) for n in range(5)]
        assert [answer[2] for answer in answers] == [True] * 3 + [False] * 2
        assert answers[4][3].startswith("rate-limited: ")
        assert relay.metrics.events_limited == 2
        other = await relay.connect()
        assert (await other.publish(people[1].event()))[2]
        relay.clock.now += 10
        assert (await client.publish(people[0].event(1, "later")))[2]


async def test_requests_beyond_the_budget_are_closed(start) -> None:
    async with start(requests_per_second=1.0, requests_burst=2) as relay:
        client = await relay.connect()
        for name in "ab":
            assert await client.ask("REQ", name, {"kinds": [1]}) == ["EOSE", name]
        answer = await client.ask("REQ", "b", {"kinds": [1]})
        assert answer[:2] == ["CLOSED", "b"]
        assert answer[2].startswith("rate-limited: ")
        await client.send("CLOSE", "a")
        relay.clock.now += 5
        assert await client.ask("REQ", "c", {"kinds": [1]}) == ["EOSE", "c"]


async def test_bytes_beyond_the_budget_are_refused(start, people) -> None:
    async with start(bytes_per_second=10.0, bytes_burst=1000) as relay:
        client = await relay.connect()
        assert (await client.publish(people[0].event(1, "x" * 2000)))[2]
        answer = await client.publish(people[0].event(1, "y"))
        assert (answer[2], answer[3].partition(":")[0]) == (False, "rate-limited")


async def test_addresses_behind_a_proxy_of_our_own(start) -> None:
    async with start(address_connections=1, forwarded_addresses=True) as relay:
        mine = {"X-Forwarded-For": "198.51.100.1, 203.0.113.7"}
        await relay.connect(additional_headers=mine)
        with pytest.raises(Exception, match="403"):
            await relay.connect(additional_headers=mine)
        await relay.connect(additional_headers={"X-Forwarded-For": "203.0.113.8"})


async def test_work_is_asked_of_public_events_and_not_of_sealed_ones(
    start, people, monkeypatch
) -> None:
    monkeypatch.setattr("volok.relay.asgi._LOOK_SECONDS", 0.01)
    async with start(max_pow_difficulty=8, max_pending=2000, bearable_seconds=0.5) as relay:
        add, open_again = relay.store.add, asyncio.Event()

        async def slow(*arguments):
            await open_again.wait()
            return await add(*arguments)

        monkeypatch.setattr(relay.store, "add", slow)
        busy, client = await relay.connect(), await relay.connect()
        for number in range(600):
            await busy.send("EVENT", json.loads(people[0].event(1, str(number)).to_json()))
        async with asyncio.timeout(10):
            while relay.metrics.work_asked < 8:
                await asyncio.sleep(0.01)
        answer = await client.publish(people[1].event(1, "no work"))
        assert answer[2] is False
        assert answer[3].startswith("pow: ")
        assert (await _limitation(relay))["min_pow_difficulty"] == 8
        open_again.set()
        taken = [(await busy.receive())[2] for _ in range(600)]
        assert any(taken)  # those that came before work was asked for
        sealed = people[1].event(1059, "sealed", [["p", people[2].pubkey]])
        assert (await client.publish(sealed))[2]
        assert (await client.publish(people[1].event(5, "", [["e", sealed.id]])))[2]
        assert (await client.publish(await asyncio.to_thread(_mined, people[1], 8)))[2]


async def _limitation(relay):
    async with httpx.AsyncClient() as http:
        headers = {"Accept": "application/nostr+json"}
        return (await http.get(relay.address.http_url, headers=headers)).json()["limitation"]


def _mined(person, bits):
    number = 0
    while True:
        event = person.event(1, "work", [["nonce", str(number), str(bits)]])
        if int(event.id, 16) >> (256 - bits) == 0:
            return event
        number += 1
