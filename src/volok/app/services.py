"""Background work of a node: supervised tasks, and the pulse by which changes are announced."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable

log = logging.getLogger(__name__)


class Pulse:
    """Announces that something changed, to whoever waits at that moment."""

    def __init__(self) -> None:
        self._next: asyncio.Event = asyncio.Event()

    def beat(self) -> None:
        """Wake everybody who waits."""
        self._next.set()
        self._next = asyncio.Event()

    async def wait(self) -> None:
        """Return at the next beat."""
        await self._next.wait()


class Services:
    """Tasks that are started together, restarted when they fail, and stopped together.

    A task that fails is counted and started again after a growing pause, so that one fault never
    takes the node down and never spins.
    """

    def __init__(self, first_pause: float, longest_pause: float) -> None:
        self._first = first_pause
        self._longest = longest_pause
        self._tasks: set[asyncio.Task[None]] = set()
        self.failures: Counter[str] = Counter()
        """How often each task has failed, by its name."""

    def start(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Run `work` until it returns or `stop` is called; again whenever it raises."""
        task = asyncio.create_task(self._supervise(name, work), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """Cancel all tasks and wait until they are gone."""
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _supervise(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        pause = self._first
        while True:
            began = asyncio.get_running_loop().time()
            try:
                await work()
                return
            except Exception as error:  # the one place where any fault is contained
                self.failures[name] += 1
                # The class alone: the text of an error may hold an address or a name.
                log.warning("%s failed (%s) and is started again", name, type(error).__name__)
            if asyncio.get_running_loop().time() - began > self._longest:
                pause = self._first
            await asyncio.sleep(pause)
            pause = min(pause * 2, self._longest)
