"""The actors of the demonstration: a relay and two people's nodes, each a process of its own.

They use what everybody uses: the command line to start, the control channel to talk.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from contextlib import AsyncExitStack, suppress
from pathlib import Path

from volok.app.access import running
from volok.app.errors import AppError, NodeLost
from volok.app.home import Home
from volok.app.remote import Remote
from volok.app.settings import NodeSettings
from volok.app.shapes import Json

PATIENCE = 30.0
"""Seconds that a process has to start or to stop, or two people to find each other."""

POLL = 0.05
"""Seconds between two looks."""


class DemoFailed(AppError):
    """The demonstration could not be set up on this computer."""


class Actor:
    """One process of the program that tells on its first line how it can be reached."""

    def __init__(self, *arguments: str) -> None:
        self._arguments = arguments
        self._process: Process | None = None

    async def start(self) -> Json:
        """Start it and return its first line. Raises DemoFailed."""
        self._process = await _spawn(*self._arguments)
        assert self._process.stdout is not None
        try:
            line = await asyncio.wait_for(self._process.stdout.readline(), PATIENCE)
            first: Json = json.loads(line)
        except (TimeoutError, ValueError) as error:
            raise DemoFailed from error
        return first

    async def stop(self) -> None:
        """Ask it to stop, and wait; harmless when it does not run."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.terminate()
            try:
                await asyncio.wait_for(self._process.wait(), PATIENCE)
            except TimeoutError:
                await self.kill()
            self._process = None

    async def kill(self) -> None:
        """End it at once, as a power cut would."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
            self._process = None


class Person:
    """Somebody with a home and a node."""

    def __init__(self, name: str, home: Path) -> None:
        self.name = name
        self.home = home
        self.url = ""
        """Where their page opens, once."""
        self._up = Actor("--home", str(home), "up", "--no-browser", "--port", "0", "--json")
        self._reach = AsyncExitStack()
        self._remote: Remote | None = None

    @property
    def node(self) -> Remote:
        """The commands of their node. Raises NodeLost while it is not up."""
        if self._remote is None:
            raise NodeLost
        return self._remote

    async def set_up(self, relay: str) -> None:
        """Make their home."""
        await _run(
            *("--home", str(self.home), "init", "--name", self.name),
            *("--relay", relay, "--no-passphrase", "--json"),
        )

    async def start(self) -> None:
        """Start their node."""
        self.url = (await self._up.start())["url"]
        self._remote = await self._reach.enter_async_context(
            running(Home(self.home), NodeSettings())
        )

    async def stop(self) -> None:
        """Stop their node."""
        self._remote = None
        await self._reach.aclose()
        await self._up.stop()

    async def knows(self, contact: str) -> None:
        """Wait until the contact has answered, so that both can write. Raises DemoFailed."""
        for _ in range(int(PATIENCE / POLL)):
            people = await self.node.contacts()
            if any(one["name"] == contact and one["state"] == "active" for one in people):
                return
            await asyncio.sleep(POLL)
        raise DemoFailed

    async def sees(self, contact: str, text: str) -> Json:
        """Wait until a message with this text is in the conversation, and return it."""
        async for message in self.node.read(contact, None, True, None):
            if message["text"] == text:
                return message
        raise NodeLost

    async def conversation(self, contact: str) -> list[Json]:
        """All its messages, oldest first."""
        whole = [message async for message in self.node.read(contact, None, False, None)]
        return [message for message in whole if message["notice"] is None]


class Stage:
    """A relay and two people who have each other as contacts."""

    def __init__(self, folder: Path) -> None:
        self._data = str(folder / "relay")
        self._relay = self._relay_at(0)
        self.relay_url = ""
        self.alice = Person("Alice", folder / "alice")
        self.bob = Person("Bob", folder / "bob")

    async def start(self) -> None:
        """Bring everything up and let Bob accept an invite of Alice's. Raises AppError."""
        first = await self._relay.start()
        self.relay_url = first["url"]
        await asyncio.gather(*(person.set_up(self.relay_url) for person in self.people))
        await asyncio.gather(*(person.start() for person in self.people))
        invite = await self.alice.node.invite(1, False, None)
        await self.bob.node.accept(invite["link"])
        await asyncio.gather(self.alice.knows("Bob"), self.bob.knows("Alice"))

    @property
    def people(self) -> tuple[Person, Person]:
        """Both of them."""
        return self.alice, self.bob

    async def kill_relay(self) -> None:
        """End the relay at once, as a power cut or a raid would."""
        await self._relay.kill()

    async def revive_relay(self) -> None:
        """Bring it back at the same address, with what is on its disk."""
        self._relay = self._relay_at(int(self.relay_url.rpartition(":")[2]))
        await self._relay.start()

    async def stop(self) -> None:
        """Stop everything."""
        await asyncio.gather(*(person.stop() for person in self.people))
        await self._relay.stop()

    def _relay_at(self, port: int) -> Actor:
        return Actor("relay", "--port", str(port), "--data", self._data, "--json")


async def _spawn(*arguments: str) -> Process:
    environment = {name: value for name, value in os.environ.items() if "VOLOK" not in name}
    # A session of its own: Ctrl-C reaches us alone, and we stop the others in order.
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "volok",
        *arguments,
        stdin=DEVNULL,
        stdout=PIPE,
        env=environment,
        start_new_session=True,
    )


async def _run(*arguments: str) -> None:
    process = await _spawn(*arguments)
    await process.communicate()
    if process.returncode != 0:
        raise DemoFailed
