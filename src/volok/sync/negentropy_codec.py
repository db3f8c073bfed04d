"""The binary format of negentropy frames, protocol version 1 (appendix of NIP-77). Pure.

1. A bound is held as its key: 8 bytes of created_at, most significant first, then as much of an id
   as is given. What a bound leaves out is zero, so keys compare as bytes, with one another and with
   the 40-byte keys of records. The bound above everything is `INFINITY`.
2. Times in a frame are differences to the one before; a reader and a writer each serve one frame.
"""

from __future__ import annotations

from enum import IntEnum

VERSION = 0x61
"""First byte of a frame: protocol version 1."""
VERSIONS = range(0x60, 0x70)
"""First bytes that stand for some version of the protocol."""
ID_BYTES = 32
TIME_BYTES = 8
FINGERPRINT_BYTES = 16
INFINITY = b"\xff" * TIME_BYTES
"""The key of the bound above every record."""

_MOST = 2**64 - 1


class InvalidFrame(ValueError):
    """This is no frame of the negentropy protocol, version 1."""


class Mode(IntEnum):
    """What a frame tells about a range."""

    SKIP = 0
    FINGERPRINT = 1
    IDS = 2


class FrameReader:
    """Reads one frame from its beginning. Every method raises InvalidFrame."""

    def __init__(self, frame: bytes) -> None:
        self._frame = frame
        self._place = 0
        self._time = 0

    @property
    def more(self) -> bool:
        """Whether anything is left."""
        return self._place < len(self._frame)

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        end = self._place + count
        if end > len(self._frame):
            raise InvalidFrame("The frame ends too early.")
        taken = self._frame[self._place : end]
        self._place = end
        return taken

    def varint(self) -> int:
        """A number below 2**64, in base 128."""
        value = 0
        while True:
            if self._place >= len(self._frame):
                raise InvalidFrame("The frame ends too early.")
            byte = self._frame[self._place]
            self._place += 1
            value = value << 7 | byte & 127
            if value > _MOST:
                raise InvalidFrame("A number is too large.")
            if byte < 128:
                return value

    def bound(self) -> bytes:
        """The key of an upper bound."""
        step = self.varint()
        self._time = _MOST if step == 0 else min(self._time + step - 1, _MOST)
        length = self.varint()
        if length > ID_BYTES:
            raise InvalidFrame("The id in a bound is too long.")
        return self._time.to_bytes(TIME_BYTES, "big") + self.take(length)

    def mode(self) -> Mode:
        """What follows for a range."""
        try:
            return Mode(self.varint())
        except ValueError as error:
            raise InvalidFrame("The frame holds an unknown kind of range.") from error

    def ids(self) -> bytes:
        """A list of ids, one after the other."""
        return self.take(self.varint() * ID_BYTES)


class FrameWriter:
    """Writes the ranges of one frame. What is written is not kept here."""

    def __init__(self) -> None:
        self._time = 0

    def skip(self, upper: bytes) -> bytes:
        """A range up to the bound `upper` of which nothing is to be said."""
        return self._bound(upper) + bytes((Mode.SKIP,))

    def fingerprint(self, upper: bytes, fingerprint: bytes) -> bytes:
        """A range and the digest of what we have in it."""
        return self._bound(upper) + bytes((Mode.FINGERPRINT,)) + fingerprint

    def ids(self, upper: bytes, ids: bytes) -> bytes:
        """A range and all ids that we have in it, one after the other."""
        return self._bound(upper) + bytes((Mode.IDS,)) + varint(len(ids) // ID_BYTES) + ids

    def _bound(self, key: bytes) -> bytes:
        time = int.from_bytes(key[:TIME_BYTES], "big")
        step = 0 if time == _MOST else time - self._time + 1
        self._time = time
        return varint(step) + varint(len(key) - TIME_BYTES) + key[TIME_BYTES:]


def varint(number: int) -> bytes:
    """A number from 0 in base 128: most significant digit first, as few digits as possible."""
    digits = bytearray((number & 127,))
    while number := number >> 7:
        digits.append(number & 127 | 128)
    digits.reverse()
    return bytes(digits)
