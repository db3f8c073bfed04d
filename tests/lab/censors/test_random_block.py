"""random-block: what begins like random bytes is blocked by lot."""

from dataclasses import replace
from random import Random

import pytest
from lab.censor import DROP, PASS
from lab.censors.random_block import RandomBlock, Settings
from lab.entropy import PUBLISHED
from tests.lab.censors import (
    ANA,
    BORIS,
    CLARA,
    FAR,
    GROUND,
    NEWS,
    OTHER,
    RELAY,
    Talk,
    client_hello,
    udp,
)

from lab import censor

SETTINGS = Settings(share=1, residual=180, rules=PUBLISHED)
FOUR_BITS = bytes([0x0F, 0xF0, 0x1B, 0xE4, 0x8D, 0xB2, 0xC3, 0x99]) * 25
"""Four bits set in every byte on average, none of it printable in a row."""
DATA = b"answer"


def make(share: float = 1) -> RandomBlock:
    return RandomBlock(replace(SETTINGS, share=share), GROUND, Random(1))


def start(censor_: RandomBlock, port: int = 40000, now: float = 0.0) -> Talk:
    return Talk(censor_, client=(ANA, port), server=(RELAY, 9000), now=now).open()


def test_the_client_falls_silent_and_the_server_is_heard() -> None:
    talk = start(make())
    at = talk.sent
    assert talk.say(FOUR_BITS) == DROP
    assert [talk.say(FOUR_BITS, seq=at), talk.ack(), talk.fin(), talk.rst()] == [DROP] * 4
    assert [talk.hear(DATA), talk.synack()] == [PASS, PASS]


@pytest.mark.parametrize(
    "payload",
    [
        bytes([0x07]) * 100,
        bytes([0xF7]) * 100,
        b"SSH-2." + FOUR_BITS,
        FOUR_BITS[:90] + b"a" * 100,
        FOUR_BITS + b"printable in a row: 1" + FOUR_BITS,
        b"\x16\x03\x01" + FOUR_BITS,
        b"\x17\x03\x09" + FOUR_BITS,
        b"POST " + FOUR_BITS,
        client_hello("any.example"),
    ],
    ids=["3 bits", "7 bits", "prefix", "half", "run", "TLS", "TLS data", "HTTP", "real TLS"],
)
def test_what_is_exempt_passes(payload: bytes) -> None:
    talk = start(make())
    assert [talk.say(payload), talk.say(FOUR_BITS), talk.hear(DATA)] == [PASS] * 3


@pytest.mark.parametrize(
    "payload",
    [
        b"SSH-2" + FOUR_BITS,
        FOUR_BITS + b"printable in a row: " + FOUR_BITS,
        b"\x15\x03\x01" + FOUR_BITS,
        b"\x16\x03\x0a" + FOUR_BITS,
        b"POST" + FOUR_BITS,
    ],
    ids=["5 printable", "20 in a row", "alert", "version", "no space"],
)
def test_what_is_just_not_exempt_is_blocked(payload: bytes) -> None:
    assert start(make()).say(payload) == DROP


def test_only_the_first_payload_counts_and_nothing_is_put_together() -> None:
    talk = start(make())
    assert talk.say(b"GET / HTTP/1.1\r\n") == PASS
    assert talk.say(FOUR_BITS) == PASS
    assert Talk(make(), server=(RELAY, 9000)).say(FOUR_BITS) == PASS


def test_the_residual_block_is_for_client_server_and_port_and_is_not_prolonged() -> None:
    censor_ = make()
    assert start(censor_).say(FOUR_BITS) == DROP
    again = Talk(censor_, client=(ANA, 40001), server=(RELAY, 9000), now=100)
    assert [again.syn(), again.say(FOUR_BITS)] == [DROP, DROP]
    for client, server in (
        ((BORIS, 40001), (RELAY, 9000)),
        ((ANA, 40001), (RELAY, 9001)),
        ((ANA, 40001), (OTHER, 9000)),
    ):
        spared = Talk(censor_, client, server, now=100).open()
        assert spared.say(b"GET / HTTP/1.1\r\n") == PASS
    late = Talk(censor_, client=(ANA, 40002), server=(RELAY, 9000), now=179.9)
    assert late.syn() == DROP
    assert start(censor_, port=40002, now=180).say(b"GET / HTTP/1.1\r\n") == PASS


def test_the_connection_itself_stays_blocked_until_its_ports_are_used_anew() -> None:
    censor_ = make()
    talk = start(censor_)
    talk.say(FOUR_BITS)
    talk.now = 1000
    assert talk.say(b"more") == DROP
    assert start(censor_, now=1001).say(b"GET / HTTP/1.1\r\n") == PASS


def test_the_rest_passes() -> None:
    censor_ = make()
    for client, server in (
        ((ANA, 40000), (NEWS, 9000)),
        ((ANA, 40000), (FAR, 9000)),
        ((CLARA, 40000), (ANA, 9000)),
    ):
        talk = Talk(censor_, client, server).open()
        assert [talk.say(FOUR_BITS), talk.hear(FOUR_BITS)] == [PASS, PASS]
    assert censor_.see(udp((ANA, 1), (RELAY, 9000), FOUR_BITS), 0) == PASS
    talk = start(censor_)
    assert [talk.hear(FOUR_BITS), talk.say(b"GET / HTTP/1.1\r\n")] == [PASS, PASS]


def test_about_every_fourth_connection_is_blocked() -> None:
    censor_ = make(share=0.263)
    blocked = sum(
        Talk(censor_, server=(RELAY, 10000 + port)).open().say(FOUR_BITS) == DROP
        for port in range(1000)
    )
    assert 200 < blocked < 330


def test_the_drawn_censor_is_the_published_one() -> None:
    made, drawn = censor.make("random-block", GROUND, 7)
    assert isinstance(made, RandomBlock)
    assert made.settings == Settings(share=0.263, residual=180, rules=PUBLISHED)
    assert drawn["residual"] == 180
