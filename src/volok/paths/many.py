"""One live path made of many: the scheduler's decisions carried out (see `volok.paths.choice`).

Websockets are raced over the candidates and watched; HTTP requests try one candidate after the
other. No host is contacted but that of the URL, and proxies where a candidate is one.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, field

from volok.paths.allowances import Allowances
from volok.paths.asking import Asking, AskingSettings
from volok.paths.budget import BudgetSettings, BudgetSocket, Meter
from volok.paths.choice import ChoiceSettings, Memory, Place
from volok.paths.contest import Contest
from volok.paths.ground import NO_PATH, Candidate, Ground
from volok.paths.live import Capabilities, LivePath, PathError, Response, Socket
from volok.paths.race import Race
from volok.paths.watch import FROZEN, Reports, WatchedSocket, WatchSettings


@dataclass(frozen=True, slots=True)
class ManySettings:
    """How many paths become one. Times are in seconds."""

    choice: ChoiceSettings = field(default_factory=ChoiceSettings)
    """How paths are chosen."""
    watch: WatchSettings = field(default_factory=WatchSettings)
    """When a connection counts as frozen."""
    budget: BudgetSettings = field(default_factory=BudgetSettings)
    """How the allowance of connections is learned."""
    asking: AskingSettings = field(default_factory=AskingSettings)
    """How long HTTP requests may do nothing."""
    trial_wait: float = 8.0
    """For a handshake and a ping by which a path is tried."""
    trial_latencies: float = 20.0
    """For them at least so many times the path's usual round trip."""
    return_after: float = 60.0
    """Between looks whether a cheaper path is back, at least."""


class ManyPaths(LivePath):
    """`LivePath` over whichever candidate gets through.

    `network` names the network of the moment (see `volok.paths.network`), `now` gives Unix seconds,
    `chance` is random in [0, 1). What was learned is in `memory` and `allowances`.
    """

    def __init__(
        self,
        candidates: Sequence[Candidate],
        network: Callable[[], str],
        now: Callable[[], float],
        chance: Callable[[], float],
        settings: ManySettings | None = None,
    ) -> None:
        self._settings = settings or ManySettings()
        self._candidates = tuple(candidates)
        self.memory = Memory(self._settings.choice)
        self.allowances = Allowances(self._settings.budget)
        self._ground = Ground(
            network,
            now,
            chance,
            self.memory,
            self.allowances,
            self._settings.choice.handshakes,
        )
        self._asking = Asking(self._ground, self._settings.asking)
        self._in_use: dict[str, Counter[str]] = {}
        self._open: dict[WatchedSocket, tuple[str, str]] = {}
        self._retired: list[Candidate] = []

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """The paths, as they are now."""
        return self._candidates

    def set_candidates(self, candidates: Sequence[Candidate]) -> None:
        """These are the paths from now on. Connections over paths that no longer serve their relay
        end; the paths that are gone are closed together with this one."""
        kept = {id(one.path) for one in candidates}
        self._retired += [one for one in self._candidates if id(one.path) not in kept]
        self._candidates = tuple(candidates)
        for socket, (name, url) in list(self._open.items()):
            if not any(one.name == name and one.fits(url) for one in self._candidates):
                self._ground.spawn(socket.leave())

    @property
    def in_use(self) -> dict[str, tuple[str, ...]]:
        """For each relay (host and port) with open websockets, the paths that carry them."""
        found = {relay: tuple(+names) for relay, names in self._in_use.items()}
        return {relay: names for relay, names in found.items() if names}

    @property
    def capabilities(self) -> Capabilities:
        """Those of the cheapest candidate; no address is hidden unless all of them hide it."""
        if not self._candidates:
            return Capabilities(0.0, 0, None, False, NO_PATH)
        first = min(self._candidates, key=lambda one: one.option.rank).path.capabilities
        hides = all(one.path.capabilities.hides_address for one in self._candidates)
        return Capabilities(
            first.latency,
            self._settings.choice.handshakes,
            first.bytes_per_connection,
            hides,
            first.observer_learns,
            first.cost,
            first.exposure,
        )

    def separates(self, url: str) -> bool:
        fitting = [one for one in self._candidates if one.fits(url)]
        return bool(fitting) and all(one.path.separates(url) for one in fitting)

    async def websocket(self, url: str) -> Socket:
        fitting = self.fitting(url)
        place = self._ground.place(url)
        steps = self.memory.steps(place, [one.option for one in fitting], self._ground.now())
        contest = Contest(self._ground, place, url, {one.name: one for one in fitting})
        name, socket = await contest.run(Race(steps, self._settings.choice))
        return self._watched(place, url, contest.candidates[name], socket)

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: AsyncIterator[bytes] | bytes | None = None,
    ) -> AbstractAsyncContextManager[Response]:
        candidates = [one for one in self._candidates if one.fits(url)]
        return self._asking.request(candidates, method, url, headers, body)

    def room(self, url: str) -> int | None:
        fitting = [one for one in self._candidates if one.fits(url)]
        place, now = self._ground.place(url), self._ground.now()
        steps = self.memory.steps(place, [one.option for one in fitting], now)
        if not steps:
            return None
        name = steps[0].name
        return self.allowances.sizes.room(place, name, self.allowances.known(place, name), now)

    async def close(self) -> None:
        await self._ground.close()
        for path in {
            id(one.path): one.path for one in (*self._candidates, *self._retired)
        }.values():
            await path.close()

    def fitting(self, url: str) -> list[Candidate]:
        """The paths that can serve this URL. Raises PathError when there is none."""
        fitting = [one for one in self._candidates if one.fits(url)]
        if not fitting:
            raise PathError(NO_PATH)
        return fitting

    async def try_one(self, candidate: Candidate, url: str) -> float:
        """Open a websocket over this candidate, ping and close it. Returns how many seconds the
        handshake took; remembers how it went. Raises PathError."""
        place = self._ground.place(url)
        clock = asyncio.get_running_loop().time
        began = [clock()]
        try:
            least = self._settings.trial_latencies * candidate.path.capabilities.latency
            async with asyncio.timeout(max(self._settings.trial_wait, least)):
                socket = await self._ground.open(candidate, url, lambda: began.append(clock()))
                took = clock() - began[-1]
                try:
                    await socket.ping()
                finally:
                    await socket.close()
        except (PathError, TimeoutError) as error:
            self._ground.blame(place, candidate.name)
            raise error if isinstance(error, PathError) else PathError(FROZEN) from error
        self.memory.opened(place, candidate.name, took)
        self.memory.worked(place, candidate.name, self._ground.now())
        return took

    def _watched(self, place: Place, url: str, candidate: Candidate, socket: Socket) -> Socket:
        name, settings, now = candidate.name, self._settings, self._ground.now
        meter = Meter(settings.budget)
        allowance, trial = self.allowances.of(place, name, now())
        budgeted: BudgetSocket | None = None
        if allowance is not None:
            budgeted = BudgetSocket(socket, allowance, settings.budget, meter)
        uses = self._in_use.setdefault(place.relay, Counter())
        uses[name] += 1
        looking: list[asyncio.Task[None]] = []

        def ended() -> None:
            for task in looking:
                if task is not asyncio.current_task():
                    task.cancel()
            uses[name] -= 1
            self._open.pop(watched, None)
            if trial and allowance is not None and budgeted is not None and budgeted.used_up:
                self.allowances.passed(place, name, allowance, now())

        def frozen(answered: Meter, total: Meter, recent: bool) -> bool:
            outage = allowance is None and total.bytes > settings.budget.most_bytes
            learns = recent and not outage
            if learns and self.allowances.froze(place, name, answered, total, now(), trial):
                return True
            self._ground.blame(place, name)
            return False

        watched = WatchedSocket(
            budgeted or socket,
            meter,
            candidate.path.capabilities.latency,
            settings.choice.stable_bytes,
            settings.watch,
            Reports(
                worked=lambda: self.memory.worked(place, name, now()),
                stable=lambda: self.memory.stable(place, name),
                frozen=frozen,
                broke=lambda: self._ground.blame(place, name),
                ended=ended,
            ),
            counted=budgeted is not None,
        )
        self._open[watched] = name, url
        cheaper = [one for one in self.fitting(url) if one.option.rank < candidate.option.rank]
        if cheaper:
            looking.append(self._ground.spawn(self._look_for(place, url, cheaper, watched)))
        return watched

    async def _look_for(
        self, place: Place, url: str, cheaper: Sequence[Candidate], socket: WatchedSocket
    ) -> None:
        """Once a cheaper path is back, end this socket so that its user takes the other."""
        while True:
            due = [self.memory.record(place, one.name).retry_at for one in cheaper]
            rest = min(due) - self._ground.now()
            await asyncio.sleep(max(self._settings.return_after, rest))
            for candidate in cheaper:
                serves = any(o.name == candidate.name and o.fits(url) for o in self._candidates)
                rests = self.memory.record(place, candidate.name).rests(self._ground.now())
                if rests or not serves:
                    continue
                with suppress(PathError):
                    await self.try_one(candidate, url)
                    await socket.leave()
                    return
