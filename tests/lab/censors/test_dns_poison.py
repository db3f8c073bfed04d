"""dns-poison: the forged answer comes first, the true one follows."""

from ipaddress import IPv6Address, IPv6Network
from random import Random

import pytest
from lab.censor import PASS, Verdict
from lab.censors.dns_poison import DnsPoison, Settings, is_listed
from lab.packets import PSH, Packet
from tests.lab.censors import ANA, GROUND, LISTED, NEWS, OTHER, UNLISTED, forged, tcp, udp

from lab import censor, dns

SETTINGS = Settings(head_start=0.1, forgers=2, ttl=120, resets_tcp=True)
CLIENT, SERVER = (ANA, 5353), (OTHER, 53)


def make(settings: Settings = SETTINGS) -> DnsPoison:
    return DnsPoison(settings, GROUND, Random(1))


def asks(name: str, kind: int = dns.A, server: tuple[str, int] = SERVER) -> Packet:
    return udp(CLIENT, server, dns.build_query(77, name, kind))


@pytest.mark.parametrize("name", [LISTED, "a.b." + LISTED, LISTED.upper()])
def test_a_listed_name_gets_forged_answers_first_and_the_query_goes_on(name: str) -> None:
    verdict = make().see(asks(name), 0)

    assert verdict.passes
    assert verdict.delay == 0.1
    answers = forged(verdict)
    assert len(answers) == 2
    for packet in answers:
        assert (packet.src, packet.sport, packet.dst, packet.dport) == (*SERVER, *CLIENT)
        answer = dns.parse_answer(packet.payload)
        assert answer is not None
        assert (answer.id, answer.name, answer.code) == (77, name.lower(), 0)
        assert len(answer.addresses) == 1
    assert len({packet.payload for packet in answers}) == 2


def test_the_letters_of_the_question_come_back_as_they_were_sent() -> None:
    verdict = make().see(asks("ReLaY1.eXaMpLe"), 0)
    assert b"\x06ReLaY1\x07eXaMpLe" in forged(verdict)[0].payload


def test_an_address_of_version_6_is_forged_into_the_teredo_network() -> None:
    answer = dns.parse_answer(forged(make().see(asks(LISTED, dns.AAAA), 0))[0].payload)
    assert answer is not None
    assert IPv6Address(answer.addresses[0]) in IPv6Network("2001::/32")


@pytest.mark.parametrize(
    "packet",
    [
        asks(UNLISTED),
        asks("not" + LISTED),
        asks("example"),
        asks(LISTED, kind=16),
        asks(LISTED, server=(OTHER, 5353)),
        asks(LISTED, server=(NEWS, 53)),
        udp(SERVER, CLIENT, dns.build_query(77, LISTED)),
        udp((OTHER, 4444), (NEWS, 53), dns.build_query(77, LISTED)),
        udp(CLIENT, SERVER, b"garbage"),
        udp(CLIENT, SERVER, b""),
    ],
    ids=[
        "other name",
        "longer name",
        "domain above",
        "TXT",
        "other port",
        "within the country",
        "coming in",
        "asked from abroad",
        "garbage",
        "empty",
    ],
)
def test_the_rest_passes(packet: Packet) -> None:
    assert make().see(packet, 0) == PASS


def test_the_true_answer_passes() -> None:
    censor_ = make()
    censor_.see(asks(LISTED), 0)
    query = dns.parse_query(dns.build_query(77, LISTED))
    assert query is not None
    assert censor_.see(udp(SERVER, CLIENT, dns.answer(query, [OTHER])), 0.2) == PASS


def over_tcp(name: str) -> bytes:
    query = dns.build_query(77, name)
    return len(query).to_bytes(2, "big") + query


def test_over_tcp_the_connection_is_reset_both_ways() -> None:
    packet = tcp(CLIENT, SERVER, PSH, over_tcp(LISTED), seq=5)
    verdict = make().see(packet, 0)
    assert not verdict.passes
    assert {item.dst for item in forged(verdict)} == {ANA, OTHER}
    assert all(item.rst for item in forged(verdict))


def test_over_tcp_other_names_and_halves_pass_and_some_censors_do_not_look() -> None:
    halves = over_tcp(LISTED)[:20], over_tcp(LISTED)[20:]
    for payload in (over_tcp(UNLISTED), *halves):
        assert make().see(tcp(CLIENT, SERVER, PSH, payload), 0) == PASS
    blind = make(Settings(0.1, 2, 120, resets_tcp=False))
    assert blind.see(tcp(CLIENT, SERVER, PSH, over_tcp(LISTED)), 0) == PASS


def test_names_are_listed_with_all_below_them() -> None:
    names = {"b.example"}
    assert is_listed("b.example", names)
    assert is_listed("A.B.Example.", names)
    assert not any(is_listed(name, names) for name in (None, "", "ab.example", "example"))


def test_drawn_parameters_are_within_the_published_ranges() -> None:
    for seed in range(20):
        made, drawn = censor.make("dns-poison", GROUND, seed)
        verdict = made.see(asks(LISTED), 0)
        assert isinstance(made, DnsPoison)
        assert len(verdict.forged) == drawn["forgers"]
        assert 1 <= len(verdict.forged) <= 3
        assert 0 < verdict.delay <= 0.364
        assert verdict == Verdict(delay=verdict.delay, forged=verdict.forged)
