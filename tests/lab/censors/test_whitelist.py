"""`whitelist` opens connections, lets listed names or addresses speak, and nobody else."""

from __future__ import annotations

import pytest
from lab.censors.whitelist import Settings, Whitelist
from lab.packets import SYN, Way
from tests.lab.censors.speakers import (
    CLARA,
    GROUND,
    MAIL_INSIDE,
    RELAY,
    Tcp,
    browser_hello,
    datagram,
    drawn,
    ping,
)

ALLOWED = browser_hello("mail.inside.example")
OTHER = browser_hello("relay1.example")
KINDS = ("names", "addresses", "both")


def whitelist(list_of: str = "names") -> Whitelist:
    return Whitelist(Settings(list_of), GROUND)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("first", [OTHER, browser_hello(None), b"GET / HTTP/1.1\r\n\r\n", b"x"])
def test_a_connection_opens_but_the_first_payload_vanishes(kind: str, first: bytes) -> None:
    flow = Tcp(whitelist(kind))
    assert flow.opens()
    verdicts = [flow.up(first), flow.up(first), flow.down(b"x"), flow.up(), flow.down()]
    assert not any(verdict.passes for verdict in verdicts)
    assert all(verdict.forged == () for verdict in verdicts)


@pytest.mark.parametrize("kind", KINDS)
def test_a_listed_name_on_a_foreign_server(kind: str) -> None:
    flow = Tcp(whitelist(kind))
    assert flow.opens()
    passes = kind == "names"
    assert flow.up(ALLOWED).passes is passes
    assert flow.down(bytes(1400)).passes is passes
    assert all(flow.up(bytes(1400)).passes is passes for _ in range(100))


@pytest.mark.parametrize(
    ("kind", "hello", "passes"),
    [
        ("names", ALLOWED, True),
        ("names", OTHER, False),
        ("addresses", OTHER, True),
        ("both", ALLOWED, True),
        ("both", OTHER, False),
    ],
)
def test_a_listed_address_beyond_the_border(kind: str, hello: bytes, passes: bool) -> None:
    flow = Tcp(whitelist(kind), server=MAIL_INSIDE)
    assert flow.opens()
    assert flow.up(hello).passes is passes


def test_a_server_that_speaks_first_is_not_heard() -> None:
    flow = Tcp(whitelist(), port=22)
    assert flow.opens()
    assert not flow.down(b"SSH-2.0-OpenSSH_9.2\r\n").passes


def test_a_name_that_is_cut_is_put_together() -> None:
    for hello, passes in ((ALLOWED, True), (OTHER, False)):
        flow = Tcp(whitelist())
        assert flow.opens()
        assert flow.up(hello[:100]).passes
        assert flow.up(hello[100:]).passes is passes
        assert flow.down(b"x").passes is passes


def test_payload_in_a_syn_is_judged_like_any_other() -> None:
    assert Tcp(whitelist()).up(ALLOWED, SYN).passes
    assert not Tcp(whitelist()).up(OTHER, SYN).passes


def test_a_connection_that_was_open_before_is_cut() -> None:
    flow = Tcp(whitelist())
    assert not flow.up(b"\x17\x03\x03\x00\x20" + bytes(32)).passes
    assert not flow.down(b"\x17\x03\x03\x00\x20" + bytes(32)).passes


def test_a_new_connection_on_the_same_ports_is_judged_anew() -> None:
    flow = Tcp(whitelist())
    assert flow.opens()
    assert not flow.up(OTHER).passes
    assert flow.opens()
    assert flow.up(ALLOWED).passes


@pytest.mark.parametrize("kind", KINDS)
def test_foreign_udp_and_icmp_are_dead(kind: str) -> None:
    censor = whitelist(kind)
    assert not datagram(censor, port=53)
    assert not datagram(censor, way=Way.IN)
    assert not ping(censor)


@pytest.mark.parametrize("kind", KINDS)
def test_the_country_itself_is_left_alone(kind: str) -> None:
    censor = whitelist(kind)
    flow = Tcp(censor, server=MAIL_INSIDE, way=Way.LOCAL, port=143)
    assert flow.opens()
    assert flow.down(b"* OK\r\n").passes
    assert flow.up(b"a LOGIN\r\n").passes
    assert datagram(censor, way=Way.LOCAL, server=MAIL_INSIDE, port=53)
    assert ping(censor, Way.LOCAL)


@pytest.mark.parametrize("kind", KINDS)
def test_listed_servers_talk_across_the_border(kind: str) -> None:
    from_abroad = Tcp(whitelist(kind), client=CLARA, server=MAIL_INSIDE, way=Way.IN, port=993)
    assert from_abroad.opens()
    assert from_abroad.up(OTHER).passes
    assert from_abroad.down(bytes(1400)).passes
    delivering = Tcp(whitelist(kind), client=MAIL_INSIDE, server=RELAY, port=25)
    assert delivering.opens()
    assert delivering.down(b"220 mail.abroad.example\r\n").passes


def test_all_kinds_are_drawn() -> None:
    assert {parameters["list_of"] for _, parameters in drawn("whitelist")} == set(KINDS)
