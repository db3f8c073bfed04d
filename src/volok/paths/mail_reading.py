"""What is read out of mails that anybody may have written. Pure."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass

from volok.paths.mail_account import InvalidMailAddress, parse_address

_TOKEN = re.compile(
    rb"^message-id:\s*<([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})@", re.IGNORECASE | re.MULTILINE
)
_ACTION = re.compile(rb"^action:\s*failed\b", re.IGNORECASE | re.MULTILINE)
_STATUS = re.compile(rb"^status:\s*5\.(\d{1,3})\.(\d{1,3})\b", re.IGNORECASE | re.MULTILINE)
_SPACE = re.compile(rb"\s+")
_ANGLED = re.compile(rb"<([^<>\s]{3,254})>\s*(?:\([^()]*\)\s*)?\Z")
_BARE = re.compile(rb"([^<>\s\",;:()]{3,254})\s*\Z")
_REASONS = {
    (b"2", b"2"): "The other mailbox is full.",
    (b"2", b"3"): "The other provider takes no mail that large.",
    (b"3", b"4"): "The other provider takes no mail that large.",
    (b"1", b"1"): "There is no such mail address. Check it.",
    (b"1", b"2"): "There is no such mail provider. Check the address.",
    (b"2", b"1"): "The other mailbox is closed.",
    (b"7", b"1"): "The other provider refuses our mail.",
}
"""By subject and detail of RFC 3463."""


@dataclass(frozen=True, slots=True)
class Bounce:
    """A report that a mail, perhaps one of ours, was not delivered."""

    token: str
    """What its Message-ID held before the @ (`volok.paths.mail_cover.token_of`)."""
    reason: str
    """A sentence for the person."""


def encoded_length(size: int) -> int:
    """How many bytes of base64 in lines surely hold so many bytes."""
    return size * 3 // 2 + 128


def opened(coded: bytes) -> bytes:
    """The bytes of an attachment, or of its beginning; none for what is not base64."""
    letters = _SPACE.sub(b"", coded)
    whole = letters[: len(letters) // 4 * 4]
    try:
        return base64.b64decode(whole, validate=True)
    except binascii.Error:
        return b""


def read_sender(header: bytes) -> str | None:
    """The address in a From field (RFC 5322, section 3.6.2) of one mailbox; None for any other."""
    name, colon, value = header.partition(b":")
    if not colon or name.strip().lower() != b"from":
        return None
    line = re.sub(rb"\r?\n(?=[ \t])", b"", value).partition(b"\n")[0].strip()
    found = _ANGLED.search(line) or _BARE.fullmatch(line)
    try:
        return parse_address(found[1].decode("ascii")) if found else None
    except (InvalidMailAddress, UnicodeDecodeError):
        return None


def read_bounce(original: bytes, status: bytes) -> Bounce | None:
    """What a delivery status notification (RFC 3464) says; `original` is what came back, or its
    headers. None for one of a delay, or of a mail whose Message-ID is not like ours."""
    head = original.replace(b"\r\n", b"\n").partition(b"\n\n")[0]
    found = _TOKEN.search(head)
    if found is None or not _ACTION.search(status):
        return None
    why = _STATUS.search(status)
    reason = _REASONS.get((why[1], why[2])) if why else None
    return Bounce(found[1].decode().lower(), reason or "The other provider refuses this mail.")
