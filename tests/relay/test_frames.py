"""Websocket frames (RFC 6455), against another implementation and against garbage."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN
from websockets.uri import parse_uri

from volok.relay.frames import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    FrameReader,
    Message,
    close_frame,
    control_frame,
    text_frame,
)

MAX = 100_000
_MESSAGES = st.lists(
    st.one_of(
        st.tuples(st.sampled_from([TEXT, BINARY]), st.binary(max_size=300)),
        st.tuples(st.sampled_from([PING, PONG]), st.binary(max_size=125)),
        st.tuples(st.just(TEXT), st.sampled_from([125, 126, 65535, 65536]).map(bytes)),
    ),
    max_size=8,
)


def masked(opcode: int, payload: bytes, *, fin: bool = True) -> bytes:
    return Frame(Opcode(opcode), payload, fin=fin).serialize(mask=True)


def reserved(frame: bytes, bit: int) -> bytes:
    return bytes([frame[0] | bit]) + frame[1:]


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[begin:end] for begin, end in pairwise(places)]


@given(_MESSAGES, st.lists(st.integers(0, 10**6), max_size=20), st.integers(1, 4))
def test_messages_come_out_whole_however_they_arrive(messages, cuts, parts):
    wire = b""
    for opcode, payload in messages:
        if opcode in (TEXT, BINARY):
            size = len(payload) // parts + 1
            chunks = [payload[at : at + size] for at in range(0, len(payload), size)] or [b""]
            for number, chunk in enumerate(chunks):
                last = number == len(chunks) - 1
                wire += masked(0 if number else opcode, chunk, fin=last)
                wire += b"" if last else masked(PING, b"between")
        else:
            wire += masked(opcode, payload)
    reader = FrameReader(MAX)
    got = [message for piece in pieces(wire, cuts) for message in reader.receive(piece)]
    assert [m for m in got if m != (PING, b"between")] == [
        m for m in messages if m != (PING, b"between")
    ]
    assert reader.failure is None


@pytest.mark.parametrize(
    ("wire", "code"),
    [
        (masked(TEXT, b"x" * (MAX + 1)), 1009),
        (masked(TEXT, b"x" * MAX, fin=False) + masked(0, b"x"), 1009),
        (b"\x81\xff" + b"\xff" * 8 + bytes(4), 1009),
        (Frame(Opcode.TEXT, b"unmasked").serialize(mask=False), 1002),
        (reserved(masked(TEXT, b"deflated"), 0x40), 1002),
        (reserved(masked(TEXT, b""), 0x20), 1002),
        (reserved(masked(PING, b""), 0x10), 1002),
        (b"\x83\x80" + bytes(4), 1002),
        (b"\x8b\x80" + bytes(4), 1002),
        (masked(0, b"no beginning"), 1002),
        (masked(TEXT, b"a", fin=False) + masked(TEXT, b"b"), 1002),
        (b"\x09\x80" + bytes(4), 1002),
        (b"\x89\xfe\x00\x80" + bytes(4 + 128), 1002),
        (masked(CLOSE, b"\x03"), 1002),
        (masked(CLOSE, (1005).to_bytes(2)), 1002),
        (masked(CLOSE, (1000).to_bytes(2) + b"\xff"), 1007),
    ],
    ids=lambda value: value if isinstance(value, int) else "frame",  # masks are random
)
def test_what_breaks_the_protocol_is_a_close_code(wire, code):
    reader = FrameReader(MAX)
    got = reader.receive(masked(TEXT, b"before") + wire + masked(TEXT, b"after"))
    assert got == [Message(TEXT, b"before")]
    assert reader.failure == code
    assert reader.receive(masked(TEXT, b"later")) == []


@given(st.binary(max_size=2000), st.lists(st.integers(0, 2000), max_size=10))
def test_garbage_raises_nothing_and_gives_the_same_in_any_pieces(data, cuts):
    whole, cut = FrameReader(500), FrameReader(500)
    expected = whole.receive(data)
    assert [m for piece in pieces(data, cuts) for m in cut.receive(piece)] == expected
    assert cut.failure == whole.failure


@given(st.binary(max_size=600), st.integers(1, 5), _MESSAGES)
def test_frames_that_are_left_for_later_come_later(garbage, most, messages):
    wire = b"".join(masked(opcode, payload) for opcode, payload in messages) + garbage
    whole, slow = FrameReader(MAX), FrameReader(MAX)
    expected, got = whole.receive(wire), slow.receive(wire[:50], 0)
    assert got == []
    slow.receive(wire[50:], 0)
    while slow.is_behind:
        some = slow.receive(b"", most)
        assert len(some) <= most
        got += some
    assert got == expected
    assert slow.failure == whole.failure


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536])
def test_another_implementation_reads_our_frames(size):
    client = ClientProtocol(parse_uri("ws://relay.example/"), state=OPEN, max_size=None)
    text = b"x" * size
    client.receive_data(text_frame(text) + control_frame(PING, b"p") + close_frame(1013, "slow"))
    events = client.events_received()
    assert [(event.opcode, event.data) for event in events] == [
        (Opcode.TEXT, text),
        (Opcode.PING, b"p"),
        (Opcode.CLOSE, (1013).to_bytes(2) + b"slow"),
    ]
