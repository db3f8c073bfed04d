"""Frames: anything may be shown to a camera, and only what was sent comes out."""

from __future__ import annotations

import random
import struct
import zlib
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volok.model.fountain_frames import (
    FRAMING,
    MAX_BYTES,
    MAX_FINISHED,
    MAX_STREAMS,
    MIN_BLOCK_BYTES,
    Frame,
    FrameReader,
    FrameTooNew,
    FrameWriter,
    InvalidFrame,
    Progress,
    StreamSpoiled,
    StreamTooLarge,
    parse_frame,
    stream_name,
)

FRAME = 140


def some(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


def read_all(reader: FrameReader, writer: FrameWriter, first: int = 0) -> bytes:
    """Read a stream from some frame on until it is whole."""
    for number in range(first, first + writer.count + 60):
        whole = reader.take(writer.frame(number))
        if whole is not None:
            return whole
    raise AssertionError("never whole")


@given(
    st.binary(min_size=8, max_size=8),
    st.integers(1, MAX_BYTES),
    st.integers(0, (1 << 32) - 1),
    st.binary(min_size=500, max_size=900),
)
def test_frames_come_back(stream: bytes, size: int, number: int, block: bytes) -> None:
    frame = Frame(stream, size, number, block)
    assert parse_frame(frame.to_bytes()) == frame


@given(st.binary(max_size=3000) | st.binary(max_size=200).map(lambda data: b"vlk\x01" + data))
def test_garbage_is_refused(data: bytes) -> None:
    reader = FrameReader()
    with pytest.raises(InvalidFrame):
        reader.take(data)
    assert reader.progress is None


@given(st.integers(0, FRAME - 1), st.integers(1, 255))
def test_a_misread_frame_is_refused(place: int, change: int) -> None:
    data = bytearray(FrameWriter(some(1000), FRAME).frame(50))
    data[place] ^= change
    with pytest.raises(InvalidFrame):
        parse_frame(bytes(data))


@pytest.mark.parametrize(
    "frame",
    [
        Frame(bytes(8), 0, 0, bytes(100)),
        Frame(bytes(8), MAX_BYTES + 1, 0, bytes(500)),
        Frame(bytes(8), (1 << 32) - 1, 0, bytes(2900)),
        Frame(bytes(8), MAX_BYTES, 0, bytes(100)),
        Frame(bytes(8), 100, 0, bytes(MIN_BLOCK_BYTES - 1)),
        Frame(bytes(8), 100, 0, bytes(3000)),
    ],
    ids=["empty", "too large", "far too large", "too many blocks", "tiny blocks", "no QR code"],
)
def test_claims_out_of_bounds_are_refused(frame: Frame) -> None:
    with pytest.raises(InvalidFrame):
        FrameReader().take(frame.to_bytes())


def test_a_newer_version_is_named() -> None:
    data = bytearray(FrameWriter(some(100), FRAME).frame(0))
    data[3] = 2
    data[-4:] = struct.pack(">L", zlib.crc32(data[:-4]))
    with pytest.raises(FrameTooNew):
        parse_frame(bytes(data))


def test_what_cannot_be_shown() -> None:
    with pytest.raises(StreamTooLarge):
        FrameWriter(bytes(MAX_BYTES + 1), 425)
    with pytest.raises(StreamTooLarge):
        FrameWriter(bytes(MAX_BYTES), FRAME)
    for whole, frame_bytes in ((b"", 425), (b"x", FRAMING + MIN_BLOCK_BYTES - 1)):
        with pytest.raises(ValueError, match="nothing to show"):
            FrameWriter(whole, frame_bytes)


@given(st.binary(min_size=1, max_size=4000), st.integers(0, 10_000))
@settings(deadline=None, max_examples=40)
def test_a_stream_is_read_from_anywhere(whole: bytes, first: int) -> None:
    reader = FrameReader()
    writer = FrameWriter(whole, FRAME)
    assert read_all(reader, writer, first) == whole
    assert reader.take(writer.frame(first)) is None
    assert (reader.passed_over, reader.progress) == (writer.stream, None)


@given(st.lists(st.integers(0, MAX_STREAMS - 1), min_size=600, max_size=600))
@settings(deadline=None, max_examples=10)
def test_streams_may_be_mixed(turns: list[int]) -> None:
    wholes = [some(1500, seed) for seed in range(MAX_STREAMS)]
    writers = [FrameWriter(whole, FRAME) for whole in wholes]
    reader, found = FrameReader(), []
    for shown, turn in enumerate(turns + list(range(MAX_STREAMS)) * 100):
        whole = reader.take(writers[turn].frame(shown))
        found += [] if whole is None else [whole]
    assert sorted(found) == sorted(wholes)


def test_progress_counts_what_is_new() -> None:
    reader, writer = FrameReader(), FrameWriter(some(1000), FRAME)
    for _ in range(3):
        reader.take(writer.frame(5))
    assert reader.progress == Progress(1, writer.count)
    reader.take(writer.frame(70))
    assert reader.progress == Progress(2, writer.count)


def test_a_spoiled_stream_begins_anew() -> None:
    """Somebody shows frames of this stream with other blocks: it comes in only without them."""
    whole = some(1000)
    writer = FrameWriter(whole, FRAME)
    reader = FrameReader()
    wrong = replace(parse_frame(writer.frame(2)), block=some(FRAME - FRAMING, 9))
    reader.take(wrong.to_bytes())
    with pytest.raises(StreamSpoiled):
        read_all(reader, writer)
    assert reader.progress is None
    assert read_all(reader, writer) == whole


def test_memory_is_bounded() -> None:
    reader = FrameReader()
    frame = parse_frame(FrameWriter(some(1000), FRAME).frame(0))
    for seed in range(3 * MAX_STREAMS):
        reader.take(replace(frame, stream=seed.to_bytes(8, "big")).to_bytes())
    assert len(reader._streams) == MAX_STREAMS
    for seed in range(3 * MAX_FINISHED):
        read_all(reader, FrameWriter(some(50, seed), FRAME))
    assert len(reader._finished) == MAX_FINISHED


def test_what_could_not_be_used_is_read_again() -> None:
    whole = some(300)
    reader, writer = FrameReader(), FrameWriter(whole, FRAME)
    assert read_all(reader, writer) == whole
    reader.read_again(whole)
    assert read_all(reader, writer) == whole
    assert stream_name(whole) == writer.stream
    reader.pass_over(FrameWriter(b"ours", FRAME).stream)
    assert reader.take(FrameWriter(b"ours", FRAME).frame(0)) is None


def test_frames_are_the_same_for_ever() -> None:
    """Other versions and other programs read them."""
    writer = FrameWriter(bytes(range(200)), FRAMING + MIN_BLOCK_BYTES)
    assert writer.frame(0).hex() == KNOWN_FIRST
    assert zlib.crc32(writer.frame(1000)) == KNOWN_THOUSANDTH


KNOWN_FIRST = (
    "766c6b011901da1c9f699b48000000c800000000000102030405060708090a0b0c0d0e0f10111213"
    "1415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b"
    "3c3d3e3f07d89a7c"
)
KNOWN_THOUSANDTH = 3097528608
