"""The inside of an Olm frame: a fixed header that binds it, and a body of JSON.

Layout (big-endian): version 1 | sender identity 32 | recipient identity 32 | conversation 16 |
content id 16 | epoch 8 | sent at 8 (Unix milliseconds) | body (a JSON object with `type`).

Any mismatch between the header and the session it came through drops the content.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from typing import Any

Body = dict[str, Any]

_VERSION = 1
_HEADER = struct.Struct(">B32s32s16s16s8sQ")
MAX_BODY = 768 * 1024


class InvalidPayload(ValueError):
    """This content cannot be read."""


@dataclass(frozen=True, slots=True)
class Payload:
    """One content with everything that binds it to its conversation."""

    sender: bytes
    """Olm identity key of whoever sent it, 32 bytes."""
    recipient: bytes
    conversation: bytes
    content: bytes
    """The content id, 16 random bytes; a content is shown once, however often it comes."""
    epoch: bytes
    """8 random bytes that the sending node chose at its creation or restoration."""
    sent_at: int
    body: Body


def encode_payload(payload: Payload) -> bytes:
    """Return the plaintext of an Olm frame."""
    head = _HEADER.pack(
        _VERSION,
        payload.sender,
        payload.recipient,
        payload.conversation,
        payload.content,
        payload.epoch,
        payload.sent_at,
    )
    return head + encode_body(payload.body)


def encode_body(body: Body) -> bytes:
    """Compact UTF-8 JSON."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def parse_body(data: bytes) -> Body:
    """Parse a body. Raises InvalidPayload."""
    if len(data) > MAX_BODY:
        raise InvalidPayload("Too large.")
    try:
        body = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InvalidPayload("Not JSON.") from error
    if not isinstance(body, dict) or not isinstance(body.get("type"), str):
        raise InvalidPayload("No type.")
    return body


def parse_payload(plaintext: bytes) -> Payload:
    """The inverse of `encode_payload`. Raises InvalidPayload."""
    if len(plaintext) < _HEADER.size:
        raise InvalidPayload("Too short.")
    version, sender, recipient, conversation, content, epoch, sent_at = _HEADER.unpack_from(
        plaintext
    )
    if version != _VERSION:
        raise InvalidPayload("Made by a newer version.")
    body = parse_body(plaintext[_HEADER.size :])
    return Payload(sender, recipient, conversation, content, epoch, sent_at, body)
