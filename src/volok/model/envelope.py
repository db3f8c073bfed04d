"""The sealed envelope: how one Olm frame travels as kind-1059 events (NIP-59 shape).

The rules of this file:

1. A frame is the unit of the ratchet; a part is the unit of the wire. A frame is cut into parts
   that fit the buckets, so that a relay's size limit never touches the ratchet.
2. Every part is padded to 1, 4, 16 or 40 KiB before it is sealed; nothing else of its length shows.
3. The event is signed by a fresh key that is used once. `p` is the recipient's inbox key.
   created_at lies half a day to two days back; expiration counts whole days from created_at, so
   that neither tells the true time or the timer of a message.
4. `open_envelope` and `parse_part` raise `InvalidEnvelope` and nothing else.

Layout of a part (big-endian), before padding with zeros:

    version 1 | sender identity key 32 | session id 32 | sequence 8 | index 2 | count 2 | length 2 |
    bytes of the frame
"""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Iterable
from dataclasses import dataclass

from volok.model.crypto import HPKE_OVERHEAD, Crypto, CryptoError
from volok.model.event import Event, sign_event

KIND_ENVELOPE = 1059
"""Gift wrap (NIP-59)."""

BUCKETS = (1024, 4096, 16384, 40960)
"""Sizes, in bytes, to which parts are padded before sealing."""

USUAL_BUCKET = BUCKETS[1]
"""The largest in which parts go to relays. Some networks cut connections after 15 KB, and an event
has to fit into one together with what else it takes; the two larger ones are for bundles, and for
what nodes before this rule have sealed."""

MAX_PARTS = 1024
DAY = 86_400
_LEAST_BACK = DAY // 2
_VERSION = 1
_HEADER = struct.Struct(">B32s32sQHHH")
_LABEL = b"volok envelope 1"


class InvalidEnvelope(ValueError):
    """This envelope is not for us, or it was altered."""


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of one Olm frame."""

    identity: bytes
    """The sender's Olm identity key, 32 bytes."""
    session: bytes
    """The Olm session id, 32 bytes."""
    sequence: int
    """The frame's place in its session and direction, from 0."""
    index: int
    count: int
    data: bytes


def content_length(bucket: int) -> int:
    """Characters of `content` that a part of this bucket takes on the wire."""
    sealed = bucket + HPKE_OVERHEAD
    return (sealed + 2) // 3 * 4


def largest_bucket(max_content: int | None) -> int:
    """The largest bucket whose content fits into `max_content` characters (None: no limit known).

    The smallest bucket is given even where it does not fit; the relay will refuse it.
    """
    fitting = [b for b in BUCKETS if max_content is None or content_length(b) <= max_content]
    return fitting[-1] if fitting else BUCKETS[0]


def split(identity: bytes, session: bytes, sequence: int, frame: bytes, bucket: int) -> list[Part]:
    """Cut a frame into parts of at most `bucket` bytes, padded. Raises ValueError past 1,024."""
    room = bucket - _HEADER.size
    pieces = [frame[at : at + room] for at in range(0, len(frame), room)] or [b""]
    if len(pieces) > MAX_PARTS:
        raise ValueError("This frame is too large.")
    return [
        Part(identity, session, sequence, index, len(pieces), piece)
        for index, piece in enumerate(pieces)
    ]


def encode_part(part: Part) -> bytes:
    """Return the part padded to the smallest bucket that holds it."""
    head = _HEADER.pack(
        _VERSION,
        part.identity,
        part.session,
        part.sequence,
        part.index,
        part.count,
        len(part.data),
    )
    whole = head + part.data
    bucket = next(b for b in BUCKETS if b >= len(whole))
    return whole.ljust(bucket, b"\0")


def parse_part(plaintext: bytes) -> Part:
    """The inverse of `encode_part`. Raises InvalidEnvelope."""
    if len(plaintext) not in BUCKETS:
        raise InvalidEnvelope("Not of a known size.")
    version, identity, session, sequence, index, count, length = _HEADER.unpack_from(plaintext)
    data = plaintext[_HEADER.size : _HEADER.size + length]
    if version != _VERSION:
        raise InvalidEnvelope("Made by a newer version.")
    if len(data) != length or not 0 <= index < count <= MAX_PARTS:
        raise InvalidEnvelope("Its header is wrong.")
    if any(plaintext[_HEADER.size + length :]):
        raise InvalidEnvelope("Its padding is wrong.")
    return Part(identity, session, sequence, index, count, data)


def backdated(crypto: Crypto, now: float) -> int:
    """A time half a day to two days before `now` (Unix seconds).

    Relays refuse events from the future: the half day is for clocks that are hours ahead.
    """
    spread = 2 * DAY - _LEAST_BACK
    return int(now) - _LEAST_BACK - int.from_bytes(crypto.random(4), "big") % spread


def wrap(crypto: Crypto, inbox: str, content: bytes, now: float, days: int) -> Event:
    """Sign `content` as a kind-1059 event to `inbox` (hexadecimal) by a fresh key.

    `days` are the whole days from its created_at to its expiration (NIP-40).
    """
    created_at = backdated(crypto, now)
    return sign_event(
        crypto,
        crypto.random(32),
        created_at=created_at,
        kind=KIND_ENVELOPE,
        tags=(("p", inbox), ("expiration", str(created_at + days * DAY))),
        content=base64.b64encode(content).decode(),
    )


async def seal_envelope(
    crypto: Crypto, inbox: str, sealing_key: bytes, part: Part, now: float, days: int
) -> Event:
    """Seal one part to an inbox and its sealing key. Raises CryptoError for a wrong sealing key."""
    info = _LABEL + bytes.fromhex(inbox)
    return wrap(crypto, inbox, await crypto.seal(sealing_key, info, encode_part(part)), now, days)


def content_bytes(content: str) -> bytes:
    """The sealed bytes in the content of an event. Raises InvalidEnvelope."""
    try:
        return base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidEnvelope("Not base64.") from error


async def open_envelope(crypto: Crypto, event: Event, inbox: str, secrets: Iterable[bytes]) -> Part:
    """Open an envelope with the first of the secret keys that fits. Raises InvalidEnvelope."""
    sealed = content_bytes(event.content)
    info = _LABEL + bytes.fromhex(inbox)
    for secret in secrets:
        try:
            plaintext = await crypto.open(secret, info, sealed)
        except CryptoError:
            continue
        return parse_part(plaintext)
    raise InvalidEnvelope("None of our keys opens it.")
