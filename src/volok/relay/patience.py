"""How long the HTTP server waits for whom, beside what uvicorn does.

1. The head of a request has some seconds from the moment the connection is free for one; so has
   what a client goes on sending after it was answered.
2. Whoever does not read what they asked for is left.
3. Connections that have asked for nothing yet make room, the oldest first, when there are many.

A websocket leaves all this with its handshake.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

HEAD_SECONDS = 20.0
"""How long the head of a request may take."""
STALL_SECONDS = 60.0
"""How long a client may read nothing of an answer."""
MOST = 1_024
"""The most connections that speak HTTP."""


class HttpState(ServerState):
    """What the connections of one server share."""

    def __init__(self) -> None:
        super().__init__()
        self.speaking: dict[PatientHttp, None] = {}
        """The connections that speak HTTP, the oldest first."""


class PatientHttp(H11Protocol):
    """One connection that speaks HTTP. Its server's state is an `HttpState`."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._speaking = cast(HttpState, server_state).speaking
        self._head: asyncio.TimerHandle | None = None
        self._stall: asyncio.TimerHandle | None = None
        self._left = False

    @property
    def is_idle(self) -> bool:
        """Whether no request is being answered."""
        return self.cycle is None or self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        if len(self._speaking) >= MOST:
            idle = next((one for one in self._speaking if one.is_idle), self)
            idle.transport.abort()
            idle._leave()
        if not self._left:
            self._speaking[self] = None
            self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._leave()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take in bytes; the wait ends once a head is whole."""
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        """Begin to wait for the next request."""
        super().on_response_complete()
        self._look()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Hand the connection over."""
        self._leave()
        super().handle_websocket_upgrade(event)

    def pause_writing(self) -> None:
        """The client reads more slowly than it is sent to."""
        super().pause_writing()
        if self._stall is None:
            self._stall = self.loop.call_later(STALL_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """The client has read."""
        super().resume_writing()
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

    def _look(self) -> None:
        if self._left or not self.is_idle:
            self._stop_waiting()
        elif self._head is None:
            self._head = self.loop.call_later(HEAD_SECONDS, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None

    def _leave(self) -> None:
        self._left = True
        self._speaking.pop(self, None)
        self._stop_waiting()
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None
