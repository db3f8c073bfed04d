"""The profiles that look at names, in the DNS and in TLS; see test_raw_probes.py."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from random import Random

import pytest
import pytest_asyncio
from lab.censors.dns_poison import FORGED_A
from lab.ground import (
    ANA,
    BORIS,
    CLARA,
    MAIL_INSIDE,
    NAMES_ABROAD,
    RELAY1,
    RELAY2,
    RESOLVER,
    WEB_ABROAD,
    WEB_INSIDE,
    Host,
)
from lab.services import names
from tests.lab.censors import client_hello, cut_records, with_ech
from tests.lab.raw import ARRIVED, OPEN, PATIENCE, QUIET, RESET, SILENCE, Lab, carry, making

from lab import dns, probes

pytestmark = pytest.mark.asyncio(loop_scope="module")

LISTED, PLAIN = client_hello("relay1.example"), client_hello("www.plain.example")
DOMESTIC = client_hello("news.inside.example")
_INSIDE_THE_NAME = LISTED.index(b"relay1.example") + 3
SEGMENTS = (LISTED[:_INSIDE_THE_NAME], LISTED[_INSIDE_THE_NAME:])
"""The listed hello in two TCP segments."""
RECORDS = cut_records(LISTED, _INSIDE_THE_NAME - 5)
"""The listed hello in two TLS records."""
SHAPES = {"whole": (LISTED,), "segments": SEGMENTS, "records": (RECORDS,)}
CAUGHT = {
    "segment": {"whole"},
    "stream": {"whole", "segments"},
    "records": {"whole", "segments", "records"},
}
"""The shapes that each depth of reading catches."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lab() -> AsyncIterator[Lab]:
    async with making(*names.ordinary()) as made:
        yield made


async def test_dns_poison_answers_first_for_listed_names(lab: Lab) -> None:
    async def probe() -> list[tuple[str, ...]]:
        return [
            addresses
            for server in (RESOLVER, NAMES_ABROAD)
            for _, addresses in await lab.ask(server, "relay1.example")
        ]

    free, poisoned = await lab.compare("dns-poison", probe)
    assert free == [(RELAY1.address,)] * 2
    assert {address for addresses in poisoned for address in addresses} <= set(FORGED_A)
    assert len(poisoned) == 2


async def test_dns_poison_lets_the_true_answer_follow(lab: Lab) -> None:
    async with lab.under("dns-poison", forgers=3) as drawn:
        *forged, (late, last) = await lab.ask(NAMES_ABROAD, "relay1.example", 4)
        assert len(forged) == 3
        assert {address for _, addresses in forged for address in addresses} <= set(FORGED_A)
        assert last == (RELAY1.address,)
        assert late >= drawn["head_start"] > max(after for after, _ in forged)


async def test_dns_poison_leaves_other_names_alone(lab: Lab) -> None:
    async with lab.under("dns-poison", resets_tcp=True):
        for server in (RESOLVER, NAMES_ABROAD):
            plain = await lab.ask(server, "www.plain.example")
            assert [answer for _, answer in plain] == [(WEB_ABROAD.address,)]
        domestic = await lab.ask(RESOLVER, "news.inside.example")
        assert [answer for _, answer in domestic] == [(WEB_INSIDE.address,)]
        query = dns.build_query(7, "relay1.example")
        assert await lab.datagrams(query, server=RELAY2, port=5353) == [ARRIVED]


async def test_dns_poison_resets_questions_over_tcp(lab: Lab) -> None:
    def framed(name: str) -> bytes:
        query = dns.build_query(7, name)
        return len(query).to_bytes(2, "big") + query

    async def probe() -> list[str]:
        names = ("relay1.example", "www.plain.example")
        return [await lab.first(framed(name), server=RELAY2, port=53) for name in names]

    for resets, found in ((True, RESET), (False, ARRIVED)):
        free, poisoned = await lab.compare("dns-poison", probe, resets_tcp=resets)
        assert free == [ARRIVED, ARRIVED]
        assert poisoned == [found, ARRIVED]


@pytest.mark.parametrize("depth", CAUGHT)
@pytest.mark.parametrize(("variant", "found"), [("reset", RESET), ("drop", SILENCE)])
async def test_sni_rst_stops_listed_names(lab: Lab, variant: str, found: str, depth: str) -> None:
    async def probe() -> dict[str, str]:
        shapes = {name: lab.first(*shape, server=RELAY1) for name, shape in SHAPES.items()}
        return dict(zip(shapes, [await tried for tried in shapes.values()], strict=True))

    free, stopped = await lab.compare("sni-rst", probe, variant=variant, depth=depth, residual=0)
    assert set(free.values()) == {ARRIVED}
    assert {name for name, word in stopped.items() if word == found} == CAUGHT[depth]
    assert {word for name, word in stopped.items() if name not in CAUGHT[depth]} <= {ARRIVED}


async def test_sni_rst_resets_both_ends_or_none(lab: Lab) -> None:
    for variant, found in (("reset", RESET), ("drop", OPEN)):
        async with lab.under("sni-rst", variant=variant), lab.connected(RELAY1) as connection:
            connection.client.send(LISTED)
            patience = PATIENCE if found == RESET else QUIET
            assert await connection.ends(patience) == [found, found]


async def test_sni_rst_cuts_off_late(lab: Lab) -> None:
    async with lab.under("sni-rst", variant="late", residual=0) as drawn:
        async with lab.connected(RELAY1) as connection:
            assert await connection.say(LISTED) == ARRIVED
            passed = 0
            while (found := await connection.hear(b"answer")) == ARRIVED:
                passed += 1
            assert found == SILENCE
            # An acknowledgement for each counts, too.
            assert 1 <= passed <= drawn["late_packets"]
            assert await connection.say(b"more") == SILENCE
        assert await lab.first(PLAIN, server=RELAY1, rounds=8) == ARRIVED


async def test_sni_rst_leaves_others_alone(lab: Lab) -> None:
    async with (
        lab.connected(RELAY1) as old,
        lab.under("sni-rst", variant="reset", depth="records", only_https=True),
    ):
        assert await old.say(LISTED) == ARRIVED  # its SYN was not seen
        assert await lab.first(PLAIN, server=RELAY1, rounds=4) == ARRIVED
        assert await lab.first(client_hello(None), server=RELAY1, rounds=4) == ARRIVED
        assert await lab.first(LISTED, server=RELAY1, port=8443) == ARRIVED
        assert await lab.first(LISTED, server=BORIS) == ARRIVED
        assert await lab.first(LISTED, server=BORIS, client=CLARA) == ARRIVED
    async with lab.under("sni-rst", variant="reset", only_https=False):
        assert await lab.first(LISTED, server=RELAY1, port=8443) == RESET


async def test_sni_rst_has_a_residual_block(lab: Lab) -> None:
    async with lab.under("sni-rst", variant="reset", residual=lambda seconds: seconds > 0):
        assert await lab.first(LISTED, server=RELAY1) == RESET
        after = [await lab.first(PLAIN, server=RELAY1) for _ in range(24)]
        assert set(after) == {RESET, ARRIVED}
        # Between 0.5 and 0.75 of them; beyond these bounds with a probability below 0.001.
        assert 4 <= after.count(RESET) <= 23
        assert await lab.opening(RELAY1) == OPEN
        for _ in range(6):
            assert await lab.first(PLAIN, server=RELAY2) == ARRIVED
            assert await lab.first(PLAIN, server=RELAY1, port=8443) == ARRIVED
            assert await lab.first(PLAIN, server=RELAY1, client=BORIS) == ARRIVED


async def test_ech_block_drops_a_known_name_with_ech(lab: Lab) -> None:
    hellos = {
        "listed with ECH": with_ech(LISTED),
        "provider with ECH": with_ech(client_hello("cloudflare-ech.com")),
        "listed": LISTED,
        "provider": client_hello("cloudflare-ech.com"),
        "plain with ECH": with_ech(PLAIN),
    }

    async def probe() -> dict[str, str]:
        return {name: await lab.first(hello, server=RELAY1) for name, hello in hellos.items()}

    free, blocked = await lab.compare("ech-block", probe)
    assert set(free.values()) == {ARRIVED}
    dropped = {name for name, found in blocked.items() if found == SILENCE}
    assert dropped == {"listed with ECH", "provider with ECH"}
    assert {blocked[name] for name in hellos.keys() - dropped} == {ARRIVED}
    async with lab.under("ech-block"), lab.connected(RELAY1) as connection:
        connection.client.send(with_ech(LISTED))
        assert await connection.ends() == [OPEN, OPEN]


async def test_throttle_polices_listed_names_both_ways(lab: Lab) -> None:
    amount = 40_000

    async def seconds(sender: socket.socket, receiver: socket.socket) -> float:
        began = time.monotonic()
        assert await asyncio.wait_for(carry(sender, receiver, (bytes(amount),)), 20) == ARRIVED
        return time.monotonic() - began

    async def both_ways(hello: bytes) -> list[float]:
        async with lab.connected(RELAY1) as one, lab.connected(RELAY1) as other:
            assert [await one.say(hello), await other.say(hello)] == [ARRIVED] * 2
            return list(await asyncio.gather(seconds(*one.both), seconds(*other.both[::-1])))

    async with lab.under("throttle", burst_bytes=lambda size: size < 20_000) as drawn:
        least = (amount - drawn["burst_bytes"]) / (drawn["kilobits_per_second"] * 125)
        assert max(await both_ways(PLAIN)) < least
        assert min(await both_ways(LISTED)) > least
    assert max(await both_ways(LISTED)) < least


async def test_throttle_looks_at_whole_hellos_from_inside(lab: Lab) -> None:
    async def quick(*hello: bytes, server: Host = RELAY1, client: Host = ANA) -> bool:
        async with lab.connected(server, client=client) as connection:
            assert await connection.say(*hello) == ARRIVED
            return await connection.hear(bytes(60_000)) == ARRIVED

    async with lab.under("throttle"):
        assert not await quick(LISTED)
        assert await quick(*SEGMENTS)
        assert await quick(RECORDS)
        assert await quick(bytes(200), LISTED)
        assert await quick(LISTED, server=BORIS)
        assert await quick(LISTED, server=BORIS, client=CLARA)


@pytest.mark.parametrize("list_of", ["names", "addresses", "both"])
async def test_whitelist_lets_pass_what_is_listed_alone(lab: Lab, list_of: str) -> None:
    hellos = {"listed": DOMESTIC, "plain": PLAIN, "nameless": client_hello(None), "none": b"EHLO"}

    async def probe() -> set[str]:
        words = {name: await lab.first(hello, server=RELAY2) for name, hello in hellos.items()}
        assert set(words.values()) <= {ARRIVED, SILENCE}
        return {name for name, word in words.items() if word == ARRIVED}

    free, passing = await lab.compare("whitelist", probe, list_of=list_of)
    assert free == hellos.keys()
    # No foreign address is listed.
    assert passing == ({"listed"} if list_of == "names" else set())


async def test_whitelist_opens_connections_and_spares_the_country(lab: Lab) -> None:
    async with lab.under("whitelist"):
        assert await lab.opening(RELAY1) == OPEN
        async with lab.connected(RELAY1) as connection:
            assert await connection.hear(b"the server speaks first") == SILENCE
        assert await lab.ask(NAMES_ABROAD, "www.plain.example", patience=QUIET) == []
        assert await lab.ask(RESOLVER, "www.plain.example", patience=QUIET) == []
        assert len(await lab.ask(RESOLVER, "news.inside.example")) == 1
        assert await lab.first(b"anything", server=WEB_INSIDE) == ARRIVED
        assert await lab.datagrams(b"anything", server=BORIS) == [ARRIVED]
        assert await lab.first(b"EHLO", server=CLARA, port=25, client=MAIL_INSIDE) == ARRIVED
        assert await lab.first(b"EHLO", server=MAIL_INSIDE, port=25, client=CLARA) == ARRIVED


async def test_parallel_ban_drops_the_fourth_handshake(lab: Lab) -> None:
    async def probe() -> list[str]:
        return [await lab.first(PLAIN, server=RELAY2) for _ in range(5)]

    free, banned = await lab.compare("parallel-ban", probe)
    assert free == [ARRIVED] * 5
    assert banned == [ARRIVED] * 3 + [SILENCE] * 2


async def test_parallel_ban_is_for_one_name_and_client_and_spares_old_connections(
    lab: Lab,
) -> None:
    async with lab.under("parallel-ban"):
        async with lab.connected(RELAY2) as old:
            assert await old.say(PLAIN) == ARRIVED
            assert [await lab.first(PLAIN, server=RELAY2) for _ in range(2)] == [ARRIVED] * 2
            assert await lab.first(PLAIN, server=RELAY2) == SILENCE
            assert await old.say(b"still here") == ARRIVED
        assert await lab.first(LISTED, server=RELAY2) == ARRIVED
        assert await lab.first(PLAIN, server=RELAY2, client=BORIS) == ARRIVED
        assert await lab.first(b"no hello", server=RELAY2) == ARRIVED
        assert await lab.first(PLAIN, server=RELAY2) == SILENCE


async def test_parallel_ban_leaves_other_handshakes_alone(lab: Lab) -> None:
    plain = probes.client_hello("www.plain.example", Random(1))
    async with lab.under("parallel-ban"):
        for _ in range(6):
            assert await lab.first(plain, server=RELAY2) == ARRIVED
            assert await lab.first(DOMESTIC, server=WEB_INSIDE) == ARRIVED
        for _ in range(4):  # one after the other, farther apart than counts
            assert await lab.first(PLAIN, server=RELAY2) == ARRIVED
            await asyncio.sleep(0.41)
