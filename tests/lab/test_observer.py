"""What the border could write down."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from lab.observer import Observation, Observer
from lab.packets import SYN, Packet, Way, build_tcp, build_udp, parse_packet
from lab.tls import Hello

ANA, RELAY, RESOLVER = "192.0.2.10", "203.0.113.11", "192.0.2.53"


def hello(name: str | None, fingerprint: str) -> Hello:
    return Hello(
        name=name,
        alpn=(),
        has_ech=False,
        fingerprint=fingerprint,
        browser_like=False,
        length=517,
    )


def tcp(source: str, target: str, way: Way, payload: bytes = b"") -> Packet:
    return parse_packet(build_tcp(source, 40000, target, 443, 1, 0, SYN, payload), way)


def question(name: str) -> bytes:
    """An ordinary question for an address (RFC 1035, section 4)."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" + labels + b"\x00\x00\x01\x00\x01"


def test_nothing_was_seen():
    assert Observer().report() == Observation()


def test_bytes_are_counted_by_direction():
    observer = Observer()
    out, back = tcp(ANA, RELAY, Way.OUT, b"abc"), tcp(RELAY, ANA, Way.IN, b"abcdef")
    observer.add(out, None)
    observer.add(back, None)
    seen = observer.report()
    assert (seen.bytes_out, seen.bytes_in, seen.packets) == (len(out.raw), len(back.raw), 2)
    assert seen.addresses == {RELAY}


def test_what_stays_inside_does_not_cross():
    observer = Observer()
    observer.add(tcp(ANA, "192.0.2.80", Way.LOCAL), None)
    seen = observer.report()
    assert (seen.packets, seen.bytes_out, seen.addresses) == (0, 0, frozenset())


def test_names_and_fingerprints_of_hellos():
    observer = Observer()
    for name, fingerprint in (("relay1.example", "one"), (None, "two"), ("relay1.example", "one")):
        observer.add(tcp(ANA, RELAY, Way.OUT, b"x"), hello(name, fingerprint))
    seen = observer.report()
    assert seen.names == {"relay1.example"}
    assert seen.fingerprints == {"one", "two"}


def test_a_question_to_the_domestic_resolver_is_read_too():
    observer = Observer()
    raw = build_udp(ANA, 5353, RESOLVER, 53, question("relay1.example"))
    observer.add(parse_packet(raw, Way.LOCAL), None)
    assert observer.report().names == {"relay1.example"}
    assert observer.report().packets == 0


def test_garbage_to_port_53_is_no_question():
    observer = Observer()
    raw = build_udp(ANA, 5353, RELAY, 53, b"\xff\x00garbage")
    observer.add(parse_packet(raw, Way.OUT), None)
    assert observer.report().names == frozenset()
    assert observer.report().packets == 1


def test_the_censors_own_probes_are_ignored():
    observer = Observer(ignored=frozenset({"192.0.2.99"}))
    observer.add(tcp("192.0.2.99", RELAY, Way.OUT), None)
    observer.add(tcp(RELAY, "192.0.2.99", Way.IN), None)
    assert observer.report() == Observation()


def test_counts_since_an_earlier_look():
    observer = Observer()
    packet = tcp(ANA, RELAY, Way.OUT)
    observer.add(packet, None)
    before = observer.report()
    observer.add(packet, None)
    since = observer.report().since(before)
    assert (since.bytes_out, since.packets, since.addresses) == (len(packet.raw), 1, {RELAY})


texts = st.frozensets(st.text(max_size=8), max_size=4)
numbers = st.integers(min_value=0, max_value=2**50)


@given(st.builds(Observation, texts, texts, texts, numbers, numbers, numbers))
def test_it_survives_json(observation):
    assert Observation.from_json(json.loads(json.dumps(observation.to_json()))) == observation
