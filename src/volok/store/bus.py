"""What tells the other relays of a cluster at once what one of them has committed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class BusError(Exception):
    """The address of the bus is wrong."""


class Bus(Protocol):
    """Carries messages to all who listen under the same name. It may lose, repeat and reorder them;
    while it is gone, they are lost, and it comes back by itself."""

    most: int
    """The largest message, in bytes."""

    async def listen(self, name: str, heard: Callable[[bytes], None]) -> None:
        """Call `heard` with each message under this name from now on, our own included. Returns at
        once, whether the bus can be reached or not."""

    async def tell(self, name: str, message: bytes) -> None:
        """Send a message. Never raises."""

    async def close(self) -> None:
        """Let go of it. Harmless when called twice."""
