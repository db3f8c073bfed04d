"""DNS messages over UDP, as far as a border or a forger needs them (RFC 1035, RFC 3596)."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from struct import Struct

A = 1
AAAA = 28

PORT = 53

_HEADER = Struct("!6H")
_RECORD = Struct("!HHIH")
_QR = 0x8000
_OPCODE = 0x7800
_RECURSION_DESIRED = 0x0100
_RECURSION_AVAILABLE = 0x0080
_RCODE = 0x000F
_INTERNET = 1
_POINTER = 0xC0
_MOST_JUMPS = 16
_LONGEST_NAME = 255
_QUESTION_OFFSET = 12


@dataclass(frozen=True, slots=True)
class Query:
    """A question that a client asks."""

    id: int
    name: str
    """In lower case, without the dot at the end; the root is empty."""
    type: int
    """1 for A, 28 for AAAA."""
    question: bytes
    """The question section as sent (the case of its letters may be random)."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a resolver says."""

    id: int
    name: str
    type: int
    code: int
    """0 for no error, 3 for "no such name"."""
    addresses: tuple[str, ...]
    """Those of its A and AAAA records, in order."""


class _Malformed(Exception):
    pass


def parse_query(payload: bytes) -> Query | None:
    """The one question of a standard query, or None when the payload is something else.

    Additional records (EDNS) are not looked at.
    """
    if len(payload) < _HEADER.size:
        return None
    identity, flags, questions, answers, _, _ = _HEADER.unpack_from(payload)
    if flags & (_QR | _OPCODE) or questions != 1 or answers:
        return None
    try:
        name, kind, end = _read_question(payload)
    except _Malformed:
        return None
    return Query(identity, name, kind, payload[_QUESTION_OFFSET:end])


def parse_answer(payload: bytes) -> Answer | None:
    """What a response to one question says, or None when the payload is something else."""
    if len(payload) < _HEADER.size:
        return None
    identity, flags, questions, answers, _, _ = _HEADER.unpack_from(payload)
    if not flags & _QR or questions != 1:
        return None
    try:
        name, kind, at = _read_question(payload)
        addresses = []
        for _ in range(answers):
            address, at = _read_record(payload, at)
            addresses += [address] if address else []
    except _Malformed:
        return None
    return Answer(identity, name, kind, flags & _RCODE, tuple(addresses))


def build_query(identity: int, name: str, kind: int = A) -> bytes:
    """A query for one name. Raises ValueError when the name cannot be written."""
    header = _HEADER.pack(identity, _RECURSION_DESIRED, 1, 0, 0, 0)
    return header + _write_name(name) + kind.to_bytes(2, "big") + _INTERNET.to_bytes(2, "big")


def answer(
    query: Query, addresses: tuple[str, ...] | list[str], ttl: int = 60, code: int = 0
) -> bytes:
    """A response to a query that gives those of the addresses that are of the asked type.

    `ttl` is in seconds, `code` is the RCODE. Raises ValueError for what is no address.
    """
    parsed = [_address(text) for text in addresses]
    wanted = [item.packed for item in parsed if (item.version == 4) == (query.type == A)]
    if query.type not in {A, AAAA}:
        wanted = []
    flags = _QR | _RECURSION_DESIRED | _RECURSION_AVAILABLE | code & _RCODE
    records = b"".join(
        bytes([_POINTER, _QUESTION_OFFSET])
        + _RECORD.pack(query.type, _INTERNET, ttl, len(packed))
        + packed
        for packed in wanted
    )
    return _HEADER.pack(query.id, flags, 1, len(wanted), 0, 0) + query.question + records


def _address(text: str) -> IPv4Address | IPv6Address:
    try:
        return IPv4Address(text)
    except AddressValueError:
        return IPv6Address(text)


def _write_name(name: str) -> bytes:
    """A name as labels. Raises ValueError (UnicodeError for what is not ASCII)."""
    labels = [label.encode("ascii") for label in name.rstrip(".").split(".")] if name else []
    if any(not 0 < len(label) < 64 for label in labels):
        raise ValueError("A label of the name is empty or too long")
    written = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    if len(written) > _LONGEST_NAME:
        raise ValueError("The name is too long")
    return written


def _read_question(payload: bytes) -> tuple[str, int, int]:
    """The name, the type and the end of the first question. Raises _Malformed."""
    name, end = _read_name(payload, _QUESTION_OFFSET)
    if len(payload) < end + 4:
        raise _Malformed
    return name, int.from_bytes(payload[end : end + 2], "big"), end + 4


def _read_record(payload: bytes, at: int) -> tuple[str | None, int]:
    """The address in a record, if it has one, and the record's end. Raises _Malformed."""
    _, at = _read_name(payload, at)
    if len(payload) < at + _RECORD.size:
        raise _Malformed
    kind, _, _, length = _RECORD.unpack_from(payload, at)
    at += _RECORD.size
    data = payload[at : at + length]
    if len(data) < length:
        raise _Malformed
    if kind == A and length == 4:
        return str(IPv4Address(data)), at + length
    if kind == AAAA and length == 16:
        return str(IPv6Address(data)), at + length
    return None, at + length


def _read_name(payload: bytes, at: int) -> tuple[str, int]:
    """A name, perhaps compressed, and where it ends. Raises _Malformed."""
    labels: list[str] = []
    end = None
    jumps = size = 0
    while True:
        if at >= len(payload):
            raise _Malformed
        length = payload[at]
        if length & _POINTER == _POINTER:
            if at + 1 >= len(payload) or jumps == _MOST_JUMPS:
                raise _Malformed
            end = end or at + 2
            at = (length & ~_POINTER) << 8 | payload[at + 1]
            jumps += 1
            continue
        size += length + 1
        if length & _POINTER or size > _LONGEST_NAME or at + 1 + length > len(payload):
            raise _Malformed
        at += 1
        if not length:
            return ".".join(labels), end or at
        label = payload[at : at + length].decode("ascii", "backslashreplace")
        labels.append(label.lower().replace(".", "\\."))
        at += length
