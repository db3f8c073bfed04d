"""sni-rst: a ClientHello with a listed name ends its connection, in several ways."""

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lab.censor import DROP, PASS, Verdict
from lab.censors.sni_rst import Depth, Settings, SniRst, Variant
from lab.packets import SEQUENCE, SYN
from tests.lab.censors import (
    ANA,
    BORIS,
    CLARA,
    GROUND,
    LISTED,
    OTHER,
    RELAY,
    UNLISTED,
    Talk,
    client_hello,
    cut_records,
    forged,
    tcp,
    udp,
)

from lab import censor

SETTINGS = Settings(
    variant=Variant.RESET,
    depth=Depth.SEGMENT,
    only_https=False,
    late_packets=5,
    residual=0,
    residual_share=1,
)
BAD, GOOD, NAMELESS = client_hello(LISTED), client_hello(UNLISTED), client_hello(None)
DATA = b"\x17\x03\x03\x00\x05hello"
VARIANTS, DEPTHS = list(Variant), list(Depth)


def make(**changes: object) -> SniRst:
    return SniRst(replace(SETTINGS, **changes), GROUND, Random(1))  # type: ignore[arg-type]


def is_reset(verdict: Verdict) -> bool:
    """Whether a packet was dropped and both ends got an RST."""
    resets = forged(verdict)
    return not verdict.passes and {item.dst for item in resets} == {ANA, RELAY}


def blocks(censor_: SniRst, *pieces: bytes) -> bool:
    """Whether a client gets all its first bytes and an answer through, piece by piece."""
    talk = Talk(censor_).open()
    verdicts = [talk.say(piece) for piece in pieces] + [talk.hear(DATA) for _ in range(20)]
    return any(not verdict.passes for verdict in verdicts)


def test_reset_tells_both_ends_with_numbers_that_they_believe() -> None:
    talk = Talk(make(), sent=SEQUENCE - 100).open()
    at = talk.sent % SEQUENCE
    verdict = talk.say(BAD)
    assert is_reset(verdict)
    to_client, to_server = sorted(forged(verdict), key=lambda item: item.dst != ANA)
    assert [to_client.rst, to_server.rst] == [True, True]
    assert (to_client.src, to_client.sport, to_client.dport) == (RELAY, 443, 40000)
    assert (to_client.seq, to_server.seq) == (talk.heard, at)


def test_after_a_reset_all_payload_is_reset_both_ways() -> None:
    talk = Talk(make()).open()
    start = talk.sent
    talk.say(BAD)
    assert is_reset(talk.say(BAD, seq=start))
    assert is_reset(talk.say(GOOD))
    assert is_reset(talk.hear(DATA))
    assert [talk.ack(), talk.fin()] == [PASS, PASS]


def test_drop_is_silent_both_ways() -> None:
    talk = Talk(make(variant=Variant.DROP)).open()
    start = talk.sent
    assert talk.say(BAD) == DROP
    verdicts = [talk.say(BAD, seq=start), talk.hear(DATA), talk.ack(), talk.synack(), talk.fin()]
    assert verdicts == [DROP] * 5


@pytest.mark.parametrize("packets", range(5, 9))
def test_late_lets_a_few_packets_pass_counted_both_ways(packets: int) -> None:
    talk = Talk(make(variant=Variant.LATE, late_packets=packets)).open()
    verdicts = [talk.say(BAD)]
    for turn in range(packets + 3):
        verdicts.append(talk.hear(DATA) if turn % 2 else talk.say(DATA))
    assert verdicts == [PASS] * (1 + packets) + [DROP] * 3


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_verdict_holds_until_a_new_syn(variant: Variant) -> None:
    censor_ = make(variant=variant)
    assert blocks(censor_, BAD)
    late = Talk(censor_, now=3600)
    late.say(DATA)
    assert not late.say(DATA).passes
    fresh = Talk(censor_, now=3600, sent=77000).open()
    assert [fresh.say(GOOD), fresh.hear(DATA)] == [PASS, PASS]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("depth", DEPTHS)
def test_the_rest_passes(variant: Variant, depth: Depth) -> None:
    censor_ = make(variant=variant, depth=depth)
    assert not blocks(censor_, GOOD)
    assert not blocks(censor_, NAMELESS)
    assert not blocks(censor_, b"GET / HTTP/1.1\r\nHost: relay1.example\r\n\r\n", BAD)
    local = Talk(censor_, server=(BORIS, 443)).open()
    assert [local.say(BAD), local.hear(DATA)] == [PASS, PASS]
    coming_in = Talk(censor_, client=(CLARA, 40000), server=(ANA, 443)).open()
    assert [coming_in.say(BAD), coming_in.hear(DATA)] == [PASS, PASS]
    unseen = Talk(censor_, client=(ANA, 40001))
    assert [unseen.say(BAD), unseen.hear(DATA)] == [PASS, PASS]
    assert censor_.see(udp((ANA, 1), (RELAY, 443), BAD), 0) == PASS


def test_names_below_a_listed_one_are_listed() -> None:
    assert blocks(make(), client_hello("cdn." + LISTED))
    assert not blocks(make(), client_hello("my" + LISTED))


def test_only_the_connection_itself_is_blocked() -> None:
    censor_ = make()
    assert blocks(censor_, BAD)
    for client, server in (((ANA, 40001), (RELAY, 443)), ((BORIS, 40000), (RELAY, 443))):
        talk = Talk(censor_, client, server).open()
        assert [talk.say(GOOD), talk.hear(DATA)] == [PASS, PASS]


def test_other_ports_are_looked_at_by_some_only() -> None:
    for only_https in (False, True):
        talk = Talk(make(only_https=only_https), server=(RELAY, 8443)).open()
        assert talk.say(BAD).passes == only_https


BEFORE_THE_NAME = BAD.index(LISTED.encode()) + 3
IN_TWO_SEGMENTS = (BAD[:BEFORE_THE_NAME], BAD[BEFORE_THE_NAME:])
IN_TWO_RECORDS = cut_records(BAD, BEFORE_THE_NAME - 5)
IN_BOTH = (IN_TWO_RECORDS[:BEFORE_THE_NAME], IN_TWO_RECORDS[BEFORE_THE_NAME:])


@pytest.mark.parametrize(
    ("depth", "whole", "segments", "records", "both"),
    [
        (Depth.SEGMENT, True, False, False, False),
        (Depth.STREAM, True, True, False, False),
        (Depth.RECORDS, True, True, True, True),
    ],
)
@pytest.mark.parametrize("variant", VARIANTS)
def test_what_is_cut_passes_who_does_not_put_it_together(
    variant: Variant, depth: Depth, whole: bool, segments: bool, records: bool, both: bool
) -> None:
    assert blocks(make(variant=variant, depth=depth), BAD) == whole
    assert blocks(make(variant=variant, depth=depth), *IN_TWO_SEGMENTS) == segments
    assert blocks(make(variant=variant, depth=depth), IN_TWO_RECORDS) == records
    assert blocks(make(variant=variant, depth=depth), *IN_BOTH) == both


def test_segments_are_put_in_order() -> None:
    talk = Talk(make(depth=Depth.STREAM), sent=SEQUENCE - 50).open()
    start = talk.sent
    first, second = IN_TWO_SEGMENTS
    assert talk.say(second, seq=start + len(first)) == PASS
    assert talk.say(second, seq=start + len(first)) == PASS
    assert is_reset(talk.say(first, seq=start))


def test_a_hello_that_comes_in_the_syn_is_read() -> None:
    talk = Talk(make())
    packet = tcp(talk.client, talk.server, SYN, BAD, seq=SEQUENCE - 1)
    assert is_reset(talk.see(packet))
    halves = Talk(make(depth=Depth.STREAM), sent=0)
    first, second = IN_TWO_SEGMENTS
    assert halves.see(tcp(halves.client, halves.server, SYN, first, seq=SEQUENCE - 1)) == PASS
    assert is_reset(halves.say(second, seq=len(first)))


@pytest.mark.parametrize("variant", VARIANTS)
def test_residual_time_blocks_the_server_for_that_client_and_then_ends(variant: Variant) -> None:
    censor_ = make(variant=variant, residual=90)
    assert blocks(censor_, BAD)

    again = Talk(censor_, client=(ANA, 40001), now=89.9)
    opened = [again.syn(), again.synack(), again.ack()]
    if variant is Variant.RESET:
        assert opened == [PASS] * 3
        assert is_reset(again.say(GOOD))
    else:
        assert opened == [DROP] * 3

    spared = [
        Talk(censor_, client=(BORIS, 40001), now=10),
        Talk(censor_, client=(ANA, 40002), server=(OTHER, 443), now=10),
        Talk(censor_, client=(ANA, 40002), server=(RELAY, 8443), now=10),
        Talk(censor_, client=(ANA, 40003), now=90),
    ]
    for talk in spared:
        talk.open()
        assert [talk.say(GOOD), talk.hear(DATA)] == [PASS, PASS]


def test_trying_again_does_not_prolong_residual_time_but_the_name_does() -> None:
    censor_ = make(residual=90, residual_share=0)
    assert is_reset(Talk(censor_).open().say(BAD))
    assert is_reset(Talk(censor_, client=(ANA, 40001), now=60).open().say(BAD))
    strict = SniRst(replace(SETTINGS, residual=90), GROUND, Random(1))
    assert is_reset(Talk(strict).open().say(BAD))
    assert is_reset(Talk(strict, client=(ANA, 40001), now=60).open().say(BAD))
    assert Talk(strict, client=(ANA, 40002), now=90).open().say(GOOD) == PASS


def test_a_repeated_syn_draws_no_second_lot() -> None:
    censor_ = make(variant=Variant.DROP, residual=90, residual_share=0.5)
    assert blocks(censor_, BAD)
    dropped = 0
    for port in range(200):
        talk = Talk(censor_, client=(ANA, 41000 + port), now=10, sent=500)
        if talk.syn() == DROP:
            dropped += 1
            assert [talk.syn(seq=500) for _ in range(6)] == [DROP] * 6
    assert 60 < dropped < 140


@given(st.lists(st.binary(min_size=1, max_size=80), max_size=6), st.sampled_from(DEPTHS))
def test_garbage_passes(pieces: list[bytes], depth: Depth) -> None:
    talk = Talk(make(depth=depth)).open()
    assert all(talk.say(piece) == PASS for piece in pieces)


def test_drawn_parameters_cover_all_variants_and_block_a_plain_hello() -> None:
    seen = set()
    for seed in range(60):
        made, drawn = censor.make("sni-rst", GROUND, seed)
        assert isinstance(made, SniRst)
        assert blocks(made, BAD)
        assert 5 <= made.settings.late_packets <= 8
        seen.add((drawn["variant"], drawn["depth"]))
    assert len(seen) == len(VARIANTS) * len(DEPTHS)
