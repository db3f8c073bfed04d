"""What an open node does by itself: messages, relays, erasing what expired."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from volok.app.hints import HintKeeper
from volok.app.services import Pulse, Services
from volok.app.settings import NodeSettings
from volok.app.wiring import Parts


class Duties:
    """The background work of one open node, from `start` to `stop`."""

    def __init__(
        self, parts: Parts, pulse: Pulse, now: Callable[[], float], settings: NodeSettings
    ) -> None:
        self._parts = parts
        self._pulse = pulse
        self._now = now
        self._sweep_every = settings.sweep_every
        self._compact_every = settings.compact_every
        self._hints = settings.hints
        self._services = Services(settings.restart_first, settings.restart_most)

    def start(self) -> None:
        """Begin all of it."""
        works: dict[str, Callable[[], Awaitable[None]]] = {
            "chat": self._parts.chat.run,
            "sync": self._parts.engine.run,
            "scopes": self._scopes,
            "changes": self._changes,
            "relays": self._relays,
            "paths": self._parts.paths.run,
            "hints": HintKeeper(self._parts, self._hints).run,
            "sweep": self._sweep,
            "compact": self._compact,
        }
        for name, work in works.items():
            self._services.start(name, work)

    def add(self, name: str, work: Callable[[Parts], Awaitable[None]]) -> None:
        """Begin one more, which works on the parts."""
        self._services.start(name, lambda: work(self._parts))

    async def stop(self) -> None:
        """End all of it, and wait for that."""
        await self._services.stop()

    async def _scopes(self) -> None:
        while True:
            changed = self._parts.chat.scopes_changed()
            await self._parts.set_scopes()
            await changed()

    async def _changes(self) -> None:
        """A change of a conversation may change how many messages wait."""
        async for _ in self._parts.chat.follow(await self._parts.chat.cursor()):
            self._pulse.beat()

    async def _relays(self) -> None:
        while True:
            await self._parts.engine.changed()
            self._pulse.beat()

    async def _sweep(self) -> None:
        while True:
            await self._parts.store.expire(int(self._now()))
            await asyncio.sleep(self._sweep_every)

    async def _compact(self) -> None:
        while True:
            await asyncio.sleep(self._compact_every)
            await self._parts.vault.compact()
