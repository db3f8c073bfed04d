"""What a live path is: a way to open websockets and make HTTP requests to a relay."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol


class PathError(Exception):
    """This path does not get through at the moment."""


class FrameTooBig(PathError):
    """The relay closed the connection because a message was too large for it (RFC 6455, 1009)."""


class Resumable(PathError):
    """The connection was ended on purpose, before this network would cut it; go on at once."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a path can do and what it shows. The scheduler chooses by these."""

    latency: float
    """Typical seconds for one round trip."""
    connections: int
    """Connections at once."""
    bytes_per_connection: int | None
    """None: no limit known."""
    hides_address: bool
    """Whether the relay cannot see where the person is."""
    observer_learns: str
    """One plain sentence for the person."""
    cost: float = 1.0
    """What it costs beside others: money, bytes, time of others. Of two that work, the cheaper."""
    exposure: int = 0
    """How many learn of the connection beside the provider and the relay. Of two that cost the
    same, the one that shows less."""


class Socket(Protocol):
    """An open websocket of text frames."""

    async def send(self, text: str) -> None:
        """Send one text frame. Raises PathError when the connection is gone."""

    async def receive(self) -> str:
        """Return the next text frame. Raises PathError when the connection is gone."""

    async def ping(self) -> None:
        """Return once the other end has answered a ping. Raises PathError when the connection is
        gone; whoever waits sets the time limit."""

    async def close(self) -> None:
        """Close it; never raises."""


@dataclass(frozen=True, slots=True)
class Response:
    """The head of an HTTP answer and its body in pieces."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: AsyncIterator[bytes]


class LivePath(Protocol):
    """A way to reach relays."""

    @property
    def capabilities(self) -> Capabilities: ...

    async def websocket(self, url: str) -> Socket:
        """Open a websocket to a ws:// or wss:// URL. Raises PathError."""

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: AsyncIterator[bytes] | bytes | None = None,
    ) -> AbstractAsyncContextManager[Response]:
        """Make one HTTP request; redirects are not followed. Leaving the context ends it, so that
        a body that nobody read to its end holds no connection. Entering it and reading the body
        raise PathError."""

    async def close(self) -> None:
        """Release connections."""
