"""The real programs as processes: a relay, and nodes that are up; each can be killed any time."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from volok.app.home import Home
from volok.app.remote import Remote, client_for

VOLOK = (sys.executable, "-m", "volok")


class Died(Exception):
    """The process ended before it was ready."""


@dataclass
class Process:
    """One `volok` command that keeps running."""

    arguments: tuple[str, ...]
    process: asyncio.subprocess.Process | None = None
    kills: int = 0

    async def start(self) -> str:
        """Start it; returns its first line, by which it is ready."""
        self.process = await asyncio.create_subprocess_exec(
            *VOLOK,
            *self.arguments,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        assert self.process.stdout is not None
        line = await asyncio.wait_for(self.process.stdout.readline(), 60)
        if not line:
            _, errors = await self.process.communicate()
            raise Died(errors.decode())
        return line.decode()

    async def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGKILL)
        await self.process.wait()
        self.kills += 1

    async def stop(self) -> None:
        """End it for good."""
        if self.process is not None and self.process.returncode is None:
            await self.kill()


@dataclass
class RelayProcess(Process):
    """A relay that keeps its port when it is started again."""

    url: str = ""

    @classmethod
    async def on(cls, data: Path) -> RelayProcess:
        relay = cls(("relay", "--port", "0", "--data", str(data), "--json"))
        relay.url = json.loads(await relay.start())["url"]
        port = relay.url.rsplit(":", 1)[1].strip("/")
        relay.arguments = ("relay", "--port", port, "--data", str(data), "--json")
        return relay


@dataclass
class NodeProcess(Process):
    """A node that is up."""

    name: str = ""
    home: Path = field(default_factory=Path)

    @classmethod
    async def of(cls, folder: Path, name: str, *relays: str) -> NodeProcess:
        home = folder / name
        urls = [part for url in relays for part in ("--relay", url)]
        await run("--home", str(home), "init", "--name", name, "--no-passphrase", *urls)
        node = cls(
            ("--home", str(home), "up", "--no-browser", "--port", "0", "--json"),
            name=name,
            home=home,
        )
        await node.start()
        return node

    @contextlib.asynccontextmanager
    async def remote(self) -> AsyncIterator[Remote]:
        """Its commands."""
        run_info = Home(self.home).read_run()
        assert run_info is not None
        async with client_for(run_info) as client:
            yield Remote(client)


@dataclass(frozen=True)
class Printed:
    """What one command did."""

    code: int
    out: str
    err: str


async def command(*arguments: str) -> Printed:
    """Run one command to its end."""
    process = await asyncio.create_subprocess_exec(
        *VOLOK, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    return Printed(process.returncode, out.decode(), err.decode())


async def run(*arguments: str) -> str:
    """Run one command that must succeed; returns what it printed."""
    printed = await command(*arguments)
    assert printed.code == 0, printed.err
    return printed.out
