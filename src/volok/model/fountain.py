"""A fountain code: any k + 2 or so of endlessly many blocks give back the k blocks of some data.

The systematic random linear code over GF(2) (D. J. C. MacKay, "Fountain codes", IEE Proceedings -
Communications 152(6), 2005): blocks 0 to k - 1 are the data itself, padded with zeros; block n
from k on is the XOR of those blocks i whose bit i is set in

    SHAKE-128("volok fountain 1" | seed | n (4 bytes)), ceil(k / 8) bytes, read as a number; bits
    from k on are dropped, and all of them set where none is.

Numbers are big-endian. With k + e different blocks of which e or more are random, decoding fails
with a probability of about 2^-e, whatever was lost and whatever k is. The price is work that grows
with k squared, which is small for the few thousand blocks that this is for.

A row of the decoder is one number: the coefficients above, the XOR of the blocks below. So adding
two rows is a single XOR, and the highest set bit of a row is its pivot.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

NUMBERS = 1 << 32
"""Blocks are numbered below this; that is endless enough."""

_LABEL = b"volok fountain 1"


def block_count(size: int, block_bytes: int) -> int:
    """k: the blocks that `size` bytes of data have."""
    return -(-size // block_bytes)


def _coefficients(seed: bytes, number: int, count: int) -> int:
    """Which of `count` blocks are in this one, as bits."""
    if number < count:
        return 1 << number
    drawn = hashlib.shake_128(_LABEL + seed + number.to_bytes(4, "big")).digest(-(-count // 8))
    every = (1 << count) - 1
    return int.from_bytes(drawn, "big") & every or every


def _set_bits(value: int) -> Iterator[int]:
    digits = bin(value)[:1:-1]
    at = digits.find("1")
    while at >= 0:
        yield at
        at = digits.find("1", at + 1)


class FountainEncoder:
    """Makes the blocks of `data`, which is not empty."""

    def __init__(self, data: bytes, block_bytes: int, seed: bytes) -> None:
        self.count = block_count(len(data), block_bytes)
        """k."""
        self._seed = seed
        self._bytes = block_bytes
        padded = data.ljust(self.count * block_bytes, b"\0")
        self._blocks = [
            int.from_bytes(padded[at : at + block_bytes], "big")
            for at in range(0, len(padded), block_bytes)
        ]

    def block(self, number: int) -> bytes:
        """Block `number`, of 0 to NUMBERS - 1."""
        value = 0
        for place in _set_bits(_coefficients(self._seed, number, self.count)):
            value ^= self._blocks[place]
        return value.to_bytes(self._bytes, "big")


class FountainDecoder:
    """Gathers blocks, in any order and as often as they come, until the data is whole.

    Holds `size` bytes and k squared bits at most; whoever makes one bounds both. It cannot tell a
    wrong block: the hash of the whole must be known from elsewhere.
    """

    def __init__(self, size: int, block_bytes: int, seed: bytes) -> None:
        self.count = block_count(size, block_bytes)
        """k: so many blocks that say something new are needed."""
        self._size = size
        self._bytes = block_bytes
        self._low = 8 * block_bytes
        self._seed = seed
        self._rows: dict[int, int] = {}

    @property
    def have(self) -> int:
        """How many blocks said something new."""
        return len(self._rows)

    @property
    def whole(self) -> bool:
        """Whether `data()` can be had."""
        return len(self._rows) == self.count

    def add(self, number: int, block: bytes) -> bool:
        """Take a block of the right length; returns whether it said something new."""
        row = _coefficients(self._seed, number, self.count) << self._low
        row |= int.from_bytes(block, "big")
        while (pivot := row.bit_length() - 1) >= self._low:
            known = self._rows.get(pivot)
            if known is None:
                self._rows[pivot] = row
                return True
            row ^= known
        return False

    def data(self) -> bytes:
        """The data, once `whole`."""
        mask = (1 << self._low) - 1
        solved: list[int] = []
        for place in range(self.count):  # each row holds its own block and some of those before it
            row = self._rows[self._low + place]
            value = row & mask
            for other in _set_bits((row >> self._low) ^ (1 << place)):
                value ^= solved[other]
            solved.append(value)
        return b"".join(value.to_bytes(self._bytes, "big") for value in solved)[: self._size]
