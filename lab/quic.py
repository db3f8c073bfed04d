"""QUIC Initial packets, told by their first bytes (RFC 9000, 17.2; RFC 9369, 3.2)."""

from __future__ import annotations

VERSION_1 = 0x00000001
VERSION_2 = 0x6B3343CF

_LONG_HEADER = 0xC0
"""Header form and fixed bit, both set."""
_PACKET_TYPE = 0x30
_INITIAL_TYPES = {VERSION_1: 0x00, VERSION_2: 0x10}
_LONGEST_ID = 20


def is_initial(payload: bytes) -> bool:
    """Whether a UDP payload begins with a QUIC Initial packet of version 1 or 2.

    Both connection ids and the token length have to be there; the rest is not looked at, since the
    low bits of the first byte and all that follows the length are protected. The padding to 1200
    bytes that a client's first datagram has (RFC 9000, 14.1) is not asked for.
    """
    if len(payload) < 8 or payload[0] & _LONG_HEADER != _LONG_HEADER:
        return False
    kind = _INITIAL_TYPES.get(int.from_bytes(payload[1:5], "big"))
    if kind is None or payload[0] & _PACKET_TYPE != kind:
        return False
    target_length = payload[5]
    if target_length > _LONGEST_ID or len(payload) < 8 + target_length:
        return False
    source_length = payload[6 + target_length]
    return source_length <= _LONGEST_ID and len(payload) >= 8 + target_length + source_length
