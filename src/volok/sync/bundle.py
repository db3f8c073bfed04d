"""Bundles: events and blobs that are carried by hand, one sealed part for each receiver.

    "volok-bundle" (12 bytes) | version 1 (1 byte) | number of parts (2 bytes), then each part:
    length of the rest of the part (8 bytes)
    key of the part (32 bytes), sealed by HPKE (RFC 9180) to the receiver's sealing key,
        info = "volok bundle v1" | inbox key of the receiver (32 bytes)
    stream (see `volok.model.stream`) of: a zip | zeros | length of the zip (8 bytes)

Numbers are big-endian. The zip is stored, not compressed, and holds `events.jsonl` (one event per
line, as it was handed in) and `blobs/<sha256>` for each blob. The zeros bring the plaintext to a
Padmé length. The outside shows how many parts there are and how long they are, roughly; nothing
about who they are for.

Rules for a reader, whom anybody may hand a bundle:

1. Nothing comes out that is not authentic; damage further on does not spoil what came before.
2. Names, sizes, the number of entries and the length of a line are bounded before memory is spent.
   Entries are stored and add up to no more than the zip has, so nothing can swell.
3. Whether events are valid and blobs are what their hashes say, those check who store them.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO, BinaryIO

from volok.model.crypto import HPKE_OVERHEAD, Crypto, CryptoError
from volok.model.event import is_hex32
from volok.model.stream import (
    CHUNK_BYTES,
    StreamDamaged,
    StreamKey,
    StreamReader,
    StreamWriter,
    padded_length,
)

MAGIC = b"volok-bundle"
VERSION = 1
MAX_PARTS = 1024
MAX_ENTRIES = 65_535
MAX_PART_BYTES = (1 << 31) - (32 << 20)
"""Of the contents of a zip: below 2 GiB with its directory, so that it needs no Zip64."""
MAX_EVENT_BYTES = 1 << 20
MIN_PLAINTEXT = 4096

_LABEL = b"volok bundle v1"
_EVENTS = "events.jsonl"
_BLOBS = "blobs/"
_SEALED_KEY = 32 + HPKE_OVERHEAD
_HEAD = struct.Struct(">12sBH")
_LENGTH = struct.Struct(">Q")
PART_FRAMING = _HEAD.size + _LENGTH.size
"""Bytes before the only part of a bundle that has one part."""
SEALED_KEY_BYTES = _SEALED_KEY
"""Bytes at the beginning of a part that tell its receiver that it is theirs."""
_ZIP_END = struct.Struct("<4s4H2LH")
_ZIP_END_MAGIC = b"PK\x05\x06"
_ZIP64_MAGIC = b"PK\x06\x07"
_ZIP64_LOCATOR = 20
_MAX_DIRECTORY = 16 << 20
_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)
ZIP_ERRORS = (
    zipfile.BadZipFile,
    NotImplementedError,
    RuntimeError,
    ValueError,
    KeyError,
    OverflowError,
    EOFError,
    struct.error,
    StreamDamaged,
)
"""What zipfile raises for a zip that somebody made up, and our own."""


class BundleError(Exception):
    """This bundle cannot be read or written."""


class InvalidBundle(BundleError):
    """This file is not a bundle, or it was damaged or cut on its way. Ask for it again."""


class BundleTooNew(BundleError):
    """This bundle was made by a newer version of Volok. Update Volok and take it in again."""


class BundleNotForUs(BundleError):
    """This bundle holds nothing for you: it was made for somebody else, or it is too old."""


class BundleTooLarge(BundleError):
    """This is more than one bundle holds for one person: 2 GB, or 65,000 files. Send less."""


@dataclass(frozen=True, slots=True)
class Part:
    """What is carried to one receiver."""

    inbox: bytes
    """The receiver's inbox key: 32 bytes, x-only."""
    sealing_key: bytes
    """The receiver's sealing key, SEALING_PUBLIC_BYTES long."""
    events: Iterable[bytes]
    """Events as JSON without line breaks."""
    blobs: Iterable[tuple[str, AsyncIterator[bytes]]] = ()
    """SHA-256 in lower-case hexadecimal, and the bytes in pieces. A hash twice is taken once."""


@dataclass(frozen=True, slots=True)
class InboxKey:
    """A key of ours that a part may be sealed to."""

    inbox: bytes
    """Our inbox key: 32 bytes, x-only."""
    secret: bytes
    """The secret sealing key, SEALING_SECRET_BYTES long."""


class OpenedPart:
    """A part that was for us. It reads from the bundle's file, which must stay open meanwhile."""

    def __init__(self, inbox: bytes, archive: zipfile.ZipFile) -> None:
        self.inbox = inbox
        """The inbox key that it was for."""
        self._archive = archive
        self.blobs: tuple[tuple[str, int], ...] = tuple(
            (entry.filename.removeprefix(_BLOBS), entry.file_size)
            for entry in archive.infolist()
            if entry.filename != _EVENTS
        )
        """SHA-256 (not verified) and size of each blob."""

    def events(self) -> Iterator[bytes]:
        """Yield the events, not verified. Raises InvalidBundle where it is damaged, OSError."""
        try:
            with self._archive.open(_EVENTS) as file:
                while line := file.readline(MAX_EVENT_BYTES + 1):
                    if not line.endswith(b"\n"):
                        raise InvalidBundle
                    yield line[:-1]
        except ZIP_ERRORS as error:
            raise InvalidBundle from error

    async def blob(self, name: str) -> AsyncIterator[bytes]:
        """Yield the bytes of a blob in pieces of at most 64 KiB, not verified.

        Raises InvalidBundle where it is damaged or when there is no such blob, OSError.
        """
        try:
            with self._archive.open(_BLOBS + name) as file:
                while piece := file.read(CHUNK_BYTES):
                    yield piece
        except ZIP_ERRORS as error:
            raise InvalidBundle from error


async def write_bundle(out: BinaryIO, parts: Sequence[Part], crypto: Crypto) -> None:
    """Write a bundle to a seekable file, from where it stands.

    Raises BundleTooLarge, CryptoError for a sealing key that is none, ValueError for an event with
    a line break or a hash that is none, and what the file and the blobs raise. What was written
    until then is of no use.
    """
    if len(parts) > MAX_PARTS:
        raise BundleTooLarge
    out.write(_HEAD.pack(MAGIC, VERSION, len(parts)))
    for part in parts:
        key = crypto.random(32)
        place = out.tell()
        out.write(bytes(_LENGTH.size))
        out.write(await crypto.seal(part.sealing_key, _LABEL + part.inbox, key))
        await _write_plaintext(StreamWriter(out, StreamKey(crypto, key, _LABEL)), part)
        end = out.tell()
        out.seek(place)
        out.write(_LENGTH.pack(end - place - _LENGTH.size))
        out.seek(end)


async def _write_plaintext(stream: StreamWriter, part: Part) -> None:
    # Without Zip64 the directory is simple enough to be checked before it is parsed.
    with zipfile.ZipFile(stream, "w", allowZip64=False) as archive:
        with archive.open(_entry(_EVENTS), "w") as file:
            for event in part.events:
                if b"\n" in event or len(event) >= MAX_EVENT_BYTES:
                    raise ValueError("An event is one line of less than 1 MiB.")
                _check_room(stream, len(event))
                file.write(event + b"\n")
        written: set[str] = set()
        for name, pieces in part.blobs:
            if not is_hex32(name):
                raise ValueError("Not a SHA-256.")
            if name in written:
                continue
            written.add(name)
            if len(written) >= MAX_ENTRIES:
                raise BundleTooLarge
            with archive.open(_entry(_BLOBS + name), "w") as file:
                async for piece in pieces:
                    _check_room(stream, len(piece))
                    file.write(piece)
    length = stream.length
    padding = padded_length(max(length + _LENGTH.size, MIN_PLAINTEXT)) - length - _LENGTH.size
    while padding:
        padding -= stream.write(bytes(min(padding, CHUNK_BYTES)))
    stream.write(_LENGTH.pack(length))
    stream.finish()


def _check_room(stream: StreamWriter, more: int) -> None:
    if stream.length + more > MAX_PART_BYTES:
        raise BundleTooLarge


def _entry(name: str) -> zipfile.ZipInfo:
    # One fixed time: when a bundle was packed is nobody's business.
    return zipfile.ZipInfo(name, _ZIP_EPOCH)


def frame_part(part: bytes) -> bytes:
    """A bundle made of one part as it stands in another bundle, without its length."""
    return _HEAD.pack(MAGIC, VERSION, 1) + _LENGTH.pack(len(part)) + part


async def is_sealed_to(sealed: bytes, keys: Sequence[InboxKey], crypto: Crypto) -> bool:
    """Whether a part that begins with these SEALED_KEY_BYTES is for one of `keys`."""
    for ours in keys:
        try:
            await crypto.open(ours.secret, _LABEL + ours.inbox, sealed)
        except CryptoError:
            continue
        return True
    return False


async def read_bundle(
    source: BinaryIO, keys: Sequence[InboxKey], crypto: Crypto
) -> list[OpenedPart]:
    """Open all parts of a bundle that are for one of `keys`; `source` is a seekable file.

    Costs up to one HPKE opening (130 microseconds) for each key and part. Raises InvalidBundle,
    BundleTooNew, BundleNotForUs, and OSError when the file cannot be read.
    """
    opened = []
    for start, length in list(_parts(source)):
        source.seek(start)
        sealed = source.read(_SEALED_KEY)
        for ours in keys:
            try:
                key = await crypto.open(ours.secret, _LABEL + ours.inbox, sealed)
            except CryptoError:
                continue
            stream = (start + _SEALED_KEY, length - _SEALED_KEY, StreamKey(crypto, key, _LABEL))
            opened.append(OpenedPart(ours.inbox, _open_archive(source, *stream)))
            break
    if not opened:
        raise BundleNotForUs
    return opened


def _parts(source: BinaryIO) -> Iterator[tuple[int, int]]:
    """Yield place and length of each part. The file must consist of them exactly."""
    end = source.seek(0, io.SEEK_END)
    source.seek(0)
    head = source.read(_HEAD.size)
    if len(head) < _HEAD.size:
        raise InvalidBundle
    magic, version, count = _HEAD.unpack(head)
    if magic != MAGIC or version < 1:
        raise InvalidBundle
    if version > VERSION:
        raise BundleTooNew
    if count > MAX_PARTS:
        raise InvalidBundle
    place = _HEAD.size
    for _ in range(count):
        source.seek(place)
        head = source.read(_LENGTH.size)
        if len(head) < _LENGTH.size:
            raise InvalidBundle
        (length,) = _LENGTH.unpack(head)
        place += _LENGTH.size
        if not _SEALED_KEY < length <= end - place:
            raise InvalidBundle
        yield place, length
        place += length
    if place != end:
        raise InvalidBundle


def _open_archive(source: BinaryIO, start: int, length: int, key: StreamKey) -> zipfile.ZipFile:
    try:
        stream = StreamReader(source, start, length, key)
        stream.seek(-_LENGTH.size, io.SEEK_END)
        (size,) = _LENGTH.unpack(stream.read())
        stream.narrow(size)
        file = io.BufferedReader(stream, CHUNK_BYTES)
        _check_directory(file, size)
        archive = zipfile.ZipFile(file)
        _check_entries(archive.infolist(), size)
    except ZIP_ERRORS as error:
        raise InvalidBundle from error
    return archive


def _check_directory(file: IO[bytes], size: int) -> None:
    """Bound what zipfile will read into memory, before it does."""
    tail_length = min(size, _ZIP64_LOCATOR + _ZIP_END.size)
    file.seek(size - tail_length)
    tail = file.read(tail_length)
    magic, _, _, _, entries, directory, _, comment = _ZIP_END.unpack(tail[-_ZIP_END.size :])
    if (
        magic != _ZIP_END_MAGIC
        or comment
        or entries > MAX_ENTRIES
        or directory > _MAX_DIRECTORY
        or tail.startswith(_ZIP64_MAGIC)
    ):
        raise InvalidBundle


def _check_entries(entries: Sequence[zipfile.ZipInfo], size: int) -> None:
    names = [entry.filename for entry in entries]
    if (
        names.count(_EVENTS) != 1
        or len(set(names)) != len(names)
        or any(
            entry.compress_type != zipfile.ZIP_STORED
            or entry.flag_bits & 1  # encrypted by zip itself
            or entry.compress_size != entry.file_size
            for entry in entries
        )
        or sum(entry.file_size for entry in entries) > size
        or not all(
            name == _EVENTS or (name.startswith(_BLOBS) and is_hex32(name.removeprefix(_BLOBS)))
            for name in names
        )
    ):
        raise InvalidBundle
