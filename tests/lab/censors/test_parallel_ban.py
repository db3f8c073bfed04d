"""`parallel-ban` counts parallel handshakes with one name at a hoster, and bans for a while."""

from __future__ import annotations

from random import Random

import pytest
from lab.censors.parallel_ban import ParallelBan, Settings
from lab.packets import Way
from lab.probes import client_hello
from tests.lab.censors.speakers import BORIS, ELSEWHERE, GROUND, RELAY, Tcp, browser_hello, drawn

HELLO = browser_hello("a.example")
OTHER = browser_hello("b.example")


def ban(
    nameless_counts: bool = True, reassemble_records: bool = False, ban_seconds: float = 60.0
) -> ParallelBan:
    return ParallelBan(
        Settings(
            handshakes=4,
            spacing_seconds=0.4,
            window_seconds=30.0,
            ban_seconds=ban_seconds,
            nameless_counts=nameless_counts,
            reassemble_records=reassemble_records,
        ),
        GROUND,
    )


class Client:
    """Opens one connection after another, each from a new port."""

    def __init__(self, censor: ParallelBan, client: str = "192.0.2.10") -> None:
        self.censor, self.client, self.port = censor, client, 40_000

    def begin(self, now: float, hello: bytes = HELLO, server: str = RELAY) -> Tcp:
        self.port += 1
        flow = Tcp(self.censor, self.client, server, self.port, now=now)
        assert flow.opens()
        flow.up(hello)
        return flow

    def passes(self, now: float, hello: bytes = HELLO, server: str = RELAY) -> bool:
        return self.begin(now, hello, server).down().passes


def test_the_fourth_parallel_handshake_times_out_and_the_ban_lasts() -> None:
    client = Client(ban())
    assert [client.passes(at) for at in (0.0, 0.1, 0.2, 0.3)] == [True, True, True, False]
    assert not client.passes(5.0)
    assert not client.passes(60.0)
    assert client.passes(60.4)


def test_three_are_free_and_so_are_serial_ones() -> None:
    client = Client(ban())
    assert all(client.passes(at) for at in (0.0, 0.1, 0.2))
    client = Client(ban())
    assert all(client.passes(at * 0.5) for at in range(100))


def test_two_pairs_within_the_window_are_four() -> None:
    client = Client(ban())
    assert [client.passes(at) for at in (0.0, 0.1, 10.0, 10.1)] == [True, True, True, False]
    client = Client(ban())
    assert all(client.passes(at) for at in (0.0, 0.1, 40.0, 40.1))


def test_a_banned_handshake_is_dropped_silently_with_all_that_follows() -> None:
    client = Client(ban())
    earlier = [client.begin(at / 10) for at in range(3)]
    flow = client.begin(0.3)
    flow.now = 100.0
    verdicts = [flow.up(HELLO), flow.down(b"x"), flow.up()]
    assert not any(verdict.passes for verdict in verdicts)
    assert all(verdict.forged == () for verdict in verdicts)
    # What was there before goes on.
    assert all(old.down(bytes(1400)).passes and old.up(b"x").passes for old in earlier)


def test_a_new_name_starts_afresh() -> None:
    client = Client(ban())
    for at in range(4):
        client.passes(at / 10)
    assert client.passes(0.5, OTHER)
    assert not client.passes(0.6)


def test_trying_again_does_not_prolong_the_ban() -> None:
    client = Client(ban())
    for at in range(4):
        client.passes(at / 10)
    assert not any(client.passes(float(at)) for at in range(1, 60))
    assert client.passes(60.5)


def test_after_the_ban_counting_starts_anew() -> None:
    client = Client(ban(ban_seconds=20.0))
    assert [client.passes(at / 10) for at in range(4)] == [True, True, True, False]
    assert [client.passes(20.4 + at / 10) for at in range(4)] == [True, True, True, False]


def test_others_are_not_banned() -> None:
    censor = ban()
    client = Client(censor)
    for at in range(4):
        client.passes(at / 10)
    assert Client(censor, BORIS).passes(0.5)


def test_a_client_that_does_not_look_like_a_browser_is_free() -> None:
    client = Client(ban())
    plain = client_hello("a.example", Random(1))
    assert all(client.passes(at / 10, plain) for at in range(20))


def test_servers_elsewhere_are_free() -> None:
    client = Client(ban())
    assert all(client.passes(at / 10, server=ELSEWHERE) for at in range(20))
    local = [Tcp(ban(), client_port=41_000 + at, way=Way.LOCAL) for at in range(9)]
    assert all(flow.opens() and flow.up(HELLO).passes for flow in local)


@pytest.mark.parametrize("counted", [True, False])
def test_handshakes_without_a_name(counted: bool) -> None:
    client = Client(ban(nameless_counts=counted))
    nameless = browser_hello(None)
    passed = [client.passes(at / 10, nameless) for at in range(5)]
    assert passed == ([True, True, True, False, False] if counted else [True] * 5)
    # They are told apart by the server's address.
    assert client.passes(0.6, nameless, server="203.0.113.12")


def test_a_hello_in_two_segments_is_counted() -> None:
    censor = ban()
    passed = []
    for number in range(4):
        flow = Tcp(censor, client_port=41_000 + number, now=number / 10)
        assert flow.opens()
        passed.append((flow.up(HELLO[:100]).passes, flow.up(HELLO[100:]).passes))
    assert passed == [(True, True)] * 3 + [(True, False)]


@pytest.mark.parametrize("reassembles", [True, False])
def test_a_hello_in_two_records(reassembles: bool) -> None:
    body = HELLO[5:]
    cut = b"".join(
        b"\x16\x03\x01" + len(part).to_bytes(2, "big") + part for part in (body[:50], body[50:])
    )
    client = Client(ban(nameless_counts=False, reassemble_records=reassembles))
    assert all(client.passes(at / 10, cut) for at in range(4)) is not reassembles


def test_a_new_connection_on_the_same_ports_is_free_after_the_ban() -> None:
    censor = ban()
    client = Client(censor)
    for at in range(3):
        client.passes(at / 10)
    flow = client.begin(0.3)
    flow.now = 70.0
    assert flow.opens()
    assert flow.up(HELLO).passes


def test_the_published_ranges_are_drawn() -> None:
    for _, parameters in drawn("parallel-ban"):
        assert parameters["handshakes"] == 4
        assert 0.35 <= float(parameters["spacing_seconds"]) <= 0.4
        assert 55 <= float(parameters["ban_seconds"]) <= 120
