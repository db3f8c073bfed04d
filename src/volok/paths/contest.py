"""The I/O of one race between paths; what is done, and when, is `volok.paths.race.Race`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from volok.paths.choice import Place
from volok.paths.ground import NO_PATH, Candidate, Ground
from volok.paths.live import PathError, Socket
from volok.paths.race import (
    Abandon,
    Began,
    Failed,
    Input,
    Opened,
    Race,
    Start,
    Take,
    TimeCame,
    Wanted,
)


class Contest:
    """The I/O of one race."""

    def __init__(
        self, ground: Ground, place: Place, url: str, candidates: dict[str, Candidate]
    ) -> None:
        self.candidates = candidates
        self._ground = ground
        self._place = place
        self._url = url
        self._inputs: asyncio.Queue[Input] = asyncio.Queue()
        self._attempts: dict[str, asyncio.Task[Socket]] = {}
        self._began: dict[str, float] = {}
        self._problems: dict[str, PathError] = {}

    async def run(self, race: Race) -> tuple[str, Socket]:
        """The path that won and its websocket. Raises PathError when none opened."""
        clock = asyncio.get_running_loop().time
        won: str | None = None
        try:
            given: Input = Wanted()
            while True:
                for output in race.handle(given, clock()):
                    match output:
                        case Start(name):
                            self._start(name)
                        case Abandon(name, silent):
                            self._attempts[name].cancel()
                            if silent:
                                self._failed(name, PathError("The relay does not answer in time."))
                        case Take(name):
                            won = name
                            took = clock() - self._began[name]
                            self._ground.memory.opened(self._place, name, took)
                            return name, self._attempts[name].result()
                        case _:
                            raise self._problem()
                given = await self._next(race)
        finally:
            losers = [task for name, task in self._attempts.items() if name != won]
            if losers:
                self._ground.spawn(_clear(losers))

    async def _next(self, race: Race) -> Input:
        try:
            async with asyncio.timeout_at(race.wakes_at):
                return await self._inputs.get()
        except TimeoutError:
            return TimeCame()

    def _start(self, name: str) -> None:
        def began() -> None:
            self._began[name] = asyncio.get_running_loop().time()
            self._inputs.put_nowait(Began(name))

        task = asyncio.create_task(self._ground.open(self.candidates[name], self._url, began))
        self._attempts[name] = task
        task.add_done_callback(lambda done: self._done(name, done))

    def _done(self, name: str, task: asyncio.Task[Socket]) -> None:
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            self._inputs.put_nowait(Opened(name))
            return
        if isinstance(error, PathError):
            self._failed(name, error)
        else:
            self._problems[name] = PathError("The relay cannot be reached.")
        self._inputs.put_nowait(Failed(name))

    def _failed(self, name: str, error: PathError) -> None:
        self._problems[name] = error
        self._ground.blame(self._place, name)

    def _problem(self) -> PathError:
        """What went wrong on the cheapest path says most."""
        names = sorted(self._problems, key=lambda name: self.candidates[name].option.rank)
        return self._problems[names[0]] if names else PathError(NO_PATH)


async def _clear(losers: Sequence[asyncio.Task[Socket]]) -> None:
    for task in losers:
        task.cancel()
    for socket in await asyncio.gather(*losers, return_exceptions=True):
        if not isinstance(socket, BaseException):
            await socket.close()
