"""ip-block: listed addresses cannot be reached, in three ways."""

import pytest
from lab.censor import DROP, PASS, Verdict
from lab.censors.ip_block import IpBlock, Settings, Variant
from lab.packets import ACK, RST, SYN, Packet, Way, build_udp, parse_packet
from tests.lab.censors import ANA, BORIS, CLARA, GROUND, OTHER, RELAY, Talk, forged, tcp, udp

from lab import censor

ALL = list(Variant)


def make(variant: Variant) -> IpBlock:
    return IpBlock(Settings(variant), GROUND)


def test_drop_is_silent_both_ways() -> None:
    talk = Talk(make(Variant.DROP))
    assert [talk.syn(), talk.synack(), talk.ack(), talk.say(b"x"), talk.hear(b"y")] == [DROP] * 5


def test_refuse_answers_a_syn_as_a_closed_port_does() -> None:
    talk = Talk(make(Variant.REFUSE))
    verdict = talk.syn(seq=2**32 - 1)
    assert not verdict.passes
    (refusal,) = forged(verdict)
    assert (refusal.src, refusal.sport, refusal.dst, refusal.dport) == (RELAY, 443, ANA, 40000)
    assert (refusal.flags, refusal.ack) == (RST | ACK, 0)
    assert [talk.say(b"x"), talk.hear(b"y"), talk.synack()] == [DROP] * 3


def test_synack_comes_back_as_a_reset() -> None:
    talk = Talk(make(Variant.SYNACK))
    assert talk.syn() == PASS
    verdict = talk.synack()
    assert not verdict.passes
    (turned,) = forged(verdict)
    assert (turned.src, turned.dst, turned.flags) == (RELAY, ANA, RST | ACK)
    assert (turned.seq, turned.ack) == (talk.heard, talk.sent)
    assert [talk.ack(), talk.say(b"x"), talk.hear(b"y")] == [DROP] * 3


def test_a_connection_from_a_listed_address_does_not_come_about_either() -> None:
    client, server = (RELAY, 50000), (ANA, 80)
    assert make(Variant.DROP).see(tcp(client, server, SYN), 0) == DROP
    turning = make(Variant.SYNACK)
    assert turning.see(tcp(client, server, SYN), 0) == PASS
    (turned,) = forged(turning.see(tcp(server, client, SYN | ACK, b"", 5, 6), 0))
    assert (turned.dst, turned.flags) == (RELAY, RST | ACK)


@pytest.mark.parametrize("variant", ALL)
def test_other_protocols_vanish(variant: Variant) -> None:
    censor_ = make(variant)
    icmp = Packet(b"", Way.OUT, ANA, RELAY, 1)
    assert censor_.see(udp((ANA, 9), (RELAY, 443), b"x"), 0) == DROP
    assert censor_.see(udp((RELAY, 443), (ANA, 9), b"x"), 0) == DROP
    assert censor_.see(icmp, 0) == DROP


@pytest.mark.parametrize("variant", ALL)
def test_the_rest_passes(variant: Variant) -> None:
    censor_ = make(variant)
    talk = Talk(censor_, server=(OTHER, 443)).open()
    local = Talk(censor_, server=(BORIS, 443)).open()
    verdicts = [talk.say(b"x"), talk.hear(b"y"), local.say(b"x"), local.hear(b"y")]
    assert verdicts == [Verdict()] * 4
    abroad = parse_packet(build_udp(CLARA, 1, RELAY, 2, b"x"), Way.LOCAL)
    assert censor_.see(abroad, 0) == PASS


def test_every_variant_is_drawn() -> None:
    drawn = {censor.make("ip-block", GROUND, seed)[1]["variant"] for seed in range(30)}
    assert drawn == {variant.value for variant in ALL}
