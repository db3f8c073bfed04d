"""Volok on the bench: `volok init` and `volok up` in each person's host, unmodified.

Run as a module in a person's host, with the home folder as its argument, this is the driver: it
speaks to the node over its control channel on loopback, as the command line does.
"""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from itertools import combinations
from pathlib import Path
from typing import Any

from lab import ground
from lab.systems import (
    PEOPLE,
    Arrival,
    Bench,
    Driver,
    SystemFailed,
    end,
    serve,
    show_picture,
    show_text,
)
from volok.app.errors import AppError
from volok.app.home import Home
from volok.app.remote import Remote, client_for

VOLOK = (sys.executable, "-m", "volok")
PATIENCE = 60.0
"""Seconds that a command, a start or an introduction may take while nothing is blocked."""
LOOK = 0.1
"""Seconds between two looks at a state of which the control channel gives no notice."""


class Volok:
    """Three people with a node each."""

    name = "volok"
    sends_pictures = True
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
        await asyncio.gather(*(self._add_places(world, person) for person in PEOPLE))
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
        for driver in self._drivers.values():
            used.update(path["name"] for path in await driver.ask("paths") if path["used"])
        return sorted(used)

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
            raise SystemFailed(f"volok init: {errors.decode(errors='replace').strip()}")
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
        self._drivers[person] = await Driver.start(world, person, __name__, str(home))

    async def _add_places(self, world: Bench, person: str) -> None:
        """What a person has besides relays: an account at the domestic cloud, or a stick."""
        secret = self._folder / f"{person}.password"
        secret.write_text(f"{person}-dav")
        account = ("--user", person, "--password-file", str(secret), "--yes")
        places: list[tuple[str, ...]] = [(f"webdavs://{ground.DROP_INSIDE.names[0]}/", *account)]
        if world.stick is not None:
            places.append((str(world.stick),))
        for place in places:
            command = (*VOLOK, "--home", str(self._folder / person), "path", "add", *place)
            adding = await world.run(person, command, stdout=DEVNULL, stderr=PIPE)
            _, errors = await asyncio.wait_for(adding.communicate(), PATIENCE)
            if adding.returncode != 0:
                raise SystemFailed(f"volok path add: {errors.decode(errors='replace').strip()}")


class _Hand:
    """The driver's side: one node, reached by its control channel."""

    def __init__(self, remote: Remote) -> None:
        self._remote = remote
        self._ids: dict[str, str] = {}

    async def drive(self) -> None:
        """Serve the scenario until it closes our input."""
        async with asyncio.TaskGroup() as tasks:
            listening = tasks.create_task(self._listen(tasks))
            await serve(
                {
                    "invite": self._invite,
                    "accept": self._remote.accept,
                    "knows": self._knows,
                    "send": self._send,
                    "paths": self._remote.paths,
                }
            )
            listening.cancel()

    async def _listen(self, tasks: asyncio.TaskGroup) -> None:
        async for message in self._remote.incoming():
            if message["notice"] is not None:
                continue
            if message["text"]:
                show_text(message["text"])
            if message["files"]:
                tasks.create_task(self._await_picture(message))

    async def _await_picture(self, message: dict[str, Any]) -> None:
        """The control channel gives no notice of a file that became ready, so look for it."""
        while True:
            conversation = self._remote.read(message["contact_id"], None, False, None)
            files = [
                file
                async for found in conversation
                if found["id"] == message["id"]
                for file in found["files"]
            ]
            if files and all(file["state"] == "ready" for file in files):
                show_picture()
                return
            await asyncio.sleep(5 * LOOK)

    async def _invite(self) -> dict[str, Any]:
        return await self._remote.invite(1, False, None)

    async def _knows(self, names: list[str]) -> None:
        while True:
            people = await self._remote.contacts()
            active = {one["name"]: one["id"] for one in people if one["state"] == "active"}
            if active.keys() >= set(names):
                self._ids = active
                return
            await asyncio.sleep(LOOK)

    async def _send(self, contact: str, text: str, files: list[str]) -> None:
        await self._remote.send(self._ids[contact], text, files)


async def _main(home: str) -> None:
    run = Home(Path(home)).read_run()
    if run is None:
        raise AppError("The node is not up.")
    async with client_for(run) as client:
        await _Hand(Remote(client)).drive()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1]))
