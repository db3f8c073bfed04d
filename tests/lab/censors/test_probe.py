"""`probe` suspects each server once, after its delay, and blocks those that reveal themselves."""

from __future__ import annotations

from lab.censor import Suspicion
from lab.censors.probe import SEEN_BYTES, Probe, Settings
from lab.packets import Way
from tests.lab.censors.speakers import CLARA, RELAY, Tcp, browser_hello, datagram, drawn, ping

HELLO = browser_hello("relay1.example")


def probing() -> Probe:
    return Probe(Settings(delay_seconds=2.0, again_seconds=600.0))


def suspected(censor: Probe, now: float) -> Suspicion | None:
    """What an unrelated connection that has been open for long brings to light."""
    idle = Tcp(censor, client_port=50_000, server="203.0.113.99", now=now)
    return idle.down().suspicion


def talk(censor: Probe, now: float = 0.0, port: int = 40_000, hello: bytes = HELLO) -> Tcp:
    flow = Tcp(censor, client_port=port, now=now)
    assert flow.opens()
    verdict = flow.up(hello)
    assert verdict.passes
    assert verdict.suspicion is None
    return flow


def test_a_server_is_suspected_once_after_the_delay() -> None:
    censor = probing()
    talk(censor)
    assert suspected(censor, 1.9) is None
    assert suspected(censor, 2.0) == Suspicion(RELAY, 443, HELLO)
    talk(censor, 3.0, 40_001)
    assert suspected(censor, 60.0) is None


def test_it_is_suspected_again_after_a_long_time() -> None:
    censor = probing()
    talk(censor)
    assert suspected(censor, 2.0)
    talk(censor, 601.0, 40_001)
    assert suspected(censor, 603.0) == Suspicion(RELAY, 443, HELLO)


def test_a_later_payload_of_the_same_connection_is_not_replayed() -> None:
    censor = probing()
    flow = talk(censor)
    assert suspected(censor, 2.0)
    flow.now = 700.0
    assert flow.up(b"later").passes
    assert suspected(censor, 710.0) is None


def test_any_protocol_is_suspicious_and_a_long_payload_is_cut() -> None:
    censor = probing()
    talk(censor, hello=b"\x91" * 1400)
    assert suspected(censor, 2.0) == Suspicion(RELAY, 443, b"\x91" * 1400)
    assert SEEN_BYTES > 1460


def test_ports_are_servers_of_their_own() -> None:
    censor = probing()
    talk(censor)
    other = Tcp(censor, port=8443, client_port=40_001)
    assert other.opens()
    other.up(b"x")
    assert suspected(censor, 5.0) == Suspicion(RELAY, 443, HELLO)
    assert suspected(censor, 5.0) == Suspicion(RELAY, 8443, b"x")
    assert suspected(censor, 5.0) is None


def test_until_it_is_judged_all_passes() -> None:
    censor = probing()
    flow = talk(censor)
    assert suspected(censor, 2.0)
    assert flow.down(bytes(1400)).passes
    assert flow.up(bytes(1400)).passes


def test_a_server_that_reveals_itself_is_blocked_on_all_ports() -> None:
    censor = probing()
    flow = talk(censor)
    censor.judged(Suspicion(RELAY, 443, HELLO), revealed=True)
    verdicts = [flow.up(b"x"), flow.down(b"x"), Tcp(censor, port=8443).up()]
    assert not any(verdict.passes for verdict in verdicts)
    assert all(verdict.forged == () for verdict in verdicts)
    assert not datagram(censor)
    assert not ping(censor)
    other = Tcp(censor, server="203.0.113.12")
    assert other.opens()


def test_a_suspicion_travels_on_a_packet_that_is_dropped() -> None:
    censor = probing()
    flow = talk(censor)
    censor.judged(Suspicion(RELAY, 80, b""), revealed=True)
    flow.now = 3.0
    verdict = flow.up(b"x")
    assert not verdict.passes
    assert verdict.suspicion == Suspicion(RELAY, 443, HELLO)


def test_a_server_that_reveals_nothing_stays_free() -> None:
    censor = probing()
    flow = talk(censor)
    censor.judged(Suspicion(RELAY, 443, HELLO), revealed=False)
    assert flow.up(b"x").passes


def test_a_connection_that_was_open_before_gives_its_server_away() -> None:
    censor = probing()
    flow = Tcp(censor)
    assert flow.down(b"answer").passes
    assert suspected(censor, 3.0) is None
    assert flow.up(b"middle").passes
    assert suspected(censor, 3.0) == Suspicion(RELAY, 443, b"middle")


def test_clients_abroad_and_local_traffic_are_no_suspects() -> None:
    censor = probing()
    inbound = Tcp(censor, client=CLARA, server="192.0.2.25", way=Way.IN, client_port=1024)
    assert inbound.opens()
    assert inbound.up(HELLO).passes
    assert inbound.down(b"x").passes
    older = Tcp(censor, client=CLARA, server="192.0.2.25", way=Way.IN, port=993)
    assert older.down(b"x").passes
    local = Tcp(censor, way=Way.LOCAL)
    assert local.opens()
    assert local.up(HELLO).passes
    assert datagram(censor, HELLO)
    assert suspected(censor, 100.0) is None


def test_delays_are_drawn() -> None:
    delays = [float(parameters["delay_seconds"]) for _, parameters in drawn("probe")]
    assert all(0.3 <= delay <= 5 for delay in delays)
