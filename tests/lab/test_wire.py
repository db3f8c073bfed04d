"""The border as a pure object, and the wire's loop with socket pairs in place of TUN devices."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lab.border import Border
from lab.censor import DROP, PASS, Base, Suspicion, Verdict
from lab.packets import SYN, Packet, Way, build_tcp, build_udp
from lab.wire import Wire

from lab import censor, ground

HOSTS = (ground.ANA, ground.BORIS, ground.CLARA, ground.RELAY1, ground.CENSOR)


def packed(address: str) -> bytes:
    return bytes(map(int, address.split(".")))


def udp(source: ground.Host, target: str, payload: bytes = b"hello") -> bytes:
    return build_udp(source.address, 4000, target, 5000, payload)


class Watching(Base):
    """A censor that notes what it is shown and gives one verdict."""

    def __init__(self, verdict: Verdict = PASS) -> None:
        self.verdict = verdict
        self.shown: list[Packet] = []
        self.found: list[tuple[Suspicion, bool]] = []

    def see(self, packet: Packet, now: float) -> Verdict:
        self.shown.append(packet)
        return self.verdict

    def judged(self, suspicion: Suspicion, revealed: bool) -> None:
        self.found.append((suspicion, revealed))


def test_without_a_censor_everything_goes_to_its_receiver() -> None:
    border = Border(HOSTS)
    raw = udp(ground.ANA, ground.RELAY1.address)
    assert list(border.carry(raw, 0)) == [(0.0, packed(ground.RELAY1.address), raw)]
    assert border.counts.forwarded == 1


def test_the_censor_sees_which_way_a_packet_goes() -> None:
    border, watching = Border(HOSTS), Watching()
    border.put(watching)
    border.carry(udp(ground.ANA, ground.RELAY1.address), 0)
    border.carry(udp(ground.RELAY1, ground.ANA.address), 0)
    border.carry(udp(ground.ANA, ground.BORIS.address), 0)
    border.carry(udp(ground.CLARA, ground.RELAY1.address), 0)
    assert [packet.way for packet in watching.shown] == [Way.OUT, Way.IN, Way.LOCAL]


def test_what_is_dropped_was_seen_all_the_same() -> None:
    border = Border(HOSTS)
    border.put(Watching(DROP))
    assert not border.carry(udp(ground.ANA, ground.RELAY1.address), 0)
    assert border.counts.dropped == 1
    assert border.observation().addresses == {ground.RELAY1.address}
    border.put(None)
    assert border.carry(udp(ground.ANA, ground.RELAY1.address), 0)


def test_the_censors_own_host_is_exempt_and_not_observed() -> None:
    border = Border(HOSTS)
    border.put(Watching(DROP))
    assert border.carry(udp(ground.CENSOR, ground.RELAY1.address), 0)
    assert border.carry(udp(ground.RELAY1, ground.CENSOR.address), 0)
    assert border.observation().packets == 0


def test_an_unplugged_host_neither_sends_nor_receives() -> None:
    border = Border(HOSTS)
    border.unplug(ground.RELAY1.address)
    assert not border.carry(udp(ground.ANA, ground.RELAY1.address), 0)
    assert not border.carry(udp(ground.RELAY1, ground.ANA.address), 0)
    border.plug(ground.RELAY1.address)
    assert border.carry(udp(ground.ANA, ground.RELAY1.address), 0)


def test_forged_packets_go_first_each_to_its_own_destination() -> None:
    border = Border(HOSTS)
    forged = udp(ground.RELAY1, ground.ANA.address), udp(ground.ANA, "203.0.113.200")
    border.put(Watching(Verdict(delay=0.5, forged=forged)))
    raw = udp(ground.ANA, ground.RELAY1.address)
    assert list(border.carry(raw, 0)) == [
        (0.0, packed(ground.ANA.address), forged[0]),
        (0.5, packed(ground.RELAY1.address), raw),
    ]


def test_a_multicast_packet_is_judged_for_each_receiver() -> None:
    border, watching = Border(HOSTS), Watching()
    border.put(watching)
    raw = udp(ground.ANA, "224.0.0.251")
    others = {packed(ground.BORIS.address), packed(ground.CENSOR.address)}
    assert {target for _, target, _ in border.carry(raw, 0)} == others
    assert {packet.dst for packet in watching.shown} == {
        ground.BORIS.address,
        ground.CENSOR.address,
    }
    assert not border.carry(udp(ground.CLARA, "224.0.0.251"), 0)


def test_a_later_fragment_passes_only_while_nothing_is_blocked() -> None:
    border = Border(HOSTS)
    raw = bytearray(udp(ground.ANA, ground.RELAY1.address))
    raw[6:8] = (0x0010).to_bytes(2, "big")
    assert border.carry(bytes(raw), 0)
    border.put(Watching())
    assert not border.carry(bytes(raw), 0)


def test_suspicions_are_handed_over_once() -> None:
    border = Border(HOSTS)
    suspicion = Suspicion(ground.RELAY1.address, 443, b"seen")
    watching = Watching(Verdict(suspicion=suspicion))
    border.put(watching)
    border.carry(udp(ground.ANA, ground.RELAY1.address), 0)
    assert border.suspicions() == [suspicion]
    assert border.suspicions() == []
    border.judged(suspicion, True)
    assert watching.found == [(suspicion, True)]


@given(st.binary(max_size=80), st.booleans())
def test_no_bytes_break_the_border(raw: bytes, blocking: bool) -> None:
    border = Border(HOSTS)
    border.put(Watching() if blocking else None)
    border.carry(raw, 0)
    header = udp(ground.ANA, ground.RELAY1.address)[:20]
    border.carry(header + raw, 0)


@dataclass
class Bench:
    """A wire that runs in a thread, with our ends of everything it holds."""

    hosts: dict[str, socket.socket]
    director: socket.socket
    prober: socket.socket
    thread: threading.Thread

    def ask(self, line: bytes) -> dict[str, object]:
        self.director.sendall(line + b"\n")
        answer = b""
        while not answer.endswith(b"\n"):
            got = self.director.recv(65_536)
            assert got
            answer += got
        parsed: dict[str, object] = json.loads(answer)
        return parsed

    def order(self, **order: object) -> dict[str, object]:
        return self.ask(json.dumps(order).encode())


@pytest.fixture
def bench() -> Iterator[Bench]:
    pairs = {host.name: socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for host in HOSTS}
    for _, theirs in pairs.values():
        theirs.setblocking(False)
    director, directed = socket.socketpair()
    prober, looking = socket.socketpair()
    devices = {name: theirs.fileno() for name, (_, theirs) in pairs.items()}
    wire = Wire(devices, directed, looking)
    thread = threading.Thread(target=wire.run)
    thread.start()
    hosts = {name: ours for name, (ours, _) in pairs.items()}
    for one in (*hosts.values(), director, prober):
        one.settimeout(10)
    yield Bench(hosts, director, prober, thread)
    director.close()
    thread.join(10)
    for ours, theirs in pairs.values():
        ours.close()
        theirs.close()
    for one in (directed, prober, looking):
        one.close()
    assert not thread.is_alive()


def test_the_wire_carries_and_reports(bench: Bench) -> None:
    raw = udp(ground.ANA, ground.RELAY1.address)
    bench.hosts["ana"].send(raw)
    assert bench.hosts["relay1"].recv(2000) == raw
    report = bench.order(do="report")
    assert report["observation"] == {
        "addresses": [ground.RELAY1.address],
        "names": [],
        "fingerprints": [],
        "bytes_out": len(raw),
        "bytes_in": 0,
        "packets": 1,
    }


def test_the_wire_obeys(bench: Bench) -> None:
    assert bench.order(do="censor", profiles=["ip-block"], seed=1)["parameters"]
    assert bench.order(do="ground", listed_names=["a.example"], listed_addresses=[]) == {}
    assert bench.order(do="unplug", host="relay1") == {}
    assert bench.order(do="plug", host="relay1") == {}
    assert bench.order(do="clear") == {}


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"[]",
        b"7",
        b"\xff",
        b"{}",
        b'{"do": "fly"}',
        b'{"do": "censor", "profiles": ["nothing"], "seed": 1}',
        b'{"do": "censor", "profiles": 3, "seed": 1}',
        b'{"do": "unplug", "host": "nobody"}',
        b'{"do": "ground", "listed_names": 5}',
    ],
)
def test_a_bad_order_is_answered_by_an_error(bench: Bench, line: bytes) -> None:
    assert set(bench.ask(line)) == {"error"}
    assert "counts" in bench.order(do="report")


def test_held_packets_come_late_and_in_order(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow(Base):
        def see(self, packet: Packet, now: float) -> Verdict:
            return Verdict(delay=0.3 if packet.payload == b"last" else 0.01)

    monkeypatch.setattr(censor, "make", lambda *_: (Slow(), {}))
    bench.order(do="censor", profiles=["slow"], seed=1)
    sent = [udp(ground.ANA, ground.CLARA.address, text) for text in (b"last", b"one", b"two")]
    for raw in sent:
        bench.hosts["ana"].send(raw)
    assert [bench.hosts["clara"].recv(2000) for _ in sent] == [*sent[1:], sent[0]]
    counts = bench.order(do="report")["counts"]
    assert isinstance(counts, dict)
    assert counts["delayed"] == len(sent)


def test_what_the_prober_finds_reaches_the_censor(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Suspects(Base):
        known = False

        def see(self, packet: Packet, now: float) -> Verdict:
            if self.known:
                return DROP
            return Verdict(suspicion=Suspicion(packet.dst, packet.dport, b"\x00seen"))

        def judged(self, suspicion: Suspicion, revealed: bool) -> None:
            self.known = revealed

    monkeypatch.setattr(censor, "make", lambda *_: (Suspects(), {}))
    bench.order(do="censor", profiles=["suspects"], seed=1)
    raw = build_tcp(ground.ANA.address, 4000, ground.RELAY1.address, 443, 1, 0, SYN)
    bench.hosts["ana"].send(raw)
    assert bench.hosts["relay1"].recv(2000) == raw
    suspicion = json.loads(bench.prober.recv(2000))
    assert suspicion == {"address": ground.RELAY1.address, "port": 443, "seen": "007365656e"}
    bench.prober.sendall(json.dumps({**suspicion, "revealed": True}).encode() + b"\n")
    while True:  # the answer and our next packets come by different sockets
        bench.hosts["ana"].send(raw)
        counts = bench.order(do="report")["counts"]
        assert isinstance(counts, dict)
        if counts["dropped"]:
            break


def test_the_wire_survives_a_prober_that_is_gone(bench: Bench) -> None:
    bench.prober.shutdown(socket.SHUT_RDWR)
    raw = os.urandom(10)
    bench.hosts["ana"].send(raw)
    assert "counts" in bench.order(do="report")
