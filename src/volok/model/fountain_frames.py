"""Frames: some bytes as an endless stream of small, self-describing pieces, for screen and camera.

    "vlk" (3 bytes) | version 1 (1 byte) | stream (8 bytes) | size of the whole (4 bytes) |
    number (4 bytes) | block | CRC-32 of all that stands before (4 bytes)

Numbers are big-endian. `stream` is the beginning of the SHA-256 of the whole: it tells streams
apart, seeds the code (see `volok.model.fountain`) and shows at the end whether all of it is right.
The CRC is there because a camera's misreading now and then looks like a valid code.

Rules for a reader, whom anybody may show anything:

1. What is no frame, or claims more than the bounds, is refused before memory is spent on it.
2. Frames may be lost, repeated, out of order and mixed with those of other streams.
3. What comes out hashes to its stream. If not, all of that stream is dropped and may begin anew.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections import OrderedDict
from dataclasses import dataclass

from volok.model.fountain import FountainDecoder, FountainEncoder, block_count

MAGIC = b"vlk"
VERSION = 1
MAX_BYTES = 2_000_000
"""The most that a stream carries. At ten frames a second this takes some eight minutes."""
MAX_BLOCKS = 8192
MIN_BLOCK_BYTES = 64
MAX_FRAME_BYTES = 2953
"""What the largest QR code holds (ISO/IEC 18004, version 40-L)."""
MAX_STREAMS = 4
"""So many unfinished streams are remembered."""
MAX_FINISHED = 64

_HEAD = struct.Struct(">3sB8sLL")
_CRC = struct.Struct(">L")
FRAMING = _HEAD.size + _CRC.size
"""Bytes of a frame besides its block."""

_Key = tuple[bytes, int, int]


class FrameError(Exception):
    """This picture cannot be read."""


class InvalidFrame(FrameError):
    """This is not a picture of Volok's."""


class FrameTooNew(FrameError):
    """The other side has a newer version of Volok. Update yours and read the pictures again."""


class StreamSpoiled(FrameError):
    """The pictures that were read do not fit together, so reading begins anew. Keep everything
    but the other screen out of the camera's sight."""


class StreamTooLarge(FrameError):
    """This is too much to be shown as pictures."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One piece of a stream."""

    stream: bytes
    size: int
    """Bytes of the whole."""
    number: int
    block: bytes

    def to_bytes(self) -> bytes:
        """The frame as it is shown."""
        head = _HEAD.pack(MAGIC, VERSION, self.stream, self.size, self.number)
        return head + self.block + _CRC.pack(zlib.crc32(head + self.block))


def parse_frame(data: bytes) -> Frame:
    """Read a frame. Raises InvalidFrame, FrameTooNew."""
    if not FRAMING + MIN_BLOCK_BYTES <= len(data) <= MAX_FRAME_BYTES:
        raise InvalidFrame
    magic, version, stream, size, number = _HEAD.unpack_from(data)
    (crc,) = _CRC.unpack_from(data, len(data) - _CRC.size)
    if magic != MAGIC or version < 1 or crc != zlib.crc32(data[: -_CRC.size]):
        raise InvalidFrame
    if version > VERSION:
        raise FrameTooNew
    block = data[_HEAD.size : -_CRC.size]
    if not 1 <= size <= MAX_BYTES or block_count(size, len(block)) > MAX_BLOCKS:
        raise InvalidFrame
    return Frame(stream, size, number, block)


def stream_name(whole: bytes) -> bytes:
    """The name of the stream that carries these bytes."""
    return hashlib.sha256(whole).digest()[:8]


class FrameWriter:
    """Makes the frames of `whole`, each `frame_bytes` long, for ever. Raises StreamTooLarge;
    ValueError when there is nothing to show."""

    def __init__(self, whole: bytes, frame_bytes: int) -> None:
        block_bytes = frame_bytes - FRAMING
        if not whole or block_bytes < MIN_BLOCK_BYTES:
            raise ValueError("There is nothing to show, or no room for it in a frame.")
        if len(whole) > MAX_BYTES or block_count(len(whole), block_bytes) > MAX_BLOCKS:
            raise StreamTooLarge
        self.stream = stream_name(whole)
        self._size = len(whole)
        self._encoder = FountainEncoder(whole, block_bytes, self.stream)

    @property
    def count(self) -> int:
        """A reader needs this many frames, and two more or so."""
        return self._encoder.count

    def frame(self, number: int) -> bytes:
        """Frame `number`, of 0 to fountain.NUMBERS - 1."""
        block = self._encoder.block(number)
        return Frame(self.stream, self._size, number, block).to_bytes()


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a stream has come."""

    have: int
    need: int


class FrameReader:
    """Gathers frames of several streams until one of them is whole.

    Holds MAX_STREAMS times MAX_BYTES and MAX_BLOCKS squared bits (8 MiB) at most.
    """

    def __init__(self) -> None:
        self._streams: OrderedDict[_Key, FountainDecoder] = OrderedDict()
        self._finished: OrderedDict[bytes, None] = OrderedDict()
        self.progress: Progress | None = None
        """Of the stream that moved last. None: there is none."""
        self.passed_over: bytes | None = None
        """The stream of the last frame, if nothing more is taken of it."""

    def take(self, data: bytes) -> bytes | None:
        """Take what a camera read; returns the whole that it completes, once.

        Raises InvalidFrame, FrameTooNew, and StreamSpoiled when a stream is whole but not what its
        name says.
        """
        frame = parse_frame(data)
        self.passed_over = frame.stream if frame.stream in self._finished else None
        if self.passed_over is not None:
            return None
        key = (frame.stream, frame.size, len(frame.block))
        decoder = self._streams.get(key)
        if decoder is None:
            decoder = FountainDecoder(frame.size, len(frame.block), frame.stream)
            self._streams[key] = decoder
        if not decoder.add(frame.number, frame.block):
            return None
        self._streams.move_to_end(key)
        if len(self._streams) > MAX_STREAMS:
            self._streams.popitem(last=False)
        self.progress = Progress(decoder.have, decoder.count)
        return self._finish(key, decoder) if decoder.whole else None

    def _finish(self, key: _Key, decoder: FountainDecoder) -> bytes:
        del self._streams[key]
        self.progress = None
        whole = decoder.data()
        if stream_name(whole) != key[0]:
            raise StreamSpoiled
        self.pass_over(key[0])
        return whole

    def pass_over(self, stream: bytes) -> None:
        """Take nothing more of a stream: it was read, or it is our own."""
        self._finished[stream] = None
        if len(self._finished) > MAX_FINISHED:
            self._finished.popitem(last=False)

    def read_again(self, whole: bytes) -> None:
        """What was read could not be used: take its stream once more when it is shown."""
        self._finished.pop(stream_name(whole), None)
