"""The fountain code: whatever is lost, a few blocks more than there are give everything back."""

from __future__ import annotations

import hashlib
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volok.model.fountain import (
    NUMBERS,
    FountainDecoder,
    FountainEncoder,
    block_count,
)

SEED = b"a stream"


def blocks_needed(data: bytes, block_bytes: int, numbers: list[int]) -> int | None:
    """How many of these blocks gave the data back; None when all were too few."""
    encoder = FountainEncoder(data, block_bytes, SEED)
    decoder = FountainDecoder(len(data), block_bytes, SEED)
    for taken, number in enumerate(numbers, 1):
        decoder.add(number, encoder.block(number))
        if decoder.whole:
            assert decoder.data() == data
            return taken
    return None


@given(
    st.binary(min_size=1, max_size=3000),
    st.integers(1, 200),
    st.integers(0, NUMBERS - 20_000),
    st.randoms(use_true_random=False),
)
@settings(deadline=None, max_examples=60)
def test_any_part_of_the_stream_gives_everything_back(
    data: bytes, block_bytes: int, first: int, chance: random.Random
) -> None:
    count = block_count(len(data), block_bytes)
    shown = range(first, first + 2 * count + 80)
    seen = [number for number in shown if chance.random() < 0.8]
    chance.shuffle(seen)
    assert blocks_needed(data, block_bytes, seen) is not None


@pytest.mark.parametrize("size", [1, 63, 64, 65, 1000])
def test_the_blocks_themselves_are_enough(size: int) -> None:
    data = random.Random(size).randbytes(size)
    count = block_count(size, 64)
    order = list(range(count))
    random.Random(0).shuffle(order)
    assert blocks_needed(data, 64, order) == count


@pytest.mark.parametrize("count", [1, 2, 14, 100, 600])
def test_the_overhead_is_two_blocks_or_so(count: int) -> None:
    """MacKay 2005: 1.6 on average, and more than 10 once in a thousand times."""
    chance = random.Random(count)
    data = chance.randbytes(count * 8)
    extra = []
    for _ in range(2 if count > 500 else 40):
        numbers = [chance.randrange(NUMBERS) for _ in range(count + 30)]
        needed = blocks_needed(data, 8, numbers)
        assert needed is not None
        extra.append(needed - count)
    assert sum(extra) / len(extra) < 3.5
    assert max(extra) <= 14


def test_repeated_blocks_say_nothing_new() -> None:
    encoder = FountainEncoder(b"x" * 100, 10, SEED)
    decoder = FountainDecoder(100, 10, SEED)
    assert decoder.add(3, encoder.block(3))
    assert not decoder.add(3, encoder.block(3))
    assert (decoder.have, decoder.whole) == (1, False)


@given(st.lists(st.tuples(st.integers(0, NUMBERS - 1), st.binary(min_size=4, max_size=4))))
def test_wrong_blocks_are_harmless(blocks: list[tuple[int, bytes]]) -> None:
    decoder = FountainDecoder(30, 4, SEED)
    for number, block in blocks:
        decoder.add(number, block)
    assert decoder.have <= decoder.count == 8
    if decoder.whole:
        assert len(decoder.data()) == 30


def test_blocks_are_the_same_for_ever() -> None:
    """Other versions and other programs read them."""
    encoder = FountainEncoder(bytes(range(100)), 16, b"12345678")
    assert encoder.count == 7
    assert encoder.block(6) == bytes(range(96, 100)) + bytes(12)
    assert encoder.block(7).hex() == KNOWN_SEVENTH
    many = b"".join(encoder.block(number) for number in (*range(64), NUMBERS - 1))
    assert hashlib.sha256(many).hexdigest() == KNOWN_DIGEST


KNOWN_SEVENTH = "40414243202020202020202020202020"
KNOWN_DIGEST = "fd2095c0ffff2f3d8dc974a789f5834b2b136e35f28701548ae9be07f1979a3c"
