"""The opening handshake of a websocket, as a server checks it (RFC 6455, section 4.2). Pure."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping

_KEY_SUFFIX = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_KEY_BYTES = 16
_VERSION = b"13"


def upgrade_key(method: bytes, headers: Mapping[bytes, bytes]) -> bytes | None:
    """The key of an upgrade request; None when it is no good one. Names are in lower case."""
    key = headers.get(b"sec-websocket-key", b"")
    try:
        good = len(base64.b64decode(key, validate=True)) == _KEY_BYTES
    except binascii.Error:
        return None
    good = good and method == b"GET" and headers.get(b"sec-websocket-version") == _VERSION
    return key if good else None


def accepted_key(key: bytes) -> bytes:
    """What the Sec-WebSocket-Accept of the answer says."""
    return base64.b64encode(hashlib.sha1(key + _KEY_SUFFIX).digest())  # noqa: S324
