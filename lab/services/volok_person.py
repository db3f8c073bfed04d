"""A person with Volok: speaks to the node over its control channel on loopback, as the command line
does. Run as a module in the person's host, with the home folder as its argument."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

from lab.systems import serve, show_picture, show_text
from volok.app.errors import AppError
from volok.app.home import Home
from volok.app.remote import Remote, client_for

LOOK = 0.1
"""Seconds between two looks at a state of which the control channel gives no notice."""


class _Hand:
    """One node, reached by its control channel."""

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
                    "add_place": self._add_place,
                    "send": self._send,
                    "paths": self._remote.paths,
                    "drops": self._remote.drops,
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

    async def _add_place(self, where: str, user: str, password: str) -> None:
        await self._remote.drop_add(where, user, password, "")

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
