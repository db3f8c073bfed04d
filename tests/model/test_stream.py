"""Encrypted streams: any place can be read, and no damage goes unseen."""

from __future__ import annotations

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volok.model.stream import (
    CHUNK_BYTES,
    StreamDamaged,
    StreamKey,
    StreamReader,
    StreamWriter,
    padded_length,
    sealed_length,
)
from volok.native import NativeCrypto

KEY = StreamKey(NativeCrypto(), bytes(32), b"test")
LENGTHS = st.one_of(
    st.integers(0, 40),
    st.builds(
        lambda chunks, rest: max(0, chunks * CHUNK_BYTES + rest),
        st.integers(1, 3),
        st.integers(-2, 2),
    ),
)


def seal(plaintext: bytes, pieces: int = 1) -> bytes:
    out = io.BytesIO()
    writer = StreamWriter(out, KEY)
    step = -(-len(plaintext) // pieces) or 1
    for start in range(0, len(plaintext), step):
        writer.write(plaintext[start : start + step])
    writer.finish()
    assert writer.length == len(plaintext)
    return out.getvalue()


def open_stream(sealed: bytes, key: StreamKey = KEY) -> bytes:
    return StreamReader(io.BytesIO(sealed), 0, len(sealed), key).readall() or b""


def sample(length: int) -> bytes:
    return (b"0123456789abcdef" * (length // 16 + 1))[:length]


@settings(max_examples=60, deadline=None)
@given(LENGTHS, st.integers(1, 5))
def test_what_goes_in_comes_out_whatever_the_pieces(length: int, pieces: int) -> None:
    sealed = seal(sample(length), pieces)
    assert sealed == seal(sample(length))
    assert len(sealed) == sealed_length(length)
    assert open_stream(sealed) == sample(length)


@settings(max_examples=60, deadline=None)
@given(LENGTHS, st.data())
def test_any_place_can_be_read(length: int, data: st.DataObject) -> None:
    sealed = b"before" + seal(sample(length)) + b"after"
    reader = StreamReader(io.BytesIO(sealed), 6, len(sealed) - 11, KEY)
    assert reader.size == length
    start = data.draw(st.integers(0, length + 3))
    count = data.draw(st.integers(0, 70_000))
    file = io.BufferedReader(reader)
    file.seek(start)
    assert file.read(count) == sample(length)[start : start + count]
    file.seek(-length, io.SEEK_END)
    assert file.read(5) == sample(length)[:5]
    with pytest.raises(ValueError, match="beginning"):
        reader.seek(-1)


@settings(max_examples=120, deadline=None)
@given(LENGTHS, st.data())
def test_every_cut_and_every_changed_bit_is_seen(length: int, data: st.DataObject) -> None:
    sealed = seal(sample(length))
    at = data.draw(st.integers(0, len(sealed) - 1))
    changed = bytearray(sealed)
    changed[at] ^= 1 << data.draw(st.integers(0, 7))
    for damaged in (sealed[:at], bytes(changed), sealed + b"\0"):
        with pytest.raises(StreamDamaged):
            open_stream(damaged)


def test_chunks_cannot_be_swapped_dropped_or_repeated() -> None:
    sealed = seal(sample(3 * CHUNK_BYTES))
    size = CHUNK_BYTES + 16
    one, two, three = sealed[:size], sealed[size : 2 * size], sealed[2 * size :]
    for damaged in (two + one + three, one + three, one + two, one + one + two + three, b""):
        with pytest.raises(StreamDamaged):
            open_stream(damaged)


def test_another_key_or_another_purpose_opens_nothing() -> None:
    sealed = seal(b"text")
    for other in (
        StreamKey(KEY.crypto, b"\1" * 32, b"test"),
        StreamKey(KEY.crypto, KEY.key, b"tost"),
    ):
        with pytest.raises(StreamDamaged):
            open_stream(sealed, other)


def test_an_end_can_be_hidden_but_nothing_added() -> None:
    sealed = seal(b"text|rest")
    reader = StreamReader(io.BytesIO(sealed), 0, len(sealed), KEY)
    with pytest.raises(StreamDamaged):
        reader.narrow(10)
    reader.narrow(4)
    assert reader.readall() == b"text"


def test_a_stream_that_was_not_finished_is_damaged() -> None:
    out = io.BytesIO()
    StreamWriter(out, KEY).write(sample(2 * CHUNK_BYTES))
    with pytest.raises(StreamDamaged):
        open_stream(out.getvalue())


@given(st.integers(2, 2**40))
def test_padded_lengths_are_few_and_not_much_longer(length: int) -> None:
    padded = padded_length(length)
    assert length <= padded < length * 1.12 + 1
    assert padded_length(padded) == padded
    digits = bin(padded)[2:].rstrip("0")
    assert len(digits) <= (length.bit_length() - 1).bit_length() + 1
