"""Volok on the bench: `volok init` and `volok up` in each person's host, unmodified."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections import Counter
from itertools import combinations
from pathlib import Path

from lab import ground
from lab.systems import PEOPLE, Arrival, Bench, Driver, SystemFailed, end

PERSON = "lab.services.volok_person"
"""The module of the driver."""
VOLOK = (sys.executable, "-m", "volok")
PATIENCE = 60.0
"""Seconds that a command, a start or an introduction may take while nothing is blocked."""


class Volok:
    """Three people with a node each."""

    name = "volok"
    sends_pictures = True
    uses_relays = True
    uses_mail = False

    def __init__(self) -> None:
        self._nodes: list[Process] = []
        self._drivers: dict[str, Driver] = {}
        self._folder = Path()
        self._pictures = 0

    async def setup(self, world: Bench) -> None:
        """See System."""
        self._folder = world.folder / "volok"
        self._folder.mkdir(parents=True)
        await asyncio.gather(*(self._start(world, person) for person in PEOPLE))
        for host, guest in combinations(PEOPLE, 2):
            invite = await self._drivers[host].ask("invite")
            await self._drivers[guest].ask("accept", link=invite["link"])
        for person in PEOPLE:
            # One after the other: WsgiDAV fails to list a folder while a file in it goes.
            await self._add_places(world, person)
        async with asyncio.timeout(PATIENCE):
            for person in PEOPLE:
                others = [other for other in PEOPLE if other != person]
                await self._drivers[person].ask("knows", names=others)

    async def send(self, sender: str, receiver: str, text: str) -> None:
        """See System."""
        await self._drivers[sender].ask("send", contact=receiver, text=text, files=[])

    async def received(self, person: str) -> list[Arrival]:
        """See System."""
        return list(self._drivers[person].texts)

    async def send_picture(self, sender: str, receiver: str, data: bytes) -> None:
        """See System."""
        self._pictures += 1
        path = self._folder / f"picture-{self._pictures}.jpg"
        path.write_bytes(data)
        await self._drivers[sender].ask("send", contact=receiver, text="", files=[str(path)])

    async def pictures(self, person: str) -> list[float]:
        """See System."""
        return list(self._drivers[person].pictures)

    async def paths(self) -> list[str]:
        """See System."""
        used: set[str] = set()
        came: Counter[str] = Counter()
        for driver in self._drivers.values():
            used.update(path["name"] for path in await driver.ask("paths") if path["used"])
            for drop in await driver.ask("drops"):
                came[drop["kind"]] += drop["received"]
        return [
            *sorted(used),
            *(f"{kind} ({count})" for kind, count in sorted(came.items()) if count),
        ]

    async def close(self) -> None:
        """See System."""
        await asyncio.gather(*(driver.close() for driver in self._drivers.values()))
        await asyncio.gather(*(end(node) for node in self._nodes))

    async def _start(self, world: Bench, person: str) -> None:
        home = self._folder / person
        urls = [part for url in world.relays for part in ("--relay", url)]
        command = ("--home", str(home), "init", "--name", person, "--no-passphrase", *urls)
        made = await world.run(person, (*VOLOK, *command), stdout=DEVNULL, stderr=PIPE)
        _, errors = await asyncio.wait_for(made.communicate(), PATIENCE)
        if made.returncode != 0:
            raise SystemFailed(f"volok init: {last_line(errors)}")
        command = ("--home", str(home), "up", "--no-browser", "--port", "0", "--json")
        log = (self._folder / f"{person}.log").open("wb")
        with log:
            streams = {"stdout": PIPE, "stderr": log, "start_new_session": True}
            node = await world.run(person, (*VOLOK, *command), **streams)
        self._nodes.append(node)
        assert node.stdout is not None
        line = await asyncio.wait_for(node.stdout.readline(), PATIENCE)
        try:
            json.loads(line)
        except ValueError as error:
            raise SystemFailed(f"volok up ended; see {log.name}") from error
        self._drivers[person] = await Driver.start(world, person, PERSON, str(home))

    async def _add_places(self, world: Bench, person: str) -> None:
        """What a person has besides relays: an account at the domestic cloud, or a stick."""
        driver = self._drivers[person]
        cloud = f"webdavs://{ground.DROP_INSIDE.names[0]}/"
        await driver.ask("add_place", where=cloud, user=person, password=f"{person}-dav")
        if world.stick is not None:
            await driver.ask("add_place", where=str(world.stick), user="", password="")


def last_line(errors: bytes) -> str:
    """What went wrong, in what a program said; before it there may be a traceback."""
    lines = errors.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it did not say why"
