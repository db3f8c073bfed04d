"""The bounded queue of frames that wait for one reader.

1. `put` never waits, so nobody waits for a reader; who does not keep up is given up.
2. What was put within one turn of the event loop is sent by one write.
"""

from __future__ import annotations

import asyncio

from volok.relay.websocket import Socket

_WRITE_BYTES = 64 * 1024
"""When so much has gathered, it is written without waiting for the end of the turn."""


class Turn:
    """Flushes outboxes at the end of a turn of the event loop."""

    def __init__(self) -> None:
        self._filled: list[Outbox] = []

    def add(self, outbox: Outbox) -> None:
        """Flush this one, too."""
        if not self._filled:
            asyncio.get_running_loop().call_soon(self._flush)
        self._filled.append(outbox)

    def _flush(self) -> None:
        filled, self._filled = self._filled, []
        for outbox in filled:
            outbox.flush()


class Outbox:
    """Frames for one websocket."""

    __slots__ = (
        "_bytes",
        "_frames",
        "_max_bytes",
        "_max_frames",
        "_room",
        "_socket",
        "_turn",
        "_waits",
        "overflowed",
    )

    def __init__(self, max_frames: int, max_bytes: int, turn: Turn, socket: Socket) -> None:
        """Past either bound it overflows."""
        self._frames: list[bytes] = []
        self._bytes = 0
        self._max_frames = max_frames
        self._max_bytes = max_bytes
        self._turn = turn
        self._socket = socket
        self._waits = False
        """Whether it is to be flushed at the end of this turn."""
        self._room: asyncio.Future[None] | None = None
        self.overflowed = False
        """Whether a frame found no room. The reader is to be disconnected."""

    @property
    def is_backed_up(self) -> bool:
        """Whether who can wait should, and leave the room to those who cannot."""
        return self._bytes >= _WRITE_BYTES or len(self._frames) * 2 >= self._max_frames

    def put(self, frame: bytes) -> None:
        """Queue a frame, or give the reader up."""
        if self.overflowed:
            return
        size = self._bytes + len(frame)
        # A single frame of any length may wait, or an entry could be too long to be sent ever.
        if len(self._frames) >= self._max_frames or (self._frames and size > self._max_bytes):
            self.flush()
            if self._frames:
                self.overflowed = True
                self.clear()
                return
            size = len(frame)
        self._frames.append(frame)
        self._bytes = size
        if size >= _WRITE_BYTES:
            self.flush()
        elif not self._waits:
            self._waits = True
            self._turn.add(self)

    def flush(self) -> None:
        """Send what waits, if the websocket takes it."""
        self._waits = False
        if self._frames and self._socket.is_writable:
            frames = self._frames
            self._frames, self._bytes = [], 0
            self._socket.send(frames[0] if len(frames) == 1 else b"".join(frames))
        self._tell()

    async def room(self) -> None:
        """Return when nothing waits any more."""
        self.flush()
        if self._frames:
            if self._room is None:
                self._room = asyncio.get_running_loop().create_future()
            # Whoever gives up waiting does not end the waiting of others.
            await asyncio.shield(self._room)

    def clear(self) -> None:
        """Drop everything that waits."""
        self._frames, self._bytes = [], 0
        self._tell()

    def _tell(self) -> None:
        if self._room is not None and not self._frames:
            self._room.set_result(None)
            self._room = None
