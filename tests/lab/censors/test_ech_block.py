"""ech-block: a known outer name together with the ECH extension."""

from dataclasses import replace

import pytest
from lab.censor import DROP, PASS
from lab.censors.ech_block import EchBlock, Settings
from lab.censors.sni_rst import Depth
from lab.tls import Hello, HelloReader
from tests.lab.censors import (
    ANA,
    BORIS,
    CLARA,
    GROUND,
    LISTED,
    OTHER,
    UNLISTED,
    Talk,
    client_hello,
    cut_records,
    udp,
    with_ech,
)

from lab import censor

OUTER = "cloudflare-ech.com"
SETTINGS = Settings(outer_name=OUTER, depth=Depth.RECORDS)
BAD = with_ech(client_hello(OUTER))
DATA = b"\x17\x03\x03\x00\x05hello"


def make(depth: Depth = Depth.RECORDS) -> EchBlock:
    return EchBlock(replace(SETTINGS, depth=depth), GROUND)


def start(censor_: EchBlock, port: int = 40000) -> Talk:
    return Talk(censor_, client=(ANA, port), server=(OTHER, 443)).open()


def test_the_hello_of_these_tests_is_what_it_should_be() -> None:
    reader = HelloReader()
    reader.add(BAD)
    assert isinstance(reader.result, Hello)
    assert reader.result.whole
    assert (reader.result.name, reader.result.has_ech) == (OUTER, True)


@pytest.mark.parametrize("name", [OUTER, LISTED])
def test_name_and_extension_together_are_dropped_silently(name: str) -> None:
    talk = start(make())
    at = talk.sent
    hello = with_ech(client_hello(name))
    assert talk.say(hello) == DROP
    verdicts = [talk.say(hello, seq=at), talk.hear(DATA), talk.ack(), talk.fin()]
    assert verdicts == [DROP] * 4


@pytest.mark.parametrize(
    "hello",
    [
        client_hello(OUTER),
        client_hello(LISTED),
        with_ech(client_hello(UNLISTED)),
        with_ech(client_hello(None)),
        b"GET / HTTP/1.1\r\n\r\n",
    ],
    ids=["name alone", "listed name alone", "extension alone", "no name", "HTTP"],
)
def test_one_of_both_passes(hello: bytes) -> None:
    talk = start(make())
    assert [talk.say(hello), talk.hear(DATA), talk.say(DATA)] == [PASS] * 3


def test_the_verdict_holds_until_a_new_syn_and_for_this_connection_alone() -> None:
    censor_ = make()
    talk = start(censor_)
    talk.say(BAD)
    talk.now = 3600
    assert talk.say(DATA) == DROP
    assert start(censor_, port=40001).say(client_hello(OUTER)) == PASS
    assert start(censor_).say(client_hello(OUTER)) == PASS


@pytest.mark.parametrize(
    ("depth", "segments", "records"),
    [(Depth.SEGMENT, True, True), (Depth.STREAM, False, True), (Depth.RECORDS, False, False)],
)
def test_what_is_cut_passes_who_does_not_put_it_together(
    depth: Depth, segments: bool, records: bool
) -> None:
    talk = start(make(depth))
    talk.say(BAD[:60])
    assert (talk.say(BAD[60:]) == PASS) == segments
    talk = start(make(depth))
    assert (talk.say(cut_records(BAD, 60)) == PASS) == records


def test_local_traffic_and_what_comes_in_passes() -> None:
    censor_ = make()
    assert Talk(censor_, server=(BORIS, 443)).open().say(BAD) == PASS
    assert Talk(censor_, client=(CLARA, 40000), server=(ANA, 443)).open().say(BAD) == PASS
    assert censor_.see(udp((ANA, 1), (OTHER, 443), BAD), 0) == PASS


def test_drawn_parameters_block_a_whole_hello() -> None:
    for seed in range(10):
        made, _ = censor.make("ech-block", GROUND, seed)
        assert Talk(made).open().say(BAD) == DROP
    assert not censor.profile("ech-block").observable
