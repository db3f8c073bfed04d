"""What all attempts of a node share: the candidates' memory, turns for handshakes, and tasks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from volok.paths.allowances import Allowances
from volok.paths.choice import Memory, Option, Place
from volok.paths.live import LivePath, PathError, Socket

NO_PATH = "No path that you have leads to this relay."


@dataclass(frozen=True, slots=True)
class Candidate:
    """One of the paths. `fits` tells whether it can serve a URL (ws, wss, http or https)."""

    name: str
    path: LivePath
    fits: Callable[[str], bool]

    @property
    def option(self) -> Option:
        """As the scheduler sees it."""
        return Option(self.name, self.path.capabilities)


def relay_of(url: str) -> str:
    """The relay that a URL belongs to: its host and port, whatever the scheme. Raises PathError."""
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme in ("wss", "https") else 80)
    except ValueError as error:
        raise PathError("This is not the address of a relay.") from error
    return f"{(parts.hostname or '').lower()}:{port}"


class Ground:
    """`network` names the network of the moment, `now` gives Unix seconds, `chance` is random in
    [0, 1); `handshakes` is how many connections may be opened at once."""

    def __init__(
        self,
        network: Callable[[], str],
        now: Callable[[], float],
        chance: Callable[[], float],
        memory: Memory,
        allowances: Allowances,
        handshakes: int,
    ) -> None:
        self._network = network
        self._chance = chance
        self._handshakes = asyncio.Semaphore(handshakes)
        self._tasks: set[asyncio.Task[None]] = set()
        self.now = now
        self.memory = memory
        self.allowances = allowances

    def place(self, url: str) -> Place:
        """Where something is tried. Raises PathError for what is no URL."""
        return Place(self._network(), relay_of(url))

    async def open(self, candidate: Candidate, url: str, began: Callable[[], None]) -> Socket:
        """A websocket over this candidate. `began` is called when its turn has come. Raises
        PathError."""
        await candidate.path.prepare(url)
        async with self._handshakes:
            began()
            return await candidate.path.websocket(url)

    @asynccontextmanager
    async def turn(self, most: float) -> AsyncGenerator[None, None]:
        """One of the handshakes of the node, for at most so many seconds."""
        await self._handshakes.acquire()
        held = True

        def let_go() -> None:
            nonlocal held
            if held:
                held = False
                self._handshakes.release()

        timer = asyncio.get_running_loop().call_later(most, let_go)
        try:
            yield
        finally:
            timer.cancel()
            let_go()

    def blame(self, place: Place, name: str) -> None:
        """Remember that a path failed."""
        self.memory.failed(place, name, self.now(), self._chance())

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run `work` beside, at most until `close`."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def close(self) -> None:
        """End everything that `spawn` began."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
