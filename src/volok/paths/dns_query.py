"""A question for the addresses of a name, and what is answered to it (RFC 1035, RFC 3596). Pure.

Names inside an answer are skipped, not read: whoever answers for a name may have followed aliases,
and every address in the answer is one of them.
"""

from __future__ import annotations

import ipaddress
from struct import Struct

A = 1
AAAA = 28

_HEADER = Struct("!6H")
_QUESTION = Struct("!HH")
_RECORD = Struct("!HHIH")
_RESPONSE = 0x8000
_RECURSION_DESIRED = 0x0100
_INTERNET = 1
_POINTER = 0xC0
_LONGEST_LABEL = 63
_LONGEST_NAME = 253
_SIZES = {A: 4, AAAA: 16}


class InvalidName(ValueError):
    """This cannot be the name of a host."""


class InvalidAnswer(ValueError):
    """This does not answer the question."""


def make_query(identity: int, host: str, kind: int) -> bytes:
    """The message that asks for the addresses of one kind. `identity` is a random number below
    65,536. Raises InvalidName."""
    try:
        name = host.encode("idna").rstrip(b".")
    except UnicodeError as error:
        raise InvalidName(InvalidName.__doc__) from error
    labels = name.split(b".")
    if len(name) > _LONGEST_NAME or not all(0 < len(one) <= _LONGEST_LABEL for one in labels):
        raise InvalidName(InvalidName.__doc__)
    packed = b"".join(bytes([len(one)]) + one for one in labels)
    head = _HEADER.pack(identity, _RECURSION_DESIRED, 1, 0, 0, 0)
    return head + packed + b"\0" + _QUESTION.pack(kind, _INTERNET)


def read_answer(payload: bytes, query: bytes) -> tuple[str, ...]:
    """The addresses, as text, in an answer to `query`; none when it says that there are none.

    Raises InvalidAnswer for what is no answer to just this question.
    """
    end = len(query)
    if len(payload) < end or payload[:2] != query[:2]:
        raise InvalidAnswer(InvalidAnswer.__doc__)
    _, flags, questions, answers, _, _ = _HEADER.unpack_from(payload)
    # Some servers change the case of letters.
    same = payload[_HEADER.size : end].lower() == query[_HEADER.size :].lower()
    if not flags & _RESPONSE or questions != 1 or not same:
        raise InvalidAnswer(InvalidAnswer.__doc__)
    found: list[str] = []
    at = end
    for _ in range(answers):
        at = _skip_name(payload, at)
        if at + _RECORD.size > len(payload):
            break
        kind, family, _, size = _RECORD.unpack_from(payload, at)
        data = payload[at + _RECORD.size : at + _RECORD.size + size]
        at += _RECORD.size + size
        if family == _INTERNET and _SIZES.get(kind) == size == len(data):
            found.append(str(ipaddress.ip_address(data)))
    return tuple(found)


def _skip_name(payload: bytes, at: int) -> int:
    """Where the name that begins at `at` ends; past the end for one that is cut off."""
    while at < len(payload):
        length = payload[at]
        if length >= _POINTER:
            return at + 2
        at += 1 + length
        if not length:
            return at
    return at
