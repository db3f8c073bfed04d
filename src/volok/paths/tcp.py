"""What the system does for a TCP connection: tells whether what we sent arrives, fills packets."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress
from typing import Any

# The beginning of Linux' `struct tcp_info` (linux/tcp.h): 8 bytes, 24 numbers of 32 bits, 4 of 64,
# 2 of 32.
_INFO = struct.Struct("=8B24I4Q2I")
_RETRANSMITS, _UNACKED, _LAST_ACK, _REPEATED = 2, 8 + 4, 8 + 12, 8 + 23
_ACKED, _RECEIVED, _OUT, _IN = 34, 35, 36, 37
_REPEATS = 3
_SILENCE = 2000


def socket_of(transport: asyncio.BaseTransport) -> Any:
    """The socket under a transport; None when there is none any more: uvloop raises an error where
    asyncio gives nothing."""
    try:
        return transport.get_extra_info("socket")
    except OSError:
        return None


def hold(connection: Any, on: bool) -> None:
    """Keep small writes back until they fill packets, or let them go. Where the system cannot, it
    does nothing."""
    option = getattr(socket, "TCP_CORK", None)
    if option is not None and connection is not None:
        with suppress(OSError, ValueError, AttributeError):
            connection.setsockopt(socket.IPPROTO_TCP, option, int(on))


def traffic(connection: Any) -> tuple[int, int, int] | None:
    """The bytes that this socket has carried, both ways together, as far as they arrived; its
    packets, repetitions left out; and those of them that have not been acknowledged. None where
    it cannot be known."""
    info = _info(connection)
    if info is None:
        return None
    packets = info[_OUT] + info[_IN] - info[_REPEATED]
    return info[_ACKED] + info[_RECEIVED], packets, info[_UNACKED]


def is_stuck(connection: Any) -> bool | None:
    """Whether what was sent over this socket has been repeated several times and nothing has
    been acknowledged for two seconds: a border or the network drops it. On a slow link, where
    answers take as long, acknowledgements keep coming. None where it cannot be known (systems
    other than Linux, other kinds of transport)."""
    info = _info(connection)
    if info is None:
        return None
    return info[_UNACKED] > 0 and info[_RETRANSMITS] >= _REPEATS and info[_LAST_ACK] >= _SILENCE


def _info(connection: Any) -> tuple[int, ...] | None:
    option = getattr(socket, "TCP_INFO", None)
    if option is None or connection is None:
        return None
    try:
        return _INFO.unpack(connection.getsockopt(socket.IPPROTO_TCP, option, _INFO.size))
    except (OSError, ValueError, AttributeError, struct.error):  # ValueError: closed, uvloop
        return None
