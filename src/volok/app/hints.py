"""The use of relays that contacts told us of, in a node that is up (see `hints_choice`)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from volok.app.hints_choice import HintChoice, HintUseSettings, Reach
from volok.app.status import RoundSummary, sync_round
from volok.app.wiring import Parts
from volok.paths.network import OFFLINE, ROUTES, read_network
from volok.sync.status import RelayState, RelayStatus

ROUTES_6 = Path("/proc/net/ipv6_route")


def is_online() -> bool:
    """Whether a default route may exist: false only where the system says that there is none."""
    if not ROUTES.exists():
        return True
    return read_network(b"") != OFFLINE or _has_default_route_6()


def _has_default_route_6() -> bool:
    try:
        lines = ROUTES_6.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return False
    fields = (line.split() for line in lines)
    return any(
        len(each) == 10 and each[1] == "00" and set(each[0]) == {"0"} and each[9] != "lo"
        for each in fields
    )


class HintKeeper:
    """Looks at how we stand with our relays, and acts. `online` says whether there is a network."""

    def __init__(
        self,
        parts: Parts,
        settings: HintUseSettings,
        online: Callable[[], bool] = is_online,
    ) -> None:
        self._parts = parts
        self._settings = settings
        self._online = online
        self._choice = HintChoice(settings)
        self._told: frozenset[str] = frozenset()

    async def run(self) -> None:
        """Do so until cancelled. Raises VaultError."""
        while True:
            change = asyncio.ensure_future(self._parts.engine.changed())
            await asyncio.sleep(0)  # it waits from here on
            try:
                pause = await self.look()
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await change
            finally:
                change.cancel()

    async def look(self) -> float | None:
        """Look once; returns the seconds until something may be due though no status changes."""
        book, settings = self._parts.chat.hints, self._settings
        state = await book.last_resort()
        if not state.candidates and not state.used:
            return None  # a hint that comes changes the scopes, and with them a status
        reach = {one.url: _reach(one) for one in self._parts.engine.status()}
        now, online = asyncio.get_running_loop().time(), self._online()
        choice = self._choice.decide(now, online, state.own, state.candidates, state.used, reach)
        if choice.over:
            await book.end()
            return None
        if set(choice.use) != set(state.used):
            await book.try_relays(choice.use)
        if choice.use:
            await self._use(choice.use, reach)
        if choice.use or not online:
            return settings.look_later
        back = any(reach[url].connected for url in state.own if url in reach)
        return None if back else settings.look_every

    async def _use(self, use: tuple[str, ...], reach: dict[str, Reach]) -> None:
        book = self._parts.chat.hints
        gone = frozenset(url for url, one in reach.items() if one.failed)
        working = [url for url in use if url in reach and reach[url].connected]
        for url in working:
            if url not in self._told:
                await book.reached(url, gone)
        if working:
            await book.set_gone(gone)
        self._told = self._told.union(working).intersection(use)


async def round_by_hints(
    parts: Parts,
    wait: float,
    settings: HintUseSettings,
    first: RoundSummary,
    online: Callable[[], bool] = is_online,
) -> RoundSummary:
    """One more round by heard relays, for a node that is open for a moment only, where the first
    reached no relay of our own. Raises VaultError."""
    book = parts.chat.hints
    state = await book.last_resort()
    if state.used and any(url not in first.problems for url in state.own):
        await book.end()
        return await _again(parts, wait, first)
    stuck = bool(state.own) and all(url in first.problems for url in state.own)
    if not stuck or not online() or any(url not in first.problems for url in state.used):
        return first
    if not (fresh := [url for url in state.candidates if url not in state.used]):
        return first
    # The relays may just have been started anew: what is not needed is not contacted.
    await asyncio.sleep(settings.patience)
    second = await _again(parts, wait, first)
    if any(url not in second.problems for url in state.own):
        return second
    await book.try_relays(fresh[: settings.at_once])
    third = await _again(parts, wait, second)
    gone = [url for url in third.problems if url not in fresh]
    reached = [url for url in (await book.last_resort()).used if url not in third.problems]
    for url in reached:
        await book.reached(url, gone)
    return await _again(parts, wait, third) if reached else third


async def _again(parts: Parts, wait: float, before: RoundSummary) -> RoundSummary:
    after = await sync_round(parts, wait)
    return replace(
        after,
        received=before.received + after.received,
        published=before.published + after.published,
    )


def _reach(status: RelayStatus) -> Reach:
    connected = status.state is RelayState.CONNECTED
    return Reach(connected, not connected and bool(status.problem))
