"""What happens in a run, and what is measured.

1. Nothing is blocked while the people are set up and introduced.
2. Two of them write to each other at a steady rate. After a part of it the profile is switched on;
   at that moment a group of texts is queued at once, and a picture after it. The connections of
   those inside drop once just then, as on any phone that changes its cell: most profiles judge how
   a connection begins, and one from before would live on past them and prove nothing.
3. The run ends when everything has arrived, or at the deadline. Then it waits a little longer, for
   what arrives twice.
4. What came of it is measured in `lab.outcome`.
"""

from __future__ import annotations

import asyncio
from asyncio.subprocess import DEVNULL
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol

from lab import censor
from lab.observer import Observation
from lab.outcome import Outcome, Sent, measure
from lab.systems import PEOPLE, Arrival, Bench, System, SystemFailed

NOTHING = "none"
"""The profile that blocks nothing."""
COMBINATIONS = (
    "sni-rst+dns-poison",
    "sni-rst+curtain",
    "ip-block+throttle",
    "whitelist+probe",
    "curtain+parallel-ban",
)
"""Profiles that are run together besides each alone."""
RELAY_HOSTS = ("relay1", "relay2", "relay3")
"""Hosts that vanish, in this order, where a profile says that relays are lost."""
INSIDE = ("ana", "boris")
"""Hosts of the people inside."""
DROP_CONNECTIONS = ("ss", "--kill", "--tcp", "!", "dst", "127.0.0.0/8")
"""Aborts every TCP connection of a host but those to itself."""


class World(Bench, Protocol):
    """What a run needs of the world (see `lab.world.World`)."""

    async def censor(self, profiles: Sequence[str], seed: int) -> None:
        """Switch profiles on."""

    async def report(self) -> Observation:
        """What the border saw so far."""

    async def unplug(self, host: str) -> None:
        """A host disappears."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How large a run is."""

    texts: int = 100
    """Texts each way."""
    interval: float = 0.5
    """Seconds from one text to the next."""
    block_after: float = 0.3
    """The share of the texts after which the profile is switched on."""
    redial: bool = True
    """Whether the connections of those inside drop at the block."""
    group: int = 20
    """Texts queued at once when it is."""
    picture: int = 1_000_000
    """Bytes in the picture sent then; 0 for none."""
    deadline: float = 600.0
    """Seconds from the block until all must have arrived."""
    linger: float = 1.0
    """Seconds for which repeats are waited for at the end."""
    look: float = 0.05
    """Seconds between two looks whether all has arrived; times of arrival do not depend on it."""
    patience: float = 180.0
    """Seconds for setting up."""


SHORT = Settings(texts=6, interval=0.4, group=4, picture=100_000, deadline=25.0, linger=0.5)
"""A small run of every profile, for the tests."""


def members(combination: str) -> list[str]:
    """The profiles in a combination; none in `none`. Raises UnknownProfile."""
    return [] if combination == NOTHING else censor.combine(combination)


def everything() -> list[str]:
    """All that `make lab` runs: each profile alone, and the combinations whose parts exist."""
    known = censor.names()
    return known + [name for name in COMBINATIONS if set(name.split("+")) <= set(known)]


def pair(profiles: Sequence[str]) -> tuple[str, str]:
    """Who writes to whom: ana inside and clara abroad, but nobody leaves during a shutdown."""
    return ("ana", "boris") if "shutdown" in profiles else ("ana", "clara")


def relays_lost(profiles: Sequence[str]) -> int:
    """How many of the relays vanish under these profiles."""
    return max((censor.profile(name).relays_lost for name in profiles), default=0)


def parameters(profiles: Sequence[str], seed: int) -> dict[str, dict[str, censor.Value]]:
    """What `lab.censor.make` draws for each profile by this seed."""
    return {
        name: censor.draw(censor.profile(name).parameters, Random(f"{seed} {name}"))
        for name in profiles
    }


async def conduct(
    world: World,
    system: System,
    combination: str,
    seed: int,
    settings: Settings,
    picture: bytes,
    clock: Callable[[], float],
) -> Outcome:
    """Make one run in a fresh world. `clock` is the one of the arrivals.

    `picture` is a JPEG. Whatever fails in the system is part of the outcome. Raises UnknownProfile
    and what the world raises.
    """
    run = _Run(world, system, members(combination), seed, settings, clock)
    problem = await run.prepare()
    if problem is None:
        await run.talk(picture)
        await run.finish()
    return await run.outcome(combination, problem)


class _Run:
    """One run while it lasts."""

    def __init__(
        self,
        world: World,
        system: System,
        profiles: list[str],
        seed: int,
        settings: Settings,
        clock: Callable[[], float],
    ) -> None:
        self._world = world
        self._system = system
        self._profiles = profiles
        self._seed = seed
        self._settings = settings
        self._clock = clock
        self._pair = pair(profiles)
        self._sent: list[Sent] = []
        self._began = clock()
        self._block_at: float | None = None
        self._picture_at: float | None = None
        self._before = Observation()
        self._failures: list[str] = []
        self._late = 0.0

    async def prepare(self) -> str | None:
        """Set up and introduce; returns why that did not succeed, or None."""
        try:
            async with asyncio.timeout(self._settings.patience):
                await self._system.setup(self._world)
        except SystemFailed as error:
            return f"It could not be set up: {error}"
        except TimeoutError:
            return "It could not be set up in time."
        self._before = await self._world.report()
        return None

    async def talk(self, picture: bytes) -> None:
        """Steady texts both ways, the block in their midst, then the group and the picture."""
        one, other = self._pair
        settings = self._settings
        self._began = self._clock()
        block = round(settings.texts * settings.block_after)
        for number in range(settings.texts):
            due = self._began + number * settings.interval
            await asyncio.sleep(due - self._clock())
            self._late = max(self._late, self._clock() - due)
            if number == block:
                await self._block()
            await asyncio.gather(
                self._send(one, other, f"{number + 1}. {one} to {other}: are you there?"),
                self._send(other, one, f"{number + 1}. {other} to {one}: yes, I am here."),
            )
            if number == block:
                await self._queue_group(one, other)
                await self._send_picture(one, other, picture)

    async def finish(self) -> None:
        """Wait until all is there or the deadline has passed, then for repeats."""
        since = self._began if self._block_at is None else self._block_at
        while not await self._complete():
            if self._clock() >= since + self._settings.deadline:
                return
            await asyncio.sleep(self._settings.look)
        await asyncio.sleep(self._settings.linger)

    async def outcome(self, combination: str, problem: str | None) -> Outcome:
        """What was measured."""
        seconds = self._clock() - self._began
        arrived: dict[str, Sequence[Arrival]] = {}
        came: list[float] = []
        paths: list[str] = []
        if problem is None:
            arrived = {person: await self._system.received(person) for person in PEOPLE}
            came = await self._system.pictures(self._pair[1])
            paths = await self._ask_paths()
        return Outcome(
            profile=combination,
            system=self._system.name,
            seed=self._seed,
            parameters=parameters(self._profiles, self._seed),
            measured=measure(self._sent, arrived, self._block_at),
            picture="-" if self._picture_at is None else "delivered" if came else "lost",
            picture_seconds=came[0] - self._picture_at if came and self._picture_at else None,
            paths=tuple(paths),
            seen=(await self._world.report()).since(self._before),
            seconds=seconds,
            problem=problem or (self._failures[0] if self._failures else None),
            late=self._late,
            unharmed=not self._system.uses_relays and relays_lost(self._profiles) > 0,
        )

    async def _block(self) -> None:
        if not self._profiles:
            return
        await self._world.censor(self._profiles, self._seed)
        for host in RELAY_HOSTS[: relays_lost(self._profiles)]:
            await self._world.unplug(host)
        if self._settings.redial:
            for host in INSIDE:
                await self._redial(host)
        self._block_at = self._clock()

    async def _redial(self, host: str) -> None:
        dropping = await self._world.run(host, DROP_CONNECTIONS, stdout=DEVNULL)
        await dropping.wait()

    async def _send(self, sender: str, receiver: str, text: str) -> None:
        self._sent.append(Sent(sender, receiver, text, self._clock()))
        try:
            await self._system.send(sender, receiver, text)
        except SystemFailed as error:
            self._failures.append(f"A text was not taken: {error}")

    async def _queue_group(self, one: str, other: str) -> None:
        size = self._settings.group
        for number in range(size):
            await self._send(one, other, f"{number + 1} of {size} that {one} kept for {other}.")

    async def _send_picture(self, one: str, other: str, data: bytes) -> None:
        if not (data and self._system.sends_pictures):
            return
        self._picture_at = self._clock()
        try:
            await self._system.send_picture(one, other, data)
        except SystemFailed as error:
            self._failures.append(f"The picture was not taken: {error}")

    async def _complete(self) -> bool:
        one, other = self._pair
        if self._picture_at is not None and not await self._system.pictures(other):
            return False
        for person in (one, other):
            wanted = {sent.text for sent in self._sent if sent.receiver == person}
            if not wanted <= {arrival.text for arrival in await self._system.received(person)}:
                return False
        return True

    async def _ask_paths(self) -> list[str]:
        try:
            return await asyncio.wait_for(self._system.paths(), self._settings.patience)
        except (SystemFailed, TimeoutError):
            return []
