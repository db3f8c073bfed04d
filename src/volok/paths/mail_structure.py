"""What an IMAP server says of mails (RFC 3501, section 7.4.2), read without trust. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

Node: TypeAlias = "bytes | list[Node] | None"
"""An atom, string or literal; NIL; or a list in parentheses."""
Answer: TypeAlias = "bytes | tuple[bytes, bytes]"
"""A piece of an answer as imaplib gives it: a line, or a line with the literal after it."""

_TOKEN = re.compile(
    rb'\s+|(?P<sign>[()])|"(?P<string>(?:[^"\\]|\\.)*)"'
    rb'|(?P<atom>(?:[^\s()"\[]|\[[^\]]*\])+)|(?P<other>.)',
    re.DOTALL,
)
_LITERAL = re.compile(rb"\{\d+\+?\}\s*\Z")
_DEEPEST = 20
_MOST_TOKENS = 200_000
_MOST_LEAVES = 30
_MOST_OCTETS = 64 << 20


class InvalidAnswer(ValueError):
    """The mail server's answer makes no sense."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """The part of a mail that may be a file of ours."""

    section: str
    """Its number, as FETCH takes it."""
    octets: int
    """Its length in base64."""


@dataclass(frozen=True, slots=True)
class Report:
    """The parts of a delivery status notification (RFC 3464)."""

    status: str
    """Section of the message/delivery-status."""
    original: str
    """Section of the mail that came back, or of its headers."""


def read_answers(pieces: Iterable[Answer | None]) -> list[dict[bytes, Node]]:
    """The items of each FETCH answer, by their names in capitals. Raises InvalidAnswer."""
    nodes = _nodes(pieces)
    return [
        {
            key.upper(): value
            for key, value in zip(node[::2], node[1::2], strict=False)
            if isinstance(key, bytes)
        }
        for node in nodes
        if isinstance(node, list)
    ]


def _nodes(pieces: Iterable[Answer | None]) -> list[Node]:
    open_lists: list[list[Node]] = [[]]
    for count, read in enumerate(_tokens(pieces)):
        if count > _MOST_TOKENS:
            raise InvalidAnswer
        if read == "(":
            if len(open_lists) > _DEEPEST:
                raise InvalidAnswer
            fresh: list[Node] = []
            open_lists[-1].append(fresh)
            open_lists.append(fresh)
        elif read == ")":
            if len(open_lists) == 1:
                raise InvalidAnswer
            open_lists.pop()
        else:
            open_lists[-1].append(read if isinstance(read, bytes) else None)
    if len(open_lists) != 1:
        raise InvalidAnswer
    return open_lists[0]


def _tokens(pieces: Iterable[Answer | None]) -> Iterator[bytes | str | None]:
    """Parentheses as text, NIL as None, everything else as bytes."""
    for piece in pieces:
        if piece is None:
            continue
        line = piece if isinstance(piece, bytes) else _LITERAL.sub(b"", piece[0])
        for found in _TOKEN.finditer(line):
            if found["sign"] is not None:
                yield found["sign"].decode()
            elif found["string"] is not None:
                yield re.sub(rb"\\(.)", rb"\1", found["string"])
            elif found["atom"] is not None:
                yield None if found["atom"].upper() == b"NIL" else found["atom"]
            elif found["other"] is not None:
                raise InvalidAnswer
        if not isinstance(piece, bytes):
            yield piece[1]


def classify(structure: Node) -> Attachment | Report | None:
    """What a mail of this BODYSTRUCTURE may be to us; None for what is only the person's own.

    An attachment is the first leaf of a kind that our mails have, in a mail with few leaves.
    """
    if not isinstance(structure, list):
        return None
    leaves = [
        (section, leaf)
        for count, (section, leaf) in enumerate(_leaves(structure, ""))
        if count < _MOST_LEAVES
    ]
    if _subtype(structure) == b"REPORT":
        return _report(leaves)
    for section, leaf in leaves:
        octets = leaf[6]
        if _text(leaf[0]) == b"APPLICATION" and _text(leaf[5]) == b"BASE64":
            if isinstance(octets, bytes) and octets.isdigit() and len(octets) < 10:
                size = int(octets)
                return Attachment(section, size) if size <= _MOST_OCTETS else None
            return None
    return None


def _report(leaves: Sequence[tuple[str, list[Node]]]) -> Report | None:
    status = original = None
    for section, leaf in leaves:
        kind = _text(leaf[0]), _text(leaf[1])
        if kind == (b"MESSAGE", b"DELIVERY-STATUS"):
            status = section
        elif kind in ((b"MESSAGE", b"RFC822"), (b"TEXT", b"RFC822-HEADERS")):
            original = section
    return Report(status, original) if status and original else None


def _leaves(node: list[Node], section: str) -> Iterator[tuple[str, list[Node]]]:
    """Parts that hold no others, with their sections; a mail inside a mail is not looked into."""
    if not node or not isinstance(node[0], list):
        if len(node) >= 7:
            yield section or "1", node
        return
    for number, child in enumerate(node, start=1):
        if not isinstance(child, list):
            return
        yield from _leaves(child, f"{section}.{number}" if section else str(number))


def _subtype(node: list[Node]) -> bytes:
    return next((_text(child) for child in node if not isinstance(child, list)), b"")


def _text(node: Node) -> bytes:
    return node.upper() if isinstance(node, bytes) else b""
