"""quic-block: Initial packets to port 443 do not get out."""

import pytest
from lab.censor import DROP, PASS
from lab.censors.quic_block import QuicBlock, Settings
from lab.packets import PSH, Packet
from tests.lab.censors import ANA, BORIS, GROUND, OTHER, tcp, udp

from lab import censor

CLIENT, SERVER = (ANA, 50000), (OTHER, 443)


def initial(version: bytes = b"\0\0\0\1", size: int = 1200) -> bytes:
    """The unprotected start of RFC 9001, A.2, padded."""
    first = b"\xd3" if version != b"\0\0\0\1" else b"\xc3"
    head = first + version + bytes.fromhex("088394c8f03e5157080000449e")
    return head + bytes(size - len(head))


def short() -> bytes:
    return b"\x40" + bytes(60)


def out(payload: bytes) -> Packet:
    return udp(CLIENT, SERVER, payload)


def test_an_initial_is_dropped_and_nothing_else_without_residual() -> None:
    censor_ = QuicBlock(Settings(shortest=1, residual=0))
    assert censor_.see(out(initial()), 0) == DROP
    assert censor_.see(out(initial(b"\x6b\x33\x43\xcf")), 0) == DROP
    assert censor_.see(out(short()), 0) == PASS
    assert censor_.see(udp(SERVER, CLIENT, initial()), 0) == PASS


def test_with_residual_the_flow_stays_blocked_both_ways_until_its_time_is_over() -> None:
    censor_ = QuicBlock(Settings(shortest=1001, residual=420))
    assert censor_.see(out(short()), 0) == PASS
    assert censor_.see(out(initial()), 10) == DROP
    assert censor_.see(out(short()), 429) == DROP
    assert censor_.see(udp(SERVER, CLIENT, short()), 429) == DROP
    assert censor_.see(udp((ANA, 50001), SERVER, short()), 429) == PASS
    assert censor_.see(out(short()), 430) == PASS
    assert censor_.see(out(initial()), 440) == DROP
    assert censor_.see(out(initial()), 840) == DROP
    assert censor_.see(out(short()), 900) == DROP


def test_a_payload_that_is_too_short_is_not_looked_at() -> None:
    censor_ = QuicBlock(Settings(shortest=1001, residual=420))
    assert censor_.see(out(initial(size=1000)), 0) == PASS
    assert censor_.see(out(initial(size=1001)), 0) == DROP


@pytest.mark.parametrize(
    "packet",
    [
        udp(CLIENT, (OTHER, 4433), initial()),
        udp(CLIENT, (BORIS, 443), initial()),
        udp((OTHER, 50000), (ANA, 443), initial()),
        udp(CLIENT, SERVER, initial(b"\xff\0\0\x1d")),
        udp(CLIENT, SERVER, b"x" * 1200),
        udp(CLIENT, SERVER, b""),
        tcp(CLIENT, SERVER, PSH, initial()),
    ],
    ids=["other port", "local", "from abroad", "draft version", "text", "empty", "TCP"],
)
def test_the_rest_passes(packet: Packet) -> None:
    assert QuicBlock(Settings(shortest=1, residual=420)).see(packet, 0) == PASS


def test_drawn_parameters_block_every_real_initial() -> None:
    for seed in range(20):
        made, _ = censor.make("quic-block", GROUND, seed)
        assert made.see(out(initial()), 0) == DROP
