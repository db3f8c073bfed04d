"""The profiles that look at addresses, amounts and the shape of bytes; see test_raw_probes.py."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from random import Random

import pytest
import pytest_asyncio
from lab.ground import BORIS, CLARA, RELAY1, RELAY2, WEB_ABROAD, WEB_INSIDE
from lab.services import web
from tests.lab.censors import client_hello
from tests.lab.raw import ARRIVED, OPEN, REFUSED, SILENCE, Lab, making

pytestmark = pytest.mark.asyncio(loop_scope="module")

HELLO = client_hello("www.plain.example")
ENCRYPTED = bytes([0x0F, 0xF0, 0x1B, 0xE4, 0x8D, 0xB2, 0xC3, 0x99]) * 25
"""Four set bits a byte, nothing printable in a row: as random as can be."""
INITIAL = bytes.fromhex("c30000000108") + bytes(8) + b"\0\0" + bytes(1184)
"""A QUIC Initial of version 1, padded to 1200 bytes."""
SSH = b"SSH-2.0-OpenSSH_9.2\r\n"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lab() -> AsyncIterator[Lab]:
    async with making(*web.ordinary()) as made:
        yield made


async def test_curtain_freezes_a_tls_download(lab: Lab) -> None:
    free = await lab.download(WEB_ABROAD)
    assert free[1] == web.PAGE_BYTES
    async with lab.under("curtain", counts="bytes") as drawn:
        raw, page = await lab.download(WEB_ABROAD)
        assert drawn["payload_bytes"] - 1460 < raw <= drawn["payload_bytes"]
        assert page < drawn["payload_bytes"]
        assert (await lab.download(WEB_INSIDE))[1] == web.PAGE_BYTES
        # The next connection has an account of its own.
        assert (await lab.download(WEB_ABROAD))[0] > drawn["payload_bytes"] - 1460
    assert (await lab.download(WEB_ABROAD))[1] == web.PAGE_BYTES


async def test_curtain_freezes_a_tls_download_by_packets(lab: Lab) -> None:
    async with lab.under("curtain", counts="packets") as drawn:
        raw, _ = await lab.download(WEB_ABROAD)
        assert 4 * 1448 < raw <= drawn["packets"] * 1460


async def test_curtain_counts_bytes_of_each_direction_and_never_resets(lab: Lab) -> None:
    async with lab.under("curtain", counts="bytes") as drawn:
        fits = drawn["payload_bytes"] // 1000
        async with lab.connected(RELAY2) as upload:
            assert [await upload.say(bytes(1000)) for _ in range(fits)] == [ARRIVED] * fits
            assert await upload.say(bytes(1000)) == SILENCE
            assert await upload.hear(b"too late") == SILENCE
            assert await upload.ends() == [OPEN, OPEN]
        async with lab.connected(RELAY2) as both:
            for _ in range(fits):
                assert await both.say(bytes(1000)) == ARRIVED
                assert await both.hear(bytes(1000)) == ARRIVED
            assert await both.hear(bytes(1000)) == SILENCE


async def test_curtain_counts_packets_of_both_directions(lab: Lab) -> None:
    flow = [(b"<" if number % 3 else b">") + b"small" for number in range(30)]
    assert await lab.datagrams(*flow, server=RELAY2) == [ARRIVED] * 30
    async with lab.under("curtain", counts="packets") as drawn:
        passes = drawn["packets"]
        few = flow[: passes + 2]
        assert await lab.datagrams(*few, server=RELAY2) == [ARRIVED] * passes + [SILENCE] * 2
        assert await lab.datagrams(*few, server=CLARA) == [ARRIVED] * len(few)  # no hoster's


@pytest.mark.parametrize(
    ("variant", "found"), [("drop", SILENCE), ("refuse", REFUSED), ("synack", REFUSED)]
)
async def test_ip_block_closes_listed_addresses(lab: Lab, variant: str, found: str) -> None:
    async def probe() -> list[str]:
        return [
            *[await lab.opening(RELAY1, port) for port in (443, 9000)],
            *await lab.datagrams(b"question", server=RELAY1),
        ]

    free, blocked = await lab.compare("ip-block", probe, variant=variant)
    assert free == [OPEN, OPEN, ARRIVED]
    assert blocked == [found, found, SILENCE]


async def test_ip_block_freezes_what_is_open_and_leaves_others_alone(lab: Lab) -> None:
    async with lab.connected(RELAY1) as connection:
        assert await connection.say(b"before") == ARRIVED
        async with lab.under("ip-block", variant="drop"):
            assert await connection.say(b"during") == SILENCE
            assert await connection.hear(b"during") == SILENCE
            assert await lab.opening(WEB_ABROAD, 9000) == OPEN
            assert await lab.opening(RELAY1, client=CLARA) == OPEN
            assert await lab.opening(WEB_INSIDE, 9000) == OPEN
            assert await lab.opening(BORIS) == OPEN


async def test_quic_block_drops_initials(lab: Lab) -> None:
    async def probe() -> list[str]:
        return await lab.datagrams(INITIAL, b"later", b"<later", server=RELAY2)

    free, blocked = await lab.compare("quic-block", probe, residual=0)
    assert free == [ARRIVED] * 3
    assert blocked == [SILENCE, ARRIVED, ARRIVED]
    free, blocked = await lab.compare("quic-block", probe, residual=420)
    assert free == [ARRIVED] * 3
    assert blocked == [SILENCE] * 3


async def test_quic_block_leaves_other_datagrams_alone(lab: Lab) -> None:
    async with lab.under("quic-block", residual=420, shortest=1001):
        assert await lab.datagrams(INITIAL[:900], b"later", server=RELAY2) == [ARRIVED] * 2
        assert await lab.datagrams(ENCRYPTED * 6, server=RELAY2) == [ARRIVED]
        assert await lab.datagrams(INITIAL, server=RELAY2, port=8443) == [ARRIVED]
        assert await lab.datagrams(INITIAL, server=BORIS) == [ARRIVED]
        assert await lab.first(HELLO, server=RELAY2) == ARRIVED
    async with lab.under("quic-block", shortest=1):
        assert await lab.datagrams(INITIAL[:900], server=RELAY2) == [SILENCE]


async def test_random_block_blocks_a_share_of_encrypted_openings(lab: Lab) -> None:
    async def opened(port: int) -> str:
        return await lab.first(ENCRYPTED, server=RELAY2, port=port)

    ports = range(9000, 9040)
    assert await asyncio.gather(*map(opened, ports)) == [ARRIVED] * 40
    async with lab.under("random-block"):
        found = await asyncio.gather(*(opened(port) for port in ports))
        assert set(found) == {ARRIVED, SILENCE}
        # 0.263 of 40; beyond these bounds with a probability below 0.001.
        assert 2 <= found.count(SILENCE) <= 20
        blocked, free = (9000 + found.index(word) for word in (SILENCE, ARRIVED))
        assert await lab.opening(RELAY2, blocked) == SILENCE
        assert await lab.opening(RELAY2, blocked, client=BORIS) == OPEN
        assert await lab.opening(RELAY2, free) == OPEN
    assert await opened(blocked) == ARRIVED


async def test_random_block_leaves_other_openings_alone(lab: Lab) -> None:
    printable = b"Hello!" + ENCRYPTED
    half = b"a sentence of words. " * 10 + ENCRYPTED
    few_bits = bytes([1, 3, 1, 129]) * 50
    async with lab.under("random-block"):
        for first in (HELLO, b"GET / HTTP/1.1\r\n\r\n" + ENCRYPTED, printable, half, few_bits):
            openings = (lab.first(first, server=RELAY2, port=9000 + n) for n in range(12))
            assert await asyncio.gather(*openings) == [ARRIVED] * 12
        noise = Random(1).randbytes(200)
        for _ in range(12):
            assert await lab.first(noise, server=BORIS, port=9000) == ARRIVED
            assert await lab.datagrams(noise, server=RELAY2) == [ARRIVED]


@pytest.mark.parametrize("port", [53, 80, 443])
async def test_protocol_filter_drops_the_second_packet(lab: Lab, port: int) -> None:
    async def probe() -> list[str]:
        async with lab.connected(RELAY2, port) as connection:
            return [
                await connection.say(SSH),
                await connection.hear(SSH),
                await connection.say(b"more"),
                await connection.hear(b"more"),
                *await connection.ends(),
            ]

    free, blocked = await lab.compare("protocol-filter", probe)
    assert free == [ARRIVED] * 4 + [OPEN] * 2
    assert blocked == [ARRIVED, ARRIVED, SILENCE, ARRIVED, OPEN, OPEN]


async def test_protocol_filter_leaves_three_protocols_and_other_ports_alone(lab: Lab) -> None:
    query = bytes.fromhex("001c00070100000100000000000005706c61696e076578616d706c650000010001")
    async with lab.under("protocol-filter"):
        for spoken in (HELLO, b"GET / HTTP/1.1\r\n", query):
            assert await lab.first(spoken, server=RELAY2, rounds=4) == ARRIVED
        assert await lab.first(HELLO[:4], HELLO[4:], server=RELAY2, rounds=4) == ARRIVED
        assert await lab.first(SSH, server=RELAY2, port=22, rounds=4) == ARRIVED
        assert await lab.first(SSH, server=BORIS, rounds=4) == ARRIVED
        assert await lab.first(SSH, server=BORIS, client=CLARA, rounds=4) == ARRIVED
        assert await lab.first(SSH, server=RELAY2, rounds=1) == SILENCE
        # A new connection to the same server is judged by itself.
        assert await lab.first(HELLO, server=RELAY2, rounds=4) == ARRIVED
