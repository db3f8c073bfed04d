"""What a connection meets first: the cover website, until a request shows the secret path.

Until then nothing of the relay's code runs. A connection that has shown the secret belongs to the
relay from then on.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from uvicorn.config import Config
from uvicorn.server import ServerState

from volok.relay.cover import (
    HEAD_END,
    MAX_HEAD,
    MAX_LINE,
    CoverFile,
    CoverSite,
    InvalidRequest,
    is_secret,
    parse_request,
)
from volok.relay.errors import RelayError
from volok.relay.patience import PatientHttp

_IDLE_SECONDS = 65.0
"""How long a connection may stay without a whole request; web servers have a minute or so."""
_MAX_SITE = 64 * 1024 * 1024
_PAGE = b"<html><body><h1>It works!</h1></body></html>\n"
"""The page of a web server that nobody has set up yet; millions show it."""


@dataclass(frozen=True, slots=True)
class FrontDoor:
    """The website, and what opens the way to the relay behind it."""

    site: CoverSite
    digest: bytes
    """SHA-256 of the secret path."""
    clock: Callable[[], float]
    """Unix seconds, for the Date header."""

    def protocol(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> asyncio.Protocol:
        """What uvicorn calls for each connection, by these names."""
        return _Visitor(self, config, server_state, app_state)


def load_site(folder: Path | None, modified: float) -> CoverSite:
    """Read the files of a website. Raises RelayError.

    Hidden files and symbolic links are left out. Without a folder it is one page, with this date
    (Unix seconds).
    """
    if folder is None:
        return CoverSite({"index.html": CoverFile(_PAGE, int(modified))})
    files: dict[str, CoverFile] = {}
    total = 0
    try:
        if not folder.is_dir():
            raise RelayError("The folder of the cover website does not exist.")
        for base, folders, names in os.walk(folder):
            folders[:] = [name for name in folders if not name.startswith(".")]
            for path in (Path(base, name) for name in names if not name.startswith(".")):
                if path.is_symlink() or not path.is_file():
                    continue
                total += path.stat().st_size
                if total > _MAX_SITE:
                    raise RelayError("The cover website has more than 64 MB. Choose a smaller one.")
                name = path.relative_to(folder).as_posix()
                files[name] = CoverFile(path.read_bytes(), int(path.stat().st_mtime))
    except OSError as error:
        raise RelayError("The folder of the cover website cannot be read.") from error
    if "index.html" not in files:
        raise RelayError("The folder of the cover website has no index.html.")
    return CoverSite(files)


class _Visitor(asyncio.Protocol):
    """One connection, while it has not shown the secret."""

    transport: asyncio.Transport

    def __init__(
        self, door: FrontDoor, config: Config, state: ServerState, app_state: dict[str, Any]
    ) -> None:
        self._door = door
        self._config = config
        self._state = state
        self._app_state = app_state
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        self._body_left = 0
        self._paused = False
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        # Uvicorn keeps here whatever has a `shutdown`, and calls that when it stops.
        cast("set[Any]", self._state.connections).add(self)
        self._wait_again()

    def connection_lost(self, exc: Exception | None) -> None:
        cast("set[Any]", self._state.connections).discard(self)
        self._stop_waiting()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._proceed()

    def pause_writing(self) -> None:
        self._paused = True
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        self._paused = False
        self.transport.resume_reading()
        self._proceed()

    def shutdown(self) -> None:
        """Uvicorn stops."""
        self.transport.close()

    def _proceed(self) -> None:
        while not self._paused and not self.transport.is_closing():
            if self._body_left:
                gone = min(self._body_left, len(self._buffer))
                del self._buffer[:gone]
                self._body_left -= gone
                self._wait_again()
            # Empty lines before a request are ignored (RFC 9112, section 2.2).
            self._buffer = self._buffer.lstrip(b"\r\n")
            end = HEAD_END.search(self._buffer)
            if self._body_left or not self._buffer or (end is None and not self._too_long()):
                return
            if end is None or end.start() > MAX_HEAD:
                self._refuse(400 if b"\n" in self._buffer[:MAX_LINE] else 414)
            else:
                self._serve(bytes(self._buffer[: end.start()]), end.end())

    def _too_long(self) -> bool:
        line = self._buffer.find(b"\n") < 0 and len(self._buffer) > MAX_LINE
        return line or len(self._buffer) > MAX_HEAD

    def _serve(self, head: bytes, length: int) -> None:
        try:
            request = parse_request(head)
        except InvalidRequest:
            self._refuse(400)
            return
        if is_secret(request.path, self._door.digest):
            self._hand_over()
            return
        del self._buffer[:length]
        answer = self._door.site.answer(request, self._door.clock())
        self.transport.write(answer.data)
        if answer.keep:
            self._body_left = request.body_length or 0
            self._wait_again()
        else:
            self.transport.close()

    def _refuse(self, status: int) -> None:
        self._buffer.clear()
        self.transport.write(self._door.site.error(status, self._door.clock()).data)
        self.transport.close()

    def _hand_over(self) -> None:
        self._stop_waiting()
        cast("set[Any]", self._state.connections).discard(self)
        seen = bytes(self._buffer)
        self._buffer.clear()
        relay = PatientHttp(self._config, self._state, self._app_state)
        relay.connection_made(self.transport)
        self.transport.set_protocol(relay)
        relay.data_received(seen)

    def _wait_again(self) -> None:
        self._stop_waiting()
        self._timer = self._loop.call_later(_IDLE_SECONDS, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
