"""Encrypted streams: long data in chunks that can be written once and read at any place.

The construction is STREAM (Hoang, Reyhanitabar, Rogaway, Vizar: "Online Authenticated-Encryption
and its Nonce-Reuse Misuse-Resistance", 2015) with the parameters of the age file format: chunks of
64 KiB, each ChaCha20-Poly1305 (RFC 8439) with the nonce

    chunk number (11 bytes, big-endian) | 1 for the last chunk, else 0 (1 byte)

so that chunks cannot be swapped, dropped or cut off. The last chunk is empty only when all is. A
key serves for one stream alone. Files are handed in; nothing here opens one.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from volok.model.crypto import Crypto, CryptoError

CHUNK_BYTES = 65_536
TAG_BYTES = 16
_SEALED_CHUNK = CHUNK_BYTES + TAG_BYTES


class StreamDamaged(Exception):
    """These data were altered or cut, or belong to another key."""


class Writable(Protocol):
    """What a stream is written to."""

    def write(self, data: bytes, /) -> int:
        """Write all of `data`."""


def sealed_length(length: int) -> int:
    """The length of a stream, in bytes, that holds `length` bytes."""
    return length + TAG_BYTES * max(1, -(-length // CHUNK_BYTES))


def padded_length(length: int) -> int:
    """Padmé: round a length up so that it tells little and grows by less than 12 %.

    "Reducing Metadata Leakage from Encrypted Files and Communication with PURBs" (Nikitin and
    others, 2019), algorithm 1. `length` is at least 2.
    """
    exponent = length.bit_length() - 1
    low_bits = exponent - exponent.bit_length()
    mask = (1 << max(low_bits, 0)) - 1
    return (length + mask) & ~mask


@dataclass(frozen=True, slots=True)
class StreamKey:
    """The key of one stream."""

    crypto: Crypto
    key: bytes
    """32 bytes, used for nothing else."""
    associated: bytes
    """Authenticated with each chunk: what the stream is, and its surroundings."""

    def seal(self, chunk: int, last: bool, plaintext: bytes) -> bytes:
        """Encrypt one chunk of at most CHUNK_BYTES."""
        return self.crypto.encrypt(self.key, _nonce(chunk, last), plaintext, self.associated)

    def open(self, chunk: int, last: bool, sealed: bytes) -> bytes:
        """The inverse of `seal`. Raises StreamDamaged."""
        try:
            return self.crypto.decrypt(self.key, _nonce(chunk, last), sealed, self.associated)
        except CryptoError as error:
            raise StreamDamaged from error


class StreamWriter:
    """Encrypts what is written to it. `finish` must be called, or the stream counts as cut."""

    def __init__(self, out: Writable, key: StreamKey) -> None:
        self._out = out
        self._key = key
        self._waiting = bytearray()
        self._chunk = 0
        self.length = 0
        """Bytes of plaintext written so far."""

    def write(self, data: bytes | memoryview, /) -> int:
        """Take all of `data` and return its length. Raises what the file raises."""
        self._waiting += data
        self.length += len(data)
        taken = 0
        # A full chunk waits for one more byte: only then is it known not to be the last.
        while len(self._waiting) - taken > CHUNK_BYTES:
            self._put(bytes(self._waiting[taken : taken + CHUNK_BYTES]), last=False)
            taken += CHUNK_BYTES
        del self._waiting[:taken]
        return len(data)

    def flush(self) -> None:
        """Do nothing: a chunk that is not full cannot be written yet."""

    def close(self) -> None:
        """Do nothing: the file belongs to the caller."""

    def finish(self) -> None:
        """Write the last chunk."""
        self._put(bytes(self._waiting), last=True)
        self._waiting.clear()

    def _put(self, plaintext: bytes, last: bool) -> None:
        self._out.write(self._key.seal(self._chunk, last, plaintext))
        self._chunk += 1


class StreamReader(io.RawIOBase):
    """Decrypts a stream, at any place. Only authenticated bytes come out.

    Every method that reads raises StreamDamaged, and whatever the file raises.
    """

    def __init__(self, source: BinaryIO, start: int, length: int, key: StreamKey) -> None:
        """Read the `length` bytes of `source` from `start` on, which must be the whole stream.

        Checks the last chunk at once, so a stream of another length or key raises StreamDamaged.
        """
        super().__init__()
        self._source = source
        self._start = start
        self._key = key
        self._last, rest = divmod(length - 1, _SEALED_CHUNK)
        if length < TAG_BYTES or rest + 1 < TAG_BYTES or (self._last and rest + 1 == TAG_BYTES):
            raise StreamDamaged
        self._end = start + length
        self._size = self._last * CHUNK_BYTES + rest + 1 - TAG_BYTES
        self._position = 0
        self._held = (-1, b"")
        self._plaintext(self._last)

    @property
    def size(self) -> int:
        """The length of the plaintext, in bytes."""
        return self._size

    def narrow(self, size: int) -> None:
        """Hide what lies behind the first `size` bytes. Raises StreamDamaged when it is longer."""
        if not 0 <= size <= self._size:
            raise StreamDamaged
        self._size = size

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """The place of the next byte."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go to a place. Raises ValueError for one before the beginning."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError("Before the beginning of the stream.")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]
        """Fill a part of `buffer` and return how many bytes; 0 at the end."""
        wanted = min(len(buffer), self._size - self._position)
        if wanted <= 0:
            return 0
        chunk, offset = divmod(self._position, CHUNK_BYTES)
        piece = self._plaintext(chunk)[offset : offset + wanted]
        buffer[: len(piece)] = piece
        self._position += len(piece)
        return len(piece)

    def _plaintext(self, chunk: int) -> bytes:
        if self._held[0] != chunk:
            place = self._start + chunk * _SEALED_CHUNK
            self._source.seek(place)
            sealed = self._source.read(min(_SEALED_CHUNK, self._end - place))
            self._held = (chunk, self._key.open(chunk, chunk == self._last, sealed))
        return self._held[1]


def _nonce(chunk: int, last: bool) -> bytes:
    return chunk.to_bytes(11, "big") + bytes([last])
