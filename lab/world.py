"""A world to try things in: hosts, the wire between them, and the services that run on them.

    async with World.make(services=ordinary()) as world:
        process = await world.run("ana", ["volok", "up"])
        await world.censor(["sni-rst", "curtain"], seed=7)
        print(await world.report())

It is made inside the lab (`lab.enter`) and leaves it as it was. One world at a time.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import sys
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from lab import enter, ground, hosts
from lab.authority import Authority
from lab.ground import Host
from lab.observer import Observation

FOLDER = Path("/run/lab/world")
"""Everything a world writes lies here, in memory."""
LONGEST_LINE = 1 << 24
"""Bytes of the longest answer of the wire."""
PATIENCE = 60.0
"""Seconds that a service has to come up, and the wire to answer."""


class WorldBroken(RuntimeError):
    """A part of the world does not do what it should; the message says which."""


class Service(Protocol):
    """Something that runs on a host."""

    async def start(self, world: World) -> None:
        """Start it; returns when it can be used. Raises WorldBroken."""


class World:
    """Made by `World.make`."""

    def __init__(self, made: Collection[Host], authority: Authority) -> None:
        """For `make` alone."""
        self.hosts = {host.name: host for host in made}
        self.authority = authority
        self.stick: Path | None = None
        """A stick that people carry to each other in this run, where they have one."""
        self.relay_urls: dict[str, str] = {}
        """The URL of each relay by its host; a relay adds its own when it runs."""
        self._asking = asyncio.Lock()
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    @classmethod
    @asynccontextmanager
    async def make(
        cls, services: Sequence[Service] = (), made: Collection[Host] = ground.HOSTS
    ) -> AsyncIterator[World]:
        """Make hosts and wire, start the services, all together; take everything away at the end.

        Raises LabUnavailable outside of the lab, WorldBroken when a service does not come up.
        """
        if not enter.inside():
            raise enter.LabUnavailable("A world can only be made inside the lab (lab.enter).")
        shutil.rmtree(FOLDER, ignore_errors=True)
        world = cls(made, Authority(FOLDER / "authority"))
        resolvers = {
            host.name: (ground.RESOLVER if host.inside else ground.NAMES_ABROAD).address
            for host in made
        }
        devices = hosts.make(made, resolvers)
        try:
            wire = await world._start_wire(devices)
            try:
                await world.start(services)
                yield world
            finally:
                world._writer.close()
                await wire.wait()
        finally:
            hosts.remove(made)
            shutil.rmtree(FOLDER, ignore_errors=True)

    async def start(self, services: Sequence[Service]) -> None:
        """Start services, all together. Raises WorldBroken when one does not come up."""
        try:
            async with asyncio.timeout(PATIENCE):
                await asyncio.gather(*(service.start(self) for service in services))
        except TimeoutError:
            raise WorldBroken("A service did not come up in time.") from None

    async def _start_wire(self, devices: Mapping[str, int]) -> asyncio.subprocess.Process:
        ours, directed = socket.socketpair()
        seen, looking = socket.socketpair()
        try:
            self._reader, self._writer = await asyncio.open_connection(
                sock=ours, limit=LONGEST_LINE
            )
            if ground.CENSOR.name in self.hosts:
                prober = [sys.executable, "-m", "lab.prober"]
                await self.run(ground.CENSOR.name, prober, stdin=looking, stdout=looking)
            described = json.dumps(devices), str(directed.fileno()), str(seen.fileno())
            wire = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "lab.wire", *described),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(*devices.values(), directed.fileno(), seen.fileno()),
                env=enter.environment(),
            )
        finally:
            for fd in devices.values():
                os.close(fd)
            for end in (directed, seen, looking):
                end.close()
        await self.report()  # it answers once it carries
        return wire

    @property
    def environment(self) -> dict[str, str]:
        """The environment of processes in the world: they trust the lab's authority alone."""
        bundle = str(self.authority.certificate)
        names = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
        return {**enter.environment(), **dict.fromkeys(names, bundle)}

    @property
    def folder(self) -> Path:
        """A folder for files that go when the world goes; it is in memory."""
        return FOLDER

    def home(self, host: str) -> Path:
        """The folder in which a host's commands work and its services keep their files."""
        home = FOLDER / "hosts" / host
        home.mkdir(parents=True, exist_ok=True)
        return home

    @property
    def relays(self) -> list[str]:
        """The URLs of the relays that run, as handed to people, in the order of their hosts."""
        return [self.relay_urls[host] for host in self.hosts if host in self.relay_urls]

    async def run(
        self,
        host: str,
        argv: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        **streams: Any,
    ) -> asyncio.subprocess.Process:
        """Start a command in a host; `environment` comes on top of the world's.

        `streams` go to `asyncio.create_subprocess_exec`; the standard input is empty unless given.
        The command works in the host's folder. Whatever still runs at the end is killed.
        """
        options = {"stdin": asyncio.subprocess.DEVNULL, "cwd": self.home(host), **streams}
        return await asyncio.create_subprocess_exec(
            *("ip", "netns", "exec", host, *argv),
            env={**self.environment, **(environment or {})},
            **options,
        )

    async def done(self, host: str, argv: Sequence[str], **options: Any) -> bytes:
        """Run a command in a host to its end and give what it printed.

        Raises WorldBroken, with what it said, when it fails.
        """
        pipes = {"stdout": asyncio.subprocess.PIPE, "stderr": asyncio.subprocess.PIPE}
        process = await self.run(host, argv, **{**pipes, **options})
        out, said = await process.communicate()
        if process.returncode:
            text = (said or b"").decode(errors="replace").strip()
            raise WorldBroken(f"{argv[0]} on {host} ended with {process.returncode}: {text}")
        return out or b""

    def open_socket(self, host: str, kind: int = socket.SOCK_STREAM) -> socket.socket:
        """A non-blocking IPv4 socket in a host."""
        with hosts.in_host(host):
            made = socket.socket(socket.AF_INET, kind)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setblocking(False)
        return made

    async def connect(self, host: str, address: str, port: int) -> socket.socket:
        """A TCP connection from a host. Raises OSError."""
        made = self.open_socket(host)
        try:
            await asyncio.get_running_loop().sock_connect(made, (address, port))
        except BaseException:
            made.close()
            raise
        return made

    async def listening(self, host: str, port: int, address: str | None = None) -> None:
        """Wait until something on a host listens on a TCP port. Raises WorldBroken."""
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    with suppress(ConnectionError):
                        target = address or self.hosts[host].address
                        (await self.connect(host, target, port)).close()
                        return
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise WorldBroken(f"Nothing on {host} listens on port {port}.") from None

    async def censor(self, profiles: Sequence[str], seed: int = 0) -> None:
        """Switch these profiles on, in place of those before, with parameters drawn by `seed`.

        Raises WorldBroken for a profile that there is not.
        """
        await self._ask(do="censor", profiles=list(profiles), seed=seed)

    async def clear(self) -> None:
        """Switch every profile off."""
        await self._ask(do="clear")

    async def lists(self, **lists: Iterable[str]) -> None:
        """Change what the next censor knows: `listed_names`, `listed_addresses`; what is not given
        stays."""
        await self._ask(do="ground", **{name: list(values) for name, values in lists.items()})

    async def unplug(self, host: str) -> None:
        """Have a host disappear from the network."""
        await self._ask(do="unplug", host=host)

    async def plug(self, host: str) -> None:
        """Have a host come back."""
        await self._ask(do="plug", host=host)

    async def report(self) -> Observation:
        """What the border has seen so far."""
        return Observation.from_json((await self._ask(do="report"))["observation"])

    async def counts(self) -> dict[str, int]:
        """How many packets were forwarded, dropped, delayed, forged and lost so far."""
        counts: dict[str, int] = (await self._ask(do="report"))["counts"]
        return counts

    async def _ask(self, **order: Any) -> dict[str, Any]:
        async with self._asking:
            try:
                async with asyncio.timeout(PATIENCE):
                    self._writer.write(json.dumps(order).encode() + b"\n")
                    line = await self._reader.readline()
            except (OSError, TimeoutError):
                line = b""
        if not line:
            raise WorldBroken("The wire has stopped; its error is above.")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise WorldBroken(f"The wire refused: {answer['error']}")
        return answer
