"""Websocket frames of a server (RFC 6455). Pure: bytes in, messages out, and the other way round.

1. No extension is ever agreed on: reserved bits end the connection, so that nothing compressed
   can blow up.
2. What waits is one unfinished frame and one unfinished message, each at most as long as the
   longest message, and what the caller left for later. Between messages nothing waits.
3. Garbage becomes `failure`, the code to close with; nothing raises.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from typing import NamedTuple

from websockets.frames import CloseCode
from websockets.utils import apply_mask as plain_mask

try:
    from websockets.speedups import apply_mask as fast_mask
except ImportError:  # a platform without a compiled wheel
    fast_mask = plain_mask

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA
"""Opcodes of the messages that `FrameReader` gives (RFC 6455, section 5.2)."""

_CONTINUATION = 0x0
_FINAL_TEXT = 0x80 | TEXT
_CONTROL_BYTES = 125
"""The longest payload of a control frame."""
_DEFINED = frozenset((1000, 1001, 1002, 1003, *range(1007, 1015), *range(3000, 5000)))
"""Close codes that may stand in a frame (RFC 6455, section 7.4, and its IANA registry)."""

_mask: Callable[[bytes, bytes], bytes] = fast_mask
_SHORT = tuple(bytes((_FINAL_TEXT, length)) for length in range(126))


class Message(NamedTuple):
    """A whole message or control frame. The text of TEXT is not checked for UTF-8."""

    opcode: int
    payload: bytes


class FrameReader:
    """Puts the messages of one client together from what its socket gives."""

    __slots__ = (
        "_fragments",
        "_have",
        "_max",
        "_need",
        "_opcode",
        "_start",
        "_waiting",
        "failure",
        "is_behind",
    )

    def __init__(self, max_message: int) -> None:
        """`max_message`: bytes of the longest message; a longer one is close code 1009."""
        self._max = max_message
        self._waiting: list[bytes] = []
        self._start = 0
        """How much of the first of these was read."""
        self._have = 0
        self._need = 0
        self._opcode = 0
        """Of the message whose fragments are gathered; 0 between messages."""
        self._fragments = bytearray()
        self.failure: int | None = None
        """The code to close with, once the client broke the protocol: nothing more is read."""
        self.is_behind = False
        """Whether frames wait that may be whole: `receive` goes on with them."""

    def receive(self, data: bytes, most: int = sys.maxsize) -> list[Message]:
        """Take bytes in; returns the messages that they completed, in order.

        At most so many frames are read, those that make no message included. The rest stays for
        the next call, which may bring no bytes.
        """
        position = 0
        if self._waiting:
            self._waiting.append(data)
            self._have += len(data)
            if self._have < self._need:
                return []
            data = b"".join(self._waiting)
            position = self._start
            self._waiting, self._start = [], 0
        messages: list[Message] = []
        position = self._read(data, position, most, messages)
        if position < len(data) and self.failure is None:
            self._have = len(data) - position
            self.is_behind = self._have >= self._need
            if self.is_behind:
                # Not to be copied once for every few frames.
                self._waiting, self._start = [data], position
            else:
                self._waiting = [data[position:]]
        else:
            self.is_behind = False
        return messages

    def _read(self, data: bytes, position: int, most: int, messages: list[Message]) -> int:
        """Read whole frames; returns where the first one begins that was not read."""
        end = len(data)
        while self.failure is None and end - position >= 2:
            if not most:
                break
            most -= 1
            # The length in the second byte, less the bit that says it is masked.
            first, length, start = data[position], data[position + 1] - 128, position + 6
            if length == 126:
                start += 2
            elif length == 127:
                start += 8
            self._need = start - position
            if length < 0:
                self._fail(CloseCode.PROTOCOL_ERROR)
            if length < 0 or start > end:
                return position
            if length >= 126:
                length = int.from_bytes(data[position + 2 : start - 4])
            stop = start + length
            self._need = stop - position
            if length > self._max:
                self._fail(CloseCode.MESSAGE_TOO_BIG)
            if stop > end or self.failure is not None:
                return position
            payload = _mask(data[start:stop], data[start - 4 : start])
            position = stop
            if first == _FINAL_TEXT and not self._opcode:
                messages.append(Message(TEXT, payload))
            elif (message := self._frame(first, payload)) is not None:
                messages.append(message)
        self._need = 2
        return position

    def _frame(self, first: int, payload: bytes) -> Message | None:
        final, opcode = first & 0x80, first & 0x0F
        if first & 0x70 or opcode not in (_CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG):
            self._fail(CloseCode.PROTOCOL_ERROR)
        elif opcode >= CLOSE:
            return self._control(opcode, payload, bool(final))
        elif (opcode == _CONTINUATION) != bool(self._opcode):
            self._fail(CloseCode.PROTOCOL_ERROR)
        elif len(self._fragments) + len(payload) > self._max:
            self._fail(CloseCode.MESSAGE_TOO_BIG)
        else:
            self._fragments += payload
            self._opcode = self._opcode or opcode
            if final:
                message = Message(self._opcode, bytes(self._fragments))
                self._opcode, self._fragments = 0, bytearray()
                return message
        return None

    def _control(self, opcode: int, payload: bytes, final: bool) -> Message | None:
        unknown = opcode == CLOSE and payload and int.from_bytes(payload[:2]) not in _DEFINED
        if unknown or not final or len(payload) > _CONTROL_BYTES:
            self._fail(CloseCode.PROTOCOL_ERROR)
        elif opcode == CLOSE and not is_utf8(payload[2:]):
            self._fail(CloseCode.INVALID_DATA)
        else:
            return Message(opcode, payload)
        return None

    def _fail(self, code: int) -> None:
        self.failure = int(code)
        self._waiting, self._fragments = [], bytearray()


def is_utf8(payload: bytes) -> bool:
    """Whether this is text; where it is not, the close code is 1007."""
    try:
        payload.decode()
    except UnicodeDecodeError:
        return False
    return True


def text_frame(payload: bytes) -> bytes:
    """The frame of a text message, as a server sends it."""
    return b"%b%b" % (text_head(len(payload)), payload)


def text_head(length: int) -> bytes:
    """What stands before the payload of a text message of so many bytes."""
    if length < 126:
        return _SHORT[length]
    if length < 65536:
        return struct.pack(">BBH", _FINAL_TEXT, 126, length)
    return struct.pack(">BBQ", _FINAL_TEXT, 127, length)


def control_frame(opcode: int, payload: bytes = b"") -> bytes:
    """A PING, PONG or CLOSE frame; the payload has at most 125 bytes."""
    return bytes((0x80 | opcode, len(payload))) + payload


def close_frame(code: int, reason: str = "") -> bytes:
    """A CLOSE frame; the reason has at most 123 bytes of UTF-8."""
    return control_frame(CLOSE, code.to_bytes(2) + reason.encode())
