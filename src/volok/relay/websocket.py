"""One websocket on its transport (RFC 6455): no task and no buffer while nobody speaks.

1. Uvicorn hands the connection over with the upgrade request. The application is asked as ASGI
   says, so that whatever guards HTTP guards websockets; it says yes by calling what the scope's
   extension `volok.websocket` gives it, with the `Handler` that takes over, and is done then.
2. From there on bytes go to the handler by plain calls. A handler that raises is a defect of this
   program: its connection is closed (1011), the others do not notice.
3. Whoever closes waits for the other side, but not for ever.
4. A connection that brings more than its share of the event loop is not read until the rest of what
   it brought has had its turn (`volok.relay.shares`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Any, Protocol, cast
from urllib.parse import unquote

from starlette.types import Message as AsgiMessage
from uvicorn.config import Config
from uvicorn.protocols.utils import get_local_addr, get_remote_addr, is_ssl
from uvicorn.server import ServerState
from websockets.frames import CloseCode

from volok.relay.frames import CLOSE, PING, PONG, FrameReader, Message, close_frame, control_frame
from volok.relay.handshake import accepted_key, upgrade_key
from volok.relay.shares import SHARE_SECONDS, Account, shares_of

EXTENSION = "volok.websocket"
"""In the `extensions` of an ASGI scope: `{"accept": Callable[[Handler], None]}`."""

GRACE_SECONDS = 5.0
"""How long the other side has to answer a close frame, or to read what it was sent."""

_FRAMES = 16
"""Frames that are read between two looks at the clock."""


class Handler(Protocol):
    """What is spoken on a websocket. Every method returns at once."""

    def opened(self, socket: Socket) -> None:
        """The handshake is done; `socket` is the way to the client."""

    def message_received(self, message: Message) -> bool:
        """A TEXT or BINARY message came; returns whether it was good for anything."""

    def writable(self) -> None:
        """What was sent is on its way: `Socket.is_writable` is true again."""

    def failed(self) -> None:
        """A method of this handler raised; the connection is being closed."""

    def closed(self) -> None:
        """The connection is gone. Nothing is called after that."""


class Socket(Protocol):
    """What a handler may do with its websocket."""

    @property
    def is_writable(self) -> bool:
        """False while so much waits that more would only fill memory."""

    def send(self, data: bytes) -> None:
        """Send whole frames (see `volok.relay.frames`). Dropped once the websocket closes."""

    def pause(self) -> None:
        """Read no further message until `resume`."""

    def resume(self) -> None:
        """Read again."""

    def close(self, code: int, reason: str = "", seconds: float | None = None) -> None:
        """Close, and after so many seconds (`GRACE_SECONDS`) in any case. The reason has at most
        123 bytes."""


class WebsocketProtocol(asyncio.Protocol):
    """What uvicorn makes of a connection that asks for a websocket."""

    transport: asyncio.Transport

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """What uvicorn calls, by these names; the limits are those of the `config`."""
        self._config = config
        self._state = server_state
        self._app_state = app_state
        self._loop = asyncio.get_running_loop()
        self._shares = shares_of(self._loop)
        self._account = Account()
        self._reader = FrameReader(config.ws_max_size)
        self._handler: Handler | None = None
        self._backlog: Sequence[Message] = ()
        """Messages that wait for the next share, or for the handler to resume."""
        self._waits = False
        """Whether it waits for its share."""
        self._paused = False
        self._reading = True
        """Whether the transport reads."""
        self._closing = False
        self._answered = False
        """Whether the HTTP request was answered."""
        self._heard = True
        self._pinged = False
        self._pings: list[bytes] = []
        """Payloads of those that are not answered yet."""
        """The last ping, which stands for those before it (RFC 6455, section 5.5.3)."""
        self._timer: asyncio.TimerHandle | None = None
        self.is_writable = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        # Uvicorn keeps here whatever has a `shutdown`, and calls that when it stops.
        cast("set[Any]", self._state.connections).add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        cast("set[Any]", self._state.connections).discard(self)
        self._closing = True
        if self._timer is not None:
            self._timer.cancel()
        handler, self._handler = self._handler, None
        if handler is not None:
            handler.closed()

    def data_received(self, data: bytes) -> None:
        if self._handler is None:
            if not self._answered and not self._paused:
                self._begin(data)
            return
        self._heard = True
        if self._paused or self._waits or self._shares.is_busy:
            self._reader.receive(data, 0)
            self._go_on()
        else:
            self._take_share(data)

    def eof_received(self) -> None:
        """The other side is done: so is the transport."""

    def pause_writing(self) -> None:
        self.is_writable = False

    def resume_writing(self) -> None:
        self.is_writable = True
        self._answer_pings()
        if self._handler is not None and not self._closing:
            self._handler.writable()

    def shutdown(self) -> None:
        """Uvicorn stops."""
        if self._handler is None:
            self._refuse(503)
            return
        self.close(CloseCode.SERVICE_RESTART)
        self.transport.close()

    # What `Socket` promises.

    def send(self, data: bytes) -> None:
        """See Socket."""
        if not self._closing:
            self.transport.write(data)

    def pause(self) -> None:
        """See Socket."""
        self._paused = True
        self._read(False)

    def resume(self) -> None:
        """See Socket."""
        if self._paused:
            self._paused = False
            self._go_on()

    def close(self, code: int, reason: str = "", seconds: float | None = None) -> None:
        """See Socket."""
        if self._closing:
            return
        self.transport.write(close_frame(code, reason))
        self._closing = True
        self._backlog = ()
        self._paused = False
        self._go_on()
        self._wait(GRACE_SECONDS if seconds is None else seconds)

    # The handshake.

    def _begin(self, head: bytes) -> None:
        # The rest waits in the kernel until the application has decided.
        self.pause()
        request, *lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
        method, target, _ = request.split(b" ", 2)
        headers = [(name.lower(), value) for name, _, value in (x.partition(b": ") for x in lines)]
        key = upgrade_key(method, dict(headers))
        if key is None:
            self._refuse(400)
            return
        self._wait(GRACE_SECONDS)
        raw_path, _, query = target.partition(b"?")
        path = unquote(raw_path.decode("ascii", "replace"))

        def accept(handler: Handler) -> None:
            self._accept(key, handler)

        scope = {
            "type": "websocket",
            "asgi": {"version": self._config.asgi_version, "spec_version": "2.4"},
            "http_version": "1.1",
            "scheme": "wss" if is_ssl(self.transport) else "ws",
            "server": get_local_addr(self.transport),
            "client": get_remote_addr(self.transport),
            "root_path": self._config.root_path,
            "path": self._config.root_path + path,
            "raw_path": self._config.root_path.encode() + raw_path,
            "query_string": query,
            "headers": headers,
            "subprotocols": [],
            "state": self._app_state.copy(),
            "extensions": {EXTENSION: {"accept": accept}},
        }
        task = self._loop.create_task(self._ask(scope))
        self._state.tasks.add(task)
        task.add_done_callback(self._state.tasks.discard)

    async def _ask(self, scope: dict[str, Any]) -> None:
        connected = False

        async def receive() -> AsgiMessage:
            nonlocal connected
            if connected:
                return {"type": "websocket.disconnect", "code": CloseCode.ABNORMAL_CLOSURE}
            connected = True
            return {"type": "websocket.connect"}

        async def send(message: AsgiMessage) -> None:
            if message["type"] == "websocket.close":
                self._refuse(403)

        with contextlib.suppress(Exception):
            await cast(Any, self._config.loaded_app)(scope, receive, send)
        self._refuse(500)  # does nothing to those who were answered

    def _accept(self, key: bytes, handler: Handler) -> None:
        if self._answered or self.transport.is_closing():
            handler.closed()
            return
        lines = [
            b"HTTP/1.1 101 Switching Protocols",
            b"Upgrade: websocket",
            b"Connection: Upgrade",
            b"Sec-WebSocket-Accept: " + accepted_key(key),
            *(name.title() + b": " + value for name, value in self._state.default_headers),
        ]
        self.transport.write(b"\r\n".join(lines) + b"\r\n\r\n")
        self._answered = True
        self._app_state = {}
        self._handler = handler
        self._heartbeat()
        self._call(handler.opened, self)
        self.resume()

    def _refuse(self, status: int) -> None:
        if self._answered or self.transport.is_closing():
            return
        self._answered = True
        name = {400: b"Bad Request", 403: b"Forbidden", 503: b"Service Unavailable"}.get(
            status, b"Internal Server Error"
        )
        lines = [
            b"HTTP/1.1 %d %b" % (status, name),
            *(name.title() + b": " + value for name, value in self._state.default_headers),
            b"Content-Length: 0",
            b"Connection: close",
        ]
        self.transport.write(b"\r\n".join(lines) + b"\r\n\r\n")
        self.transport.close()

    # While it is open.

    def _take_share(self, data: bytes = b"") -> None:
        """Do what a share of time is enough for."""
        reader, clock = self._reader, self._shares.clock
        until, worth = clock() + SHARE_SECONDS, 0
        while not self._paused:
            messages, self._backlog = self._backlog or reader.receive(data, _FRAMES), ()
            data = b""
            worth -= not messages  # nothing but fragments
            for place, message in enumerate(messages, 1):
                worth += 1 if self._deliver(message) else -1
                if place < len(messages) and (self._paused or clock() >= until):
                    self._backlog = messages[place:]
                    break
            if self._backlog or not reader.is_behind or clock() >= until:
                break
        self._account.is_suspect = worth < 0 and (bool(self._backlog) or reader.is_behind)
        self._answer_pings()
        if reader.failure is not None and not self._backlog and not self._closing:
            self._fail(reader.failure)
        self._go_on()

    def _deliver(self, message: Message) -> bool:
        if message.opcode < CLOSE:
            if not self._closing and self._handler is not None:
                return bool(self._call(self._handler.message_received, message))
        elif message.opcode == PING:
            if not self.is_writable:
                # RFC 6455, section 5.5.3: of several, the last one may be answered alone.
                self._pings.clear()
            self._pings.append(message.payload)
        elif message.opcode == CLOSE and not self.transport.is_closing():
            # Either the answer to ours, or to be answered.
            self.send(control_frame(CLOSE, message.payload[:2]))
            self._closing = True
            self.transport.close()
            self._wait(GRACE_SECONDS)
        return False

    def _answer_pings(self) -> None:
        if self._pings and self.is_writable:
            self.send(b"".join(control_frame(PONG, payload) for payload in self._pings))
            self._pings.clear()

    def _go_on(self) -> None:
        """Read on once nothing waits; come back for the next share until then."""
        if self._paused or self._handler is None:
            return
        if self._backlog or self._reader.is_behind:
            self._read(False)
            if not self._waits:
                self._waits = True
                self._shares.add(self._account, self._continue)
        elif not self._waits:
            self._read(True)

    def _continue(self) -> None:
        self._waits, self._heard = False, True
        if self._handler is not None and not self.transport.is_closing():
            self._take_share()

    def _read(self, wanted: bool) -> None:
        if wanted == self._reading or self.transport.is_closing():
            return
        self._reading = wanted
        if wanted:
            self.transport.resume_reading()
        else:
            self.transport.pause_reading()

    def _call(self, method: Any, *arguments: Any) -> Any:
        try:
            return method(*arguments)
        except Exception:
            if self._handler is not None:
                self._handler.failed()
            self.close(CloseCode.INTERNAL_ERROR)
            return False

    def _fail(self, code: int) -> None:
        self.close(code)
        # What the client still sends is thrown away: to close now would reset the connection, and
        # the client would not see the code.
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def _heartbeat(self) -> None:
        if self._pinged and not self._heard and not self._paused:
            self.transport.abort()
            return
        self._pinged = not self._heard
        if self._pinged:
            self.send(control_frame(PING))
        self._heard = False
        seconds = self._config.ws_ping_interval or GRACE_SECONDS
        self._set_timer(seconds, self._heartbeat)

    def _wait(self, seconds: float) -> None:
        self._set_timer(seconds, self.transport.abort)

    def _set_timer(self, seconds: float, call: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds, call)
