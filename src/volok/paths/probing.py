"""The doctor's observations of the person's own relays and drops: which, and in what order.

1. First all names are looked up, at once. Then each place is tried at its addresses: those where it
   proved itself earlier before those that its name leads to.
2. At one address a greeting without the name goes first: some censors punish one with the name by
   blocking the address for minutes. Then the name in pieces, then the name. What ends before TLS,
   or is reset, is tried once more, since such a punishment comes by lot.
3. Where nothing greets back, a greeting with the name of another of the person's places is tried.
4. Nothing else is contacted; and a place that is only to be reached by paths that the person added
   is neither looked up nor connected to.
5. It all ends in time, with what was seen until then.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from volok.paths.doctor_report import Progress, Step
from volok.paths.doctor_seen import (
    Attempt,
    Hello,
    Lookup,
    NameSeen,
    Observations,
    Outcome,
    PlaceSeen,
    is_private,
    is_public,
)
from volok.paths.probing_connection import Connector, Peer
from volok.paths.probing_names import NameProber, is_address
from volok.paths.probing_settings import ProbeSettings, Target
from volok.paths.probing_sides import SideProber

_ROUTES = ((socket.AF_INET, "198.51.100.1"), (socket.AF_INET6, "2001:db8::1"))
"""Addresses that stand for the world; a datagram socket is tied to them, and nothing is sent."""
_MOST_OTHERS = 2

Ways = Callable[[Target], Awaitable[tuple[tuple[str, bool], ...]]]
"""Tries a place by each path that the person added; their names, and whether they lead there."""
TryDrop = Callable[[Target], Awaitable[str | None]]
"""Leaves a file in a drop, reads and removes it; None, or a sentence that says what went wrong."""


@dataclass(slots=True)
class _Sight:
    """What was seen of one place so far."""

    target: Target
    name: NameSeen | None = None
    attempts: list[Attempt] = field(default_factory=list)
    ways: tuple[tuple[str, bool], ...] = ()
    works: bool | None = None
    problem: str = ""

    def seen(self) -> PlaceSeen:
        target = self.target
        return PlaceSeen(
            target.id,
            target.is_relay,
            target.is_network,
            target.straight,
            self.name,
            tuple(self.attempts),
            self.ways,
            self.works,
            self.problem,
            target.known,
        )


class Prober:
    """Observes once."""

    def __init__(
        self,
        targets: Sequence[Target],
        random: Callable[[int], bytes],
        ways: Ways,
        try_drop: TryDrop,
        tell: Callable[[Progress], None],
        settings: ProbeSettings | None = None,
        authorities: ssl.SSLContext | None = None,
    ) -> None:
        """`random` gives so many random bytes; `tell` hears of the progress; `authorities` as with
        `ShapedTls`."""
        self._settings = settings or ProbeSettings()
        self._random = random
        self._ways = ways
        self._try_drop = try_drop
        self._tell = tell
        self._connector = Connector(self._settings, authorities, random)
        self._sights = [_Sight(target) for target in targets[: self._settings.places]]
        self._filled = self._settings.carrying

    async def observe(self, thorough: bool = False) -> Observations:
        """See the head of this module. Raises nothing but for cancellation."""
        names = NameProber(self._settings, self._random)
        sides = dict[str, bool | None]()
        alive: list[bool | None] = [None]
        most = self._settings.thorough if thorough else self._settings.whole
        try:
            async with _in_time(most) as time:
                await self._all(names, alive)
                await self._sides(sides, thorough)
        finally:
            names.close()
        return Observations(
            tuple(sight.seen() for sight in self._sights),
            has_route(),
            alive[0],
            thorough,
            sides.get("quic"),
            sides.get("any"),
            sides.get("random"),
            sides.get("parallel"),
            not time.over,
        )

    async def _all(self, names: NameProber, alive: list[bool | None]) -> None:
        async def server() -> None:
            alive[0] = await names.server_answers()

        others = [self._beside(sight) for sight in self._sights]
        looking = [self._look(names, sight) for sight in self._sights if _is_asked(sight.target)]
        async with asyncio.TaskGroup() as group:
            for other in others:
                group.create_task(other)
            group.create_task(server())
            await self._counted(Step.NAMES, looking)
            await self._counted(
                Step.PLACES,
                [self._examine(sight) for sight in self._sights if _is_asked(sight.target)],
            )

    async def _counted(self, step: Step, work: Sequence[Coroutine[Any, Any, None]]) -> None:
        done = 0

        def one_done(_: object) -> None:
            nonlocal done
            done += 1
            self._tell(Progress(step, done, len(work)))

        self._tell(Progress(step, done, len(work)))
        async with asyncio.TaskGroup() as group:
            for one in work:
                group.create_task(one).add_done_callback(one_done)

    async def _look(self, names: NameProber, sight: _Sight) -> None:
        sight.name = await names.look(sight.target.host, sight.target.known)

    async def _beside(self, sight: _Sight) -> None:
        """By the paths that the person added, and as a drop."""
        sight.ways = await self._ways(sight.target)
        if not sight.target.is_relay:
            problem = await self._try_drop(sight.target)
            sight.works, sight.problem = problem is None, problem or ""

    async def _examine(self, sight: _Sight) -> None:
        target = sight.target
        if not target.speaks:
            return
        answered = sight.name.addresses if sight.name else ()
        order = [*(one for one in target.known if one in answered), *target.known, *answered]
        usable = [one for one in dict.fromkeys(order) if _is_usable(one, target.host)]
        for address in usable[: self._settings.addresses]:
            await self._try_address(sight, address)
            if any(one.proved for one in sight.attempts):
                break
        tried = {one.address for one in sight.attempts}
        untried = [one for one in answered if one in usable and one not in tried]
        if untried and not tried & set(answered):
            # Whether the name's own answer leads to the same place.
            await self._try(sight, untried[0], Hello.NAMED if target.tls else Hello.PLAIN)

    async def _try_address(self, sight: _Sight, address: str) -> None:
        target = sight.target
        speak = target.is_relay and self._filled > 0
        if not target.tls:
            await self._try(sight, address, Hello.PLAIN, speak)
            return
        named = not is_address(target.host) or bool(target.pin and target.pin.sni)
        greetings = [Hello.NAMELESS, Hello.CUT, Hello.NAMED] if named else [Hello.NAMELESS]
        if not target.is_relay:
            greetings = [Hello.NAMED, Hello.CUT] if named else greetings
        mine: list[Attempt] = []
        for hello in greetings:
            for _ in range(2):
                one = await self._try(sight, address, hello, speak and hello is not Hello.CUT)
                mine.append(one)
                if one.opened and one.outcome is not Outcome.RESET:
                    break
            if not mine[-1].opened:
                return
            if not target.is_relay and mine[-1].proved:
                return
        if any(one.proved for one in mine):
            self._filled -= speak
        elif target.pin and all(one.outcome is Outcome.SILENT for one in mine):
            for name in self._other_names(target):
                await self._try(sight, address, Hello.OTHER, other=name)

    async def _try(
        self, sight: _Sight, address: str, hello: Hello, speak: bool = False, other: str = ""
    ) -> Attempt:
        target = sight.target
        if sight.attempts:
            await asyncio.sleep(self._settings.spacing)
        peer = Peer(target.id.partition("#")[0], target.host, target.port, target.tls, target.pin)
        one = await self._connector.attempt(peer, address, hello, speak, other)
        sight.attempts.append(one)
        return one

    def _other_names(self, target: Target) -> list[str]:
        """Names of other places that were answered, drops first: they may be of this country."""
        others = [
            sight
            for sight in self._sights
            if sight.target.host != target.host
            and sight.name is not None
            and sight.name.lookup is Lookup.ANSWERED
        ]
        ordered = sorted(others, key=lambda sight: sight.target.is_relay)
        return list(dict.fromkeys(sight.target.host for sight in ordered))[:_MOST_OTHERS]

    async def _sides(self, found: dict[str, bool | None], thorough: bool) -> None:
        """At one relay that proved itself, and on demand at another one what may cost it."""
        good = [
            (sight.target, one.address)
            for sight in self._sights
            if sight.target.is_relay and sight.target.tls
            for one in sight.attempts
            if one.proved and one.hello is not Hello.OTHER and is_public(one.address)
        ]
        if not good:
            return
        prober = SideProber(self._connector, self._random)
        (target, address), (last, its_address) = good[0], good[-1]
        peer = Peer(last.id.partition("#")[0], last.host, last.port, True, last.pin)

        async def keep(name: str, work: Awaitable[bool | None]) -> None:
            found[name] = await work

        checks = [
            keep("quic", prober.quic(address)),
            keep("any", prober.any_protocol(address, target.port)),
        ]
        if thorough:
            checks.append(self._punished(prober, peer, its_address, found))
        await self._counted(Step.SIDES, checks)

    async def _punished(
        self, prober: SideProber, peer: Peer, address: str, found: dict[str, bool | None]
    ) -> None:
        found["parallel"] = await prober.parallel(peer, address)
        found["random"] = await prober.random(address, peer.port)


@dataclass(slots=True)
class _Time:
    over: bool = False


@asynccontextmanager
async def _in_time(seconds: float) -> AsyncGenerator[_Time, None]:
    """End the block after so many seconds, without an error; says whether that was needed."""
    time = _Time()
    try:
        async with asyncio.timeout(seconds):
            yield time
    except TimeoutError:
        time.over = True


def has_route() -> bool:
    """Whether this computer knows any way out. Nothing is sent."""
    for family, address in _ROUTES:
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as tied:
                tied.connect((address, 9))
        except OSError:
            continue
        return True
    return False


def _is_asked(target: Target) -> bool:
    return bool(target.host) and target.straight


def _is_usable(address: str, host: str) -> bool:
    """Whether to connect to it: a name that leads to this very computer was forged, unless it says
    so; nobody else's computer is meant by an address of a local network."""
    own = host == "localhost" or is_address(host)
    return own or is_public(address) or is_private(address)
