"""`throttle` polices connections with a listed name to its rate, and no others."""

from __future__ import annotations

import pytest
from lab.censors.throttle import Settings, Throttle
from lab.packets import FIN, SYN, Way
from tests.lab.censors.speakers import GROUND, Tcp, browser_hello, datagram, drawn

LISTED = browser_hello("relay1.example")
BELOW = browser_hello("cdn.relay1.example")
FREE = browser_hello("www.plain.example")
RATE = 140.0
BURST = 20_000


def throttle() -> Throttle:
    return Throttle(Settings(RATE, BURST, 5, 100, 600.0), GROUND)


def slowed(hello: bytes = LISTED) -> Tcp:
    flow = Tcp(throttle())
    assert flow.opens()
    assert flow.up(hello).passes
    return flow


def carried(flow: Tcp, seconds: int, down: bool = True) -> int:
    """Bytes of IPv4 that pass when 100 full packets a second are sent."""
    send = flow.down if down else flow.up
    passed = 0
    for _ in range(seconds * 100):
        flow.now += 0.01
        passed += 1440 * send(bytes(1400)).passes
    return passed


@pytest.mark.parametrize("hello", [LISTED, BELOW])
@pytest.mark.parametrize("down", [True, False])
def test_a_listed_name_is_policed_to_the_rate_both_ways(hello: bytes, down: bool) -> None:
    passed = carried(slowed(hello), 20, down)
    expected = RATE * 1000 / 8 * 20
    assert 0.95 * expected <= passed <= expected + BURST


def test_the_directions_do_not_share_a_rate() -> None:
    flow = slowed()
    carried(flow, 5)
    assert flow.up(bytes(1400)).passes


def test_nothing_is_forged_or_delayed() -> None:
    flow = slowed()
    verdicts = [flow.down(bytes(1400)) for _ in range(50)]
    assert not verdicts[-1].passes
    assert all(verdict.delay == 0 and verdict.forged == () for verdict in verdicts)


def test_a_pause_brings_one_burst_and_no_more() -> None:
    flow = slowed()
    carried(flow, 2)
    flow.now += 60
    assert sum(1440 * flow.down(bytes(1400)).passes for _ in range(50)) == BURST // 1440 * 1440


def test_other_names_are_free() -> None:
    assert carried(slowed(FREE), 5) == 1440 * 500
    assert carried(slowed(browser_hello("notrelay1.example")), 5) == 1440 * 500


def test_a_connection_without_tls_is_free() -> None:
    assert carried(slowed(b"GET / HTTP/1.1\r\nHost: relay1.example\r\n\r\n"), 5) == 1440 * 500


def test_a_hello_in_two_segments_is_not_read() -> None:
    flow = Tcp(throttle())
    assert flow.opens()
    at = LISTED.index(b"relay1") + 3
    flow.up(LISTED[:at])
    flow.up(LISTED[at:])
    assert carried(flow, 5) == 1440 * 500


def test_a_small_packet_before_does_not_end_the_watch_but_a_large_one_does() -> None:
    for length, free in ((100, False), (101, True)):
        flow = Tcp(throttle())
        assert flow.opens()
        flow.up(bytes(length))
        flow.up(LISTED)
        assert (carried(flow, 5) == 1440 * 500) is free


def test_only_the_first_packets_are_watched() -> None:
    for before, free in ((4, False), (5, True)):
        flow = Tcp(throttle())
        assert flow.opens()
        for _ in range(before):
            flow.up(b"x")
        flow.up(LISTED)
        assert (carried(flow, 5) == 1440 * 500) is free


def test_a_hello_from_the_servers_side_triggers_too() -> None:
    flow = Tcp(throttle())
    assert flow.opens()
    flow.down(LISTED)
    assert carried(flow, 5) < 1440 * 200


def test_only_connections_from_inside_are_watched() -> None:
    for way in (Way.IN, Way.LOCAL):
        flow = Tcp(throttle(), way=way)
        assert flow.opens()
        flow.up(LISTED)
        assert carried(flow, 5) == 1440 * 500
    assert all(datagram(throttle(), LISTED) for _ in range(100))


def test_a_connection_in_use_stays_slow() -> None:
    flow = slowed()
    for _ in range(10):
        flow.now += 500
        assert carried(flow, 2) < 1440 * 100


def test_fin_does_not_end_it_but_silence_and_a_new_syn_do() -> None:
    flow = slowed()
    flow.up(flags=FIN)
    assert carried(flow, 5) < 1440 * 200
    flow.now += 601
    assert carried(flow, 5) == 1440 * 500
    again = slowed()
    carried(again, 2)
    assert again.up(flags=SYN).passes
    assert carried(again, 5) == 1440 * 500


def test_the_published_range_is_drawn() -> None:
    rates = [float(parameters["kilobits_per_second"]) for _, parameters in drawn("throttle")]
    assert all(130 <= rate <= 150 for rate in rates)
    assert len(set(rates)) > 10
