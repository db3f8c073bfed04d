"""IPv4 packets: taken apart, built, forged; and a real TCP stack believes the forged resets."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lab.packets import (
    ACK,
    FIN,
    PSH,
    RST,
    SYN,
    Flow,
    InvalidPacket,
    Packet,
    Way,
    build_tcp,
    build_udp,
    checksum,
    checksums_right,
    parse_packet,
    reset_both,
)

ANA, RELAY = "192.0.2.10", "203.0.113.11"

addresses = st.ip_addresses(v=4).map(str)
ports = st.integers(0, 0xFFFF)
numbers = st.integers(0, 0xFFFFFFFF)
flags = st.integers(0, 0x3F)
ways = st.sampled_from(Way)
payloads = st.binary(max_size=300)


def ones_complement_sum(data: bytes) -> int:
    """RFC 1071 word by word with end-around carry: 0xFFFF over data with a right checksum."""
    total = 0
    for at in range(0, len(data), 2):
        total += int.from_bytes(data[at : at + 2].ljust(2, b"\0"), "big")
        total = (total & 0xFFFF) + (total >> 16)
    return total


def sums(raw: bytes, proto: int) -> tuple[int, int]:
    pseudo = raw[12:20] + bytes([0, proto]) + (len(raw) - 20).to_bytes(2, "big")
    return ones_complement_sum(raw[:20]), ones_complement_sum(pseudo + raw[20:])


def tcp(seq: int = 100, ack: int = 900, flag: int = ACK, payload: bytes = b"") -> Packet:
    return parse_packet(build_tcp(ANA, 4000, RELAY, 443, seq, ack, flag, payload), Way.OUT)


@given(addresses, ports, addresses, ports, numbers, numbers, flags, payloads, ports, ways)
def test_a_built_tcp_packet_is_read_back(
    src: str,
    sport: int,
    dst: str,
    dport: int,
    seq: int,
    ack: int,
    flag: int,
    payload: bytes,
    window: int,
    way: Way,
) -> None:
    raw = build_tcp(src, sport, dst, dport, seq, ack, flag, payload, window)
    expected = Packet(raw, way, src, dst, 6, sport, dport, seq, ack, flag, window, payload)
    assert parse_packet(raw, way) == expected
    assert sums(raw, 6) == (0xFFFF, 0xFFFF)
    assert checksums_right(raw)


@given(addresses, ports, addresses, ports, payloads, ways)
def test_a_built_udp_packet_is_read_back(
    src: str, sport: int, dst: str, dport: int, payload: bytes, way: Way
) -> None:
    raw = build_udp(src, sport, dst, dport, payload)
    assert parse_packet(raw, way) == Packet(raw, way, src, dst, 17, sport, dport, payload=payload)
    assert sums(raw, 17) == (0xFFFF, 0xFFFF)
    assert raw[26:28] != b"\0\0"
    assert checksums_right(raw)


@given(payloads)
def test_the_checksum_is_that_of_the_rfc(data: bytes) -> None:
    assert checksum(data) == 0xFFFF - ones_complement_sum(data)


@given(payloads.filter(len), st.data())
def test_a_changed_bit_is_noticed(payload: bytes, data: st.DataObject) -> None:
    raw = bytearray(build_tcp(ANA, 1, RELAY, 2, 3, 4, ACK, payload))
    raw[data.draw(st.integers(20, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        assert not checksums_right(bytes(raw))
    except InvalidPacket:
        assert raw[32] != 5 << 4


@given(st.binary(max_size=80), ways)
def test_garbage_is_parsed_or_refused(raw: bytes, way: Way) -> None:
    try:
        packet = parse_packet(raw, way)
    except InvalidPacket:
        return
    assert packet.raw == raw
    assert packet.flow.proto == packet.proto


@given(st.data(), ways)
def test_a_damaged_packet_is_parsed_or_refused(data: st.DataObject, way: Way) -> None:
    builders = [build_tcp(ANA, 1, RELAY, 2, 3, 4, ACK, b"text"), build_udp(ANA, 1, RELAY, 2, b"x")]
    raw = bytearray(data.draw(st.sampled_from(builders)))
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    damaged = bytes(raw[: data.draw(st.integers(0, len(raw)))])
    try:
        packet = parse_packet(damaged, way)
        checksums_right(damaged)
    except InvalidPacket:
        return
    assert len(packet.payload) <= len(damaged) - 20


@given(st.integers(0, 43))
def test_a_packet_that_is_cut_short_is_refused(length: int) -> None:
    with pytest.raises(InvalidPacket):
        parse_packet(build_tcp(ANA, 1, RELAY, 2, 3, 4, ACK, b"text")[:length], Way.OUT)


def with_ip(carried: bytes, proto: int) -> bytes:
    """An IPv4 packet that carries anything."""
    head = bytearray(build_udp(ANA, 1, RELAY, 2, b"")[:20])
    head[2:4] = (20 + len(carried)).to_bytes(2, "big")
    head[9] = proto
    head[10:12] = b"\0\0"
    head[10:12] = checksum(bytes(head)).to_bytes(2, "big")
    return bytes(head) + carried


@pytest.mark.parametrize(
    "raw",
    [
        with_ip(bytes(12) + b"\x50" + bytes(6), 6),
        with_ip(bytes(12) + b"\x40" + bytes(7), 6),
        with_ip(bytes(12) + b"\x60" + bytes(7), 6),
        with_ip(bytes(7), 17),
        with_ip(b"\0\1\0\2\0\7\0\0", 17),
        with_ip(b"\0\1\0\2\0\x09\0\0", 17),
    ],
)
def test_lengths_that_do_not_fit_are_refused(raw: bytes) -> None:
    with pytest.raises(InvalidPacket):
        parse_packet(raw, Way.OUT)


def test_checksums_of_all_protocols_are_judged() -> None:
    raw = build_tcp(ANA, 1, RELAY, 2, 3, 4, ACK)
    assert not checksums_right(raw[:8] + b"\1" + raw[9:])
    assert checksums_right(with_ip(b"\0\1\0\2\0\x08\0\0", 17))
    assert checksums_right(with_ip(b"\x08\0\xf7\xfd\0\1\0\1", 1))
    assert not checksums_right(with_ip(b"\x08\0\xf7\xfc\0\1\0\1", 1))
    assert checksums_right(with_ip(b"anything", 47))


def test_what_follows_the_packet_is_ignored() -> None:
    raw = build_udp(ANA, 1, RELAY, 2, b"text")
    assert parse_packet(raw + bytes(9), Way.OUT).payload == b"text"


def test_the_options_of_tcp_and_ip_are_stepped_over() -> None:
    raw = build_tcp(ANA, 4000, RELAY, 443, 1, 2, PSH | ACK, b"\1\1\1\0text")
    with_tcp_options = raw[:32] + bytes([6 << 4]) + raw[33:]
    assert parse_packet(with_tcp_options, Way.OUT).payload == b"text"
    total = (len(raw) + 4).to_bytes(2, "big")
    with_ip_options = b"\x46\0" + total + raw[4:20] + b"\1\1\1\0" + raw[20:]
    packet = parse_packet(with_ip_options, Way.OUT)
    assert (packet.dport, packet.payload) == (443, b"\1\1\1\0text")


def test_only_the_first_fragment_has_ports() -> None:
    raw = build_udp(ANA, 5353, RELAY, 53, bytes(64))
    first = raw[:2] + (44).to_bytes(2, "big") + raw[4:6] + b"\x20\0" + raw[8:44]
    packet = parse_packet(first, Way.OUT)
    assert (packet.sport, packet.dport, len(packet.payload)) == (5353, 53, 16)
    with pytest.raises(InvalidPacket):
        parse_packet(raw[:6] + b"\0\3" + raw[8:], Way.OUT)


def test_other_protocols_have_no_ports() -> None:
    raw = build_udp(ANA, 1, RELAY, 2, b"text")
    packet = parse_packet(raw[:9] + b"\1" + raw[10:], Way.OUT)
    assert (packet.proto, packet.sport, packet.payload) == (1, 0, raw[20:])


def test_ipv6_is_refused() -> None:
    with pytest.raises(InvalidPacket):
        parse_packet(b"\x60" + bytes(60), Way.OUT)


@pytest.mark.parametrize(
    ("src", "sport", "length"),
    [
        ("relay1.example", 1, 0),
        ("2001:db8::1", 1, 0),
        (ANA, 70000, 0),
        (ANA, -2, 0),
        (ANA, 1, 65535),
    ],
)
def test_what_does_not_fit_cannot_be_built(src: str, sport: int, length: int) -> None:
    with pytest.raises(InvalidPacket):
        build_tcp(src, sport, RELAY, 2, 3, 4, ACK, bytes(length))
    with pytest.raises(InvalidPacket):
        build_udp(src, sport, RELAY, 2, bytes(length))


def test_sequence_numbers_wrap() -> None:
    packet = tcp(seq=2**32 + 5, ack=-1)
    assert (packet.seq, packet.ack) == (5, 2**32 - 1)


def test_the_flags_are_named() -> None:
    assert tcp(flag=SYN).syn
    assert not tcp(flag=SYN).synack
    assert not tcp(flag=SYN).has_ack
    assert tcp(flag=SYN | ACK).synack
    assert not tcp(flag=SYN | ACK).syn
    assert tcp(flag=FIN | ACK).fin
    assert tcp(flag=RST).rst


def test_a_flow_is_the_same_both_ways() -> None:
    there = parse_packet(build_udp(ANA, 4000, RELAY, 443, b""), Way.OUT)
    back = parse_packet(build_udp(RELAY, 443, ANA, 4000, b""), Way.IN)
    assert there.flow == back.flow == Flow(17, (ANA, 4000), (RELAY, 443))
    assert (there.inner, there.outer) == (back.inner, back.outer)
    local = [
        parse_packet(build_udp(ANA, 1, "192.0.2.11", 2, b""), Way.LOCAL),
        parse_packet(build_udp("192.0.2.11", 2, ANA, 1, b""), Way.LOCAL),
    ]
    assert local[0].flow == local[1].flow


@given(numbers, numbers, payloads)
def test_resets_continue_both_directions(seq: int, ack: int, payload: bytes) -> None:
    packet = tcp(seq, ack, PSH | ACK, payload)
    to_ana = parse_packet(reset_both(packet)[0], Way.IN)
    to_relay = parse_packet(reset_both(packet)[1], Way.OUT)
    assert to_ana.rst
    assert to_relay.rst
    assert to_ana.flow == to_relay.flow == packet.flow
    assert (to_ana.dst, to_relay.dst) == (ANA, RELAY)
    assert to_ana.seq == ack
    assert to_ana.ack == (seq + len(payload)) % 2**32
    assert to_relay.seq == seq
    assert all(map(checksums_right, reset_both(packet)))


def test_the_reset_of_a_syn_acknowledges_it() -> None:
    to_ana = parse_packet(reset_both(tcp(seq=2**32 - 1, ack=77, flag=SYN))[0], Way.IN)
    assert to_ana.flags == RST | ACK
    assert (to_ana.seq, to_ana.ack) == (0, 0)


def test_only_tcp_is_reset() -> None:
    with pytest.raises(InvalidPacket):
        reset_both(parse_packet(build_udp(ANA, 1, RELAY, 2, b""), Way.OUT))


@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("unshare") or not Path("/dev/net/tun").exists(),
    reason="needs root, unshare and /dev/net/tun",
)
def test_a_real_tcp_stack_accepts_the_resets() -> None:
    """In a network namespace of its own, over a TUN device whose other end is the test."""
    run = subprocess.run(
        ["unshare", "--net", sys.executable, "-m", "tests.lab.reset_a_kernel"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    if "cannot make a TUN device" in run.stderr:
        pytest.skip("this machine allows no TUN device")
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == ["connecting", "sender", "receiver", "accepting"]
