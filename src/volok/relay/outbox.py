"""The bounded queue of frames that wait for one reader."""

from __future__ import annotations

import asyncio
from collections import deque


class Outbox:
    """Frames for one websocket. One task takes; `put` never waits, so nobody waits for a reader."""

    def __init__(self, max_messages: int, max_characters: int) -> None:
        self._frames: deque[str] = deque()
        self._characters = 0
        self._max_messages = max_messages
        self._max_characters = max_characters
        self._filled = asyncio.Event()
        self._roomy = asyncio.Event()
        self._roomy.set()
        self.overflowed = asyncio.Event()
        """Set when a frame found no room. The reader is to be disconnected."""

    def put(self, text: str) -> None:
        """Queue a frame, or give the reader up."""
        if self.overflowed.is_set():
            return
        full = len(self._frames) >= self._max_messages
        # A single frame of any length may wait, or an entry could be too long to be sent ever.
        if full or (self._frames and self._characters + len(text) > self._max_characters):
            self.overflowed.set()
            self.clear()
            return
        self._frames.append(text)
        self._characters += len(text)
        self._filled.set()
        if self._is_half_full():
            self._roomy.clear()

    async def room(self) -> None:
        """Return when the queue is less than half full; whoever can wait leaves the rest to those
        who cannot."""
        await self._roomy.wait()

    async def take(self) -> str:
        """The next frame; waits for one."""
        while not self._frames:
            self._filled.clear()
            await self._filled.wait()
        text = self._frames.popleft()
        self._characters -= len(text)
        if not self._is_half_full():
            self._roomy.set()
        return text

    def clear(self) -> None:
        """Drop everything that waits."""
        self._frames.clear()
        self._characters = 0
        self._roomy.set()

    def _is_half_full(self) -> bool:
        return (
            len(self._frames) * 2 >= self._max_messages
            or self._characters * 2 >= self._max_characters
        )
