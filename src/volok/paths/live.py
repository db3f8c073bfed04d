"""What a live path is: a way to open websockets and make HTTP requests to a relay."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol


class PathError(Exception):
    """This path does not get through at the moment."""


class FrameTooBig(PathError):
    """The relay closed the connection because a message was too large for it (RFC 6455, 1009)."""


class Resumable(PathError):
    """The connection was ended on purpose, before this network would cut it; go on at once."""


class Frozen(PathError):
    """An open connection carries nothing any more."""


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

    async def abandon(self) -> None:
        """Close it without a farewell, which may take packets and time; never raises."""
        await self.close()

    def stuck(self) -> bool | None:
        """Whether the system sees that nothing we send arrives any more; None: it cannot tell."""
        return None

    def traffic(self) -> tuple[int, int, int] | None:
        """What the connection has carried, both ways together, with all that lies below the frames:
        bytes that arrived, packets, and how many of these have not been acknowledged. None: the
        system cannot tell."""
        return None

    def hold(self, on: bool) -> None:
        """Where the system can: keep small frames back until they fill a packet, or let them go."""
        return None

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

    def separates(self, url: str) -> bool:
        """Whether what is done with this relay is to be kept apart: the relay does not see where
        the person is, and would learn that inboxes or events belong together only by their sharing
        a connection."""
        return self.capabilities.hides_address

    async def prepare(self, url: str) -> None:
        """Make ready what it takes before a handshake with this relay can begin; for most paths
        nothing. Raises PathError."""
        return None

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

    def room(self, url: str) -> int | None:
        """Bytes of a body, of the next request or of its answer, that this network lets through in
        one go; None: no limit is known. Where there is one, a request that was cut raises
        `Resumable`, and may be made again at once in smaller parts."""
        return None

    async def close(self) -> None:
        """Release connections."""


class NoPath(LivePath):
    """`LivePath` that leads nowhere and says why."""

    def __init__(self, why: str) -> None:
        self._why = why

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(0.0, 0, None, True, self._why, cost=1000.0)

    async def websocket(self, url: str) -> Socket:
        raise PathError(self._why)

    @asynccontextmanager
    async def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: AsyncIterator[bytes] | bytes | None = None,
    ) -> AsyncGenerator[Response, None]:
        raise PathError(self._why)
        yield

    async def close(self) -> None:
        """Nothing was opened."""
