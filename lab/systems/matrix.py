"""Matrix on the bench: Synapse and `matrix-nio`, unmodified, encrypted.

1. All three have their accounts on one homeserver, abroad, and there is no federation. With another
   one inside, ana and boris could still write to each other when the border is closed.
2. Censors know this homeserver: its name and address are on their list, as those of the relays are.
   It is none of the relays, so that it stays where a profile takes relays away (`seizure`,
   `outage`).
3. Each pair has an encrypted room. Nobody has verified anybody's devices, as is usual.
4. What differs from the settings of the server and of the library is said in
   `lab.services.homeserver` and `lab.services.matrix_person`.
"""

from __future__ import annotations

import asyncio
from importlib.util import find_spec
from itertools import combinations
from pathlib import Path

from lab import ground
from lab.services.homeserver import Homeserver
from lab.systems import PEOPLE, Arrival, Bench, Driver, SystemFailed
from lab.world import World, WorldBroken

PERSON = "lab.services.matrix_person"
"""The module of the driver."""
LIBRARIES = ("synapse", "nio")
PATIENCE = 90.0
"""Seconds for setting everything up while nothing is blocked."""


class Matrix:
    """Three people with a client each, and their homeserver."""

    name = "matrix"
    sends_pictures = True
    uses_relays = False
    uses_mail = False

    def __init__(self) -> None:
        self._server = Homeserver()
        self._drivers: dict[str, Driver] = {}
        self._folder = Path()
        self._pictures = 0

    async def setup(self, world: Bench) -> None:
        """See System."""
        if not all(map(find_spec, LIBRARIES)):
            raise SystemFailed("Matrix is not installed; it comes with the extra `lab`.")
        if not isinstance(world, World):
            raise SystemFailed("Matrix needs a world in which it can start its homeserver.")
        self._folder = world.folder / self.name
        try:
            async with asyncio.timeout(PATIENCE):
                await self._serve(world)
                await asyncio.gather(*(self._start(world, person) for person in PEOPLE))
                await self._introduce()
        except (TimeoutError, WorldBroken) as error:
            raise SystemFailed(f"Matrix could not be set up: {error or 'time is up'}") from error

    async def send(self, sender: str, receiver: str, text: str) -> None:
        """See System."""
        await self._drivers[sender].ask("send", to=self._server.user(receiver), text=text)

    async def received(self, person: str) -> list[Arrival]:
        """See System."""
        return list(self._drivers[person].texts)

    async def send_picture(self, sender: str, receiver: str, data: bytes) -> None:
        """See System."""
        self._pictures += 1
        file = self._folder / f"picture-{self._pictures}.jpg"
        file.write_bytes(data)
        user = self._server.user(receiver)
        await self._drivers[sender].ask("send_picture", to=user, file=str(file))

    async def pictures(self, person: str) -> list[float]:
        """See System."""
        return list(self._drivers[person].pictures)

    async def paths(self) -> list[str]:
        """See System."""
        return ["homeserver"]

    async def close(self) -> None:
        """See System; the homeserver ends with the world."""
        await asyncio.gather(*(driver.close() for driver in self._drivers.values()))

    async def _serve(self, world: World) -> None:
        await self._server.start(world)
        await self._server.register(world, {person: _password(person) for person in PEOPLE})
        known, host = ground.ordinary(), self._server.host
        await world.lists(
            listed_names=known.listed_names | set(host.names),
            listed_addresses=known.listed_addresses | {host.address},
        )

    async def _start(self, world: World, person: str) -> None:
        folder = self._folder / person
        folder.mkdir(parents=True)
        server = self._server
        who = (server.url, server.user(person), _password(person), str(folder))
        self._drivers[person] = await Driver.start(world, person, PERSON, *who)

    async def _introduce(self) -> None:
        rooms: dict[str, dict[str, str]] = {person: {} for person in PEOPLE}
        for host, guest in combinations(PEOPLE, 2):
            room = await self._drivers[host].ask("open", guest=self._server.user(guest))
            await self._drivers[guest].ask("join", room=room)
            rooms[host][self._server.user(guest)] = room
            rooms[guest][self._server.user(host)] = room
        for person in PEOPLE:
            await self._drivers[person].ask("knows", rooms=rooms[person])


def _password(person: str) -> str:
    return f"{person}-matrix"
