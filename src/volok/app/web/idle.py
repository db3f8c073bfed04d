"""Locking by itself after a time without any action."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response

from volok.app.web.interface import WebNode
from volok.app.web.render import web
from volok.store.vault import VaultError

_PAUSE = 15.0
"""Seconds between looks at the clock; a computer that slept is noticed this soon."""


class IdleLock:
    """Remembers the last action and locks the node when it lies too far back."""

    def __init__(self, node: WebNode, now: Callable[[], float]) -> None:
        self._node = node
        self._now = now
        self._last = now()

    def touch(self) -> None:
        """The person did something."""
        self._last = self._now()

    async def check(self) -> None:
        """Lock if it is time."""
        limit = (await self._node.preferences()).auto_lock_minutes * 60
        if limit and self._node.state == "open" and self._now() - self._last >= limit:
            await self._node.lock()

    async def run(self) -> None:
        """Check for ever."""
        while True:
            await asyncio.sleep(_PAUSE)
            try:
                await self.check()
            except VaultError:
                continue


async def awake(request: Request) -> Response:
    """POST /awake: the person moves, types or scrolls in an open page."""
    web(request).idle.touch()
    return Response(status_code=204)
