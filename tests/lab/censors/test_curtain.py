"""`curtain` freezes where it says, and nowhere else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lab.censors.curtain import Curtain, Settings
from lab.packets import FIN, RST, Way
from tests.lab.censors.speakers import ELSEWHERE, GROUND, Tcp, datagram, drawn, ping


def curtain(counts: str = "either", payload_bytes: int = 16_000, packets: int = 25) -> Curtain:
    return Curtain(Settings(counts, payload_bytes, packets, udp_idle_seconds=60.0), GROUND)


def test_a_download_freezes_after_the_bytes() -> None:
    flow = Tcp(curtain("bytes"))
    assert flow.opens()
    passed = [flow.down(bytes(1000)).passes for _ in range(20)]
    assert passed == [True] * 16 + [False] * 4


def test_an_upload_freezes_too() -> None:
    flow = Tcp(curtain("bytes"))
    assert flow.opens()
    assert [flow.up(bytes(1000)).passes for _ in range(18)] == [True] * 16 + [False] * 2


def test_the_directions_have_accounts_of_their_own() -> None:
    flow = Tcp(curtain("bytes"))
    assert flow.opens()
    for _ in range(16):
        assert flow.down(bytes(1000)).passes
        assert flow.up(bytes(1000)).passes
    assert not flow.up(b"x").passes


def test_packets_are_counted_both_ways_with_syn_and_empty_acks() -> None:
    flow = Tcp(curtain("packets", payload_bytes=1000))
    assert flow.opens()
    passed = [verdict.passes for _ in range(12) for verdict in (flow.down(bytes(1400)), flow.up())]
    assert passed == [True] * 22 + [False] * 2


@pytest.mark.parametrize(("size", "expected"), [(1400, 11), (100, 22)])
def test_either_limit_freezes(size: int, expected: int) -> None:
    flow = Tcp(curtain("either"))
    assert flow.opens()
    assert sum(flow.down(bytes(size)).passes for _ in range(40)) == expected


def test_the_freeze_is_silent_both_ways_and_lasts_until_the_flow_ends() -> None:
    flow = Tcp(curtain("bytes"))
    assert flow.opens()
    flow.down(bytes(16_001))
    flow.now = 3600.0
    verdicts = [flow.up(), flow.down(b"x"), flow.up(flags=FIN), flow.down(flags=RST)]
    assert not any(verdict.passes for verdict in verdicts)
    assert all(verdict.forged == () and verdict.suspicion is None for verdict in verdicts)
    assert flow.opens()
    assert flow.down(bytes(16_000)).passes


def test_another_connection_to_the_same_server_is_free() -> None:
    censor = curtain("packets", packets=10)
    for port in range(40_000, 40_010):
        flow = Tcp(censor, client_port=port)
        assert flow.opens()
        assert all(flow.down(bytes(1000)).passes for _ in range(7))
        assert not flow.up().passes


def test_servers_elsewhere_and_local_traffic_are_free() -> None:
    censor = curtain("either", payload_bytes=10, packets=2)
    for flow in (Tcp(censor, server=ELSEWHERE), Tcp(censor, way=Way.LOCAL)):
        assert flow.opens()
        assert all(flow.down(bytes(1400)).passes for _ in range(100))
    assert all(ping(censor) for _ in range(50))


def test_udp_freezes_and_is_new_after_a_pause() -> None:
    censor = curtain("packets")
    assert [datagram(censor, now=float(at)) for at in range(30)] == [True] * 25 + [False] * 5
    # What is dropped keeps the flow alive.
    assert not datagram(censor, way=Way.IN, now=80.0)
    assert datagram(censor, now=140.5)


def test_udp_counts_bytes() -> None:
    censor = curtain("bytes", payload_bytes=3000)
    assert [datagram(censor, bytes(1000)) for _ in range(4)] == [True, True, True, False]


def test_a_connection_that_was_open_before_is_counted_from_now_on() -> None:
    flow = Tcp(curtain("bytes", payload_bytes=2000))
    assert flow.down(bytes(2000)).passes
    assert not flow.down(b"x").passes


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.censors.curtain.MOST_FLOWS", 3)
    censor = curtain("packets", packets=1)
    flows = [Tcp(censor, client_port=port) for port in range(40_000, 40_004)]
    assert all(flow.up().passes for flow in flows)
    assert not flows[-1].up().passes
    # The oldest was forgotten.
    assert flows[0].up().passes


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 1460)), max_size=60))
def test_no_more_than_the_limits_ever_passes(packets: list[tuple[bool, int]]) -> None:
    flow = Tcp(curtain("either", payload_bytes=15_000, packets=25))
    passed = {True: 0, False: 0}
    count = 0
    for up, size in packets:
        if (flow.up if up else flow.down)(bytes(size)).passes:
            passed[up] += size
            count += 1
    assert count <= 25
    assert max(passed.values()) <= 15_000


def test_the_published_ranges_are_drawn() -> None:
    kinds = set()
    for _, parameters in drawn("curtain"):
        kinds.add(parameters["counts"])
        assert 15_000 <= int(parameters["payload_bytes"]) <= 20_000
        assert 23 <= int(parameters["packets"]) <= 27
    assert kinds == {"bytes", "packets", "either"}
