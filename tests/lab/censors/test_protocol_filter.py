"""protocol-filter: only DNS, HTTP and TLS on their ports."""

import pytest
from lab.censor import DROP, PASS
from lab.censors.protocol_filter import METHODS, PORTS, ProtocolFilter, Settings
from tests.lab.censors import ANA, BORIS, CLARA, GROUND, NEWS, OTHER, RELAY, Talk, client_hello, udp

from lab import censor, dns

SSH = b"SSH-2.0-OpenSSH_9.2\r\n"
QUERY = dns.build_query(7, "relay1.example")
RIGHT = [
    client_hello("relay1.example"),
    client_hello(None),
    b"\x16\x03\x01\x02\x00garbage",
    b"GET / HTTP/1.1\r\n\r\n",
    len(QUERY).to_bytes(2, "big") + QUERY,
    *(method + b"/ HTTP/1.1" for method in METHODS),
]
WRONG = [
    SSH,
    bytes(40),
    b"\x17\x03\x03\x00\x20" + bytes(32),
    b"\x16\x02\x01\x02\x00" + bytes(32),
    b"\x16\x03\x01\x00\x00" + bytes(32),
    b"get / http/1.1\r\n\r\n",
    b"BREW / HTTP/1.1\r\n",
    b"\0\x1c\0\x07\x80\0\0\1" + bytes(24),
]


def make() -> ProtocolFilter:
    return ProtocolFilter(Settings(residual=60))


def start(censor_: ProtocolFilter, port: int = 443, client: int = 40000, now: float = 0) -> Talk:
    return Talk(censor_, client=(ANA, client), server=(RELAY, port), now=now).open()


@pytest.mark.parametrize("port", sorted(PORTS))
@pytest.mark.parametrize("payload", RIGHT)
def test_each_protocol_passes_on_each_port(port: int, payload: bytes) -> None:
    talk = start(make(), port)
    assert [talk.say(payload), talk.say(SSH), talk.say(SSH), talk.hear(SSH)] == [PASS] * 4


@pytest.mark.parametrize("cut", [1, 4, 5, 6, 7])
@pytest.mark.parametrize("payload", RIGHT)
def test_the_first_two_packets_count_together(cut: int, payload: bytes) -> None:
    talk = start(make())
    assert [talk.say(payload[:cut]), talk.say(payload[cut:]), talk.say(SSH)] == [PASS] * 3


@pytest.mark.parametrize("port", sorted(PORTS))
@pytest.mark.parametrize("payload", WRONG)
def test_the_client_falls_silent_after_its_first_packet(port: int, payload: bytes) -> None:
    talk = start(make(), port)
    assert talk.say(payload) == PASS
    assert [talk.hear(SSH), talk.say(payload), talk.say(RIGHT[0])] == [PASS, DROP, DROP]
    assert [talk.ack(), talk.fin(), talk.rst()] == [DROP] * 3
    assert talk.hear(SSH) == PASS


def test_three_pieces_are_one_too_many() -> None:
    talk = start(make())
    assert [talk.say(b"G"), talk.say(b"E"), talk.say(b"T / HTTP/1.1\r\n")] == [PASS, DROP, DROP]


def test_after_a_minute_the_connection_goes_on() -> None:
    talk = start(make())
    talk.say(SSH)
    assert talk.say(SSH) == DROP
    talk.now = 59.9
    assert talk.say(SSH) == DROP
    talk.now = 60
    assert [talk.say(SSH), talk.say(SSH)] == [PASS, PASS]


def test_another_such_connection_to_the_server_starts_the_minute_anew() -> None:
    censor_ = make()
    first, second = start(censor_), start(censor_, client=40001, now=50)
    elsewhere = Talk(censor_, server=(OTHER, 443), now=55).open()
    for talk in (first, second, elsewhere):
        talk.say(SSH)
        assert talk.say(SSH) == DROP
    first.now = 109.9
    assert first.say(SSH) == DROP
    first.now = 110
    assert first.say(SSH) == PASS


def test_new_connections_are_judged_by_themselves() -> None:
    censor_ = make()
    talk = start(censor_)
    talk.say(SSH)
    talk.say(SSH)
    assert start(censor_, client=40001, now=1).say(RIGHT[0]) == PASS
    anew = start(censor_, now=2)
    assert [anew.say(RIGHT[0]), anew.say(SSH)] == [PASS, PASS]


def test_the_rest_passes() -> None:
    censor_ = make()
    for client, server in (
        ((ANA, 40000), (RELAY, 22)),
        ((ANA, 40000), (RELAY, 8443)),
        ((ANA, 40000), (BORIS, 443)),
        ((ANA, 40000), (NEWS, 80)),
        ((CLARA, 40000), (ANA, 443)),
    ):
        talk = Talk(censor_, client, server).open()
        assert [talk.say(SSH), talk.say(SSH), talk.hear(SSH)] == [PASS] * 3
    assert censor_.see(udp((ANA, 1), (RELAY, 443), SSH), 0) == PASS
    unseen = Talk(censor_, client=(ANA, 40009))
    assert [unseen.say(SSH), unseen.say(SSH)] == [PASS, PASS]


def test_the_drawn_censor_blocks_for_a_minute() -> None:
    made, _ = censor.make("protocol-filter", GROUND, 3)
    assert isinstance(made, ProtocolFilter)
    assert made.settings.residual == 60
