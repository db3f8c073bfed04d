"""What two nodes on one local network say to each other, without any I/O.

They speak inside TLS 1.3 whose certificate is thrown away soon; it proves nothing by itself. First
they find out whether they know each other (`marks`, `recognised`), then they exchange frames.

Recognition. Both send 32 random bytes. When these have come, both send MARKS marks of 16 bytes:

    mark = the first half of HMAC-SHA256(secret, "volok lan 1" | role | channel | nonces)

for each secret that they share with somebody, and marks under random keys up to the number; in the
order of their bytes. `role` is "d" for the one who dialled and "l" for the one who listened,
`channel` the SHA-256 of the listener's certificate, `nonces` that of the dialler and then that of
the listener. Whoever finds among the marks that came one that a secret of theirs makes knows who
that is. Rules:

1. To whoever has none of the secrets every mark is random, and there are always as many.
2. What was heard once helps nobody: each side's nonce makes the other's marks fresh, the role
   keeps marks from being sent back, the channel keeps them from being passed on by one in the
   middle, who has another certificate.
3. The work for a stranger is bounded: 2 * MARKS hashes, whatever comes.

Frames: kind (1 byte) | length of the body (4 bytes, big-endian) | body.

    1 here      the service name under which the sender is announced now; may be empty
    2 invite    the sealed bundle of an invite, to whoever proved its link
    3 part      number (4 bytes) | the part of a bundle, without framing (`volok.sync.drops.bare`)
    4 taken     number (4 bytes) of a part | 0: taken in; 1: of no use; 2: not now, send it later
    5 have      names (16 bytes each) of the files that are carried for others
    6 want      those of them that are asked for
    7 file      name (16 bytes) | the file

A frame of another kind is skipped, so that later versions may say more.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum

NONCE_BYTES = 32
MARK_BYTES = 16
MARKS = 256
"""Secrets that take part at most, and marks that are sent always."""
MARKS_BYTES = MARKS * MARK_BYTES
HEAD_BYTES = 5
NAME_BYTES = 16
MOST_NAMES = 4096
"""Files that are named in one frame at most."""
MOST_PART = 16 << 20
"""Bytes of the longest part or file that goes over one link."""
MOST_NAME = 63
"""Bytes of a service name (RFC 6763, section 4.1.1)."""

_LABEL = b"volok lan 1"
_KEY_BYTES = 32
_HEAD = struct.Struct(">BI")
_NUMBER = struct.Struct(">I")
_TAKEN = struct.Struct(">IB")


class InvalidFrame(ValueError):
    """What came over the local network is no frame of this protocol."""


class Role(IntEnum):
    """Which end of the connection somebody is."""

    DIALLED = ord("d")
    LISTENED = ord("l")

    @property
    def other(self) -> Role:
        """The other end."""
        return Role.LISTENED if self is Role.DIALLED else Role.DIALLED


class Kind(IntEnum):
    """The kinds of frames."""

    HERE = 1
    INVITE = 2
    PART = 3
    TAKEN = 4
    HAVE = 5
    WANT = 6
    FILE = 7


class Answer(IntEnum):
    """What became of a part."""

    TAKEN = 0
    USELESS = 1
    LATER = 2


_LONGEST = {
    Kind.HERE: MOST_NAME,
    Kind.INVITE: 8192,
    Kind.PART: _NUMBER.size + MOST_PART,
    Kind.TAKEN: _TAKEN.size,
    Kind.HAVE: MOST_NAMES * NAME_BYTES,
    Kind.WANT: MOST_NAMES * NAME_BYTES,
    Kind.FILE: NAME_BYTES + MOST_PART,
}
_LONGEST_UNKNOWN = 4096


@dataclass(frozen=True, slots=True)
class Meeting:
    """What both ends of one connection know before they recognise each other."""

    role: Role
    """Ours."""
    channel: bytes
    """SHA-256 of the certificate of the one who listened, 32 bytes."""
    ours: bytes
    """Our nonce, NONCE_BYTES."""
    theirs: bytes
    """Their nonce, NONCE_BYTES."""

    def _context(self, role: Role) -> bytes:
        first, second = (
            (self.ours, self.theirs) if self.role is Role.DIALLED else (self.theirs, self.ours)
        )
        return _LABEL + bytes([role]) + self.channel + first + second


def marks(meeting: Meeting, secrets: Sequence[bytes], random: Callable[[int], bytes]) -> bytes:
    """What we send so that whoever shares one of `secrets` knows us: MARKS_BYTES bytes.

    Of more than MARKS secrets the first ones take part. `random` gives random bytes.
    """
    keys = list(secrets[:MARKS])
    keys += [random(_KEY_BYTES) for _ in range(MARKS - len(keys))]
    context = meeting._context(meeting.role)
    return b"".join(sorted(_mark(key, context) for key in keys))


def recognised(
    meeting: Meeting, secrets: Sequence[bytes], came: bytes, random: Callable[[int], bytes]
) -> tuple[int, ...]:
    """The places in `secrets` of those that the other side has, by the marks that came from it.

    `came` may be anything. The work is the same whatever came and however many secrets there are.
    """
    there = {came[at : at + MARK_BYTES] for at in range(0, MARKS_BYTES, MARK_BYTES)}
    keys = list(secrets[:MARKS])
    known = len(keys)
    keys += [random(_KEY_BYTES) for _ in range(MARKS - known)]
    context = meeting._context(meeting.role.other)
    found = [place for place, key in enumerate(keys) if _mark(key, context) in there]
    return tuple(place for place in found if place < known)


def _mark(key: bytes, context: bytes) -> bytes:
    return hmac.digest(key, context, "sha256")[:MARK_BYTES]


def fingerprint(certificate: bytes) -> bytes:
    """The `channel` of a meeting, from the listener's certificate in DER."""
    return hashlib.sha256(certificate).digest()


def frame_head(kind: Kind, length: int) -> bytes:
    """What stands before a body of `length` bytes."""
    return _HEAD.pack(kind, length)


def parse_head(head: bytes) -> tuple[Kind | None, int]:
    """Kind and length of the frame that begins with these HEAD_BYTES; None for a kind to be
    skipped. Raises InvalidFrame for one that is too long."""
    if len(head) != HEAD_BYTES:
        raise InvalidFrame("Cut.")
    number, length = _HEAD.unpack(head)
    kind = Kind(number) if number in _LONGEST else None
    if length > (_LONGEST_UNKNOWN if kind is None else _LONGEST[kind]):
        raise InvalidFrame("Too long.")
    return kind, length


def part_body(number: int, part: bytes) -> bytes:
    """The body of a `part`."""
    return _NUMBER.pack(number) + part


def parse_part(body: bytes) -> tuple[int, bytes]:
    """The inverse of `part_body`. Raises InvalidFrame."""
    if len(body) < _NUMBER.size:
        raise InvalidFrame("Cut.")
    return _NUMBER.unpack_from(body)[0], body[_NUMBER.size :]


def taken_body(number: int, answer: Answer) -> bytes:
    """The body of a `taken`."""
    return _TAKEN.pack(number, answer)


def parse_taken(body: bytes) -> tuple[int, Answer]:
    """The inverse of `taken_body`. Raises InvalidFrame."""
    try:
        number, answer = _TAKEN.unpack(body)
        return number, Answer(answer)
    except (struct.error, ValueError) as error:
        raise InvalidFrame("No such answer.") from error


def parse_name(body: bytes) -> str:
    """The body of a `here`. Raises InvalidFrame."""
    try:
        return body.decode("ascii")
    except UnicodeDecodeError as error:
        raise InvalidFrame("No name.") from error


def names_body(names: Sequence[bytes]) -> bytes:
    """The body of a `have` or a `want`: at most MOST_NAMES names of NAME_BYTES."""
    return b"".join(names[:MOST_NAMES])


def parse_names(body: bytes) -> list[bytes]:
    """The inverse of `names_body`, each name once. Raises InvalidFrame."""
    if len(body) % NAME_BYTES:
        raise InvalidFrame("Cut.")
    names = (body[at : at + NAME_BYTES] for at in range(0, len(body), NAME_BYTES))
    return list(dict.fromkeys(names))


def file_body(name: bytes, data: bytes) -> bytes:
    """The body of a `file`; the name has NAME_BYTES."""
    return name + data


def parse_file(body: bytes) -> tuple[bytes, bytes]:
    """The inverse of `file_body`. Raises InvalidFrame."""
    if len(body) <= NAME_BYTES:
        raise InvalidFrame("Cut.")
    return body[:NAME_BYTES], body[NAME_BYTES:]
