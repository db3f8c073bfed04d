"""What waiting costs: bytes and wake-ups per idle hour, for each path.

    python -m lab.idle [--seconds N] [--json]

One node for each way of being reached, each on a host of its own, with an open invite and nothing
to do. After a while to settle, the traffic of the host and the wake-ups of the node are counted and
multiplied to an hour. A wake-up is a voluntary context switch of any of its threads, as Linux
counts them (proc(5), `status`): each is a moment in which the processor could not sleep on.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from lab import enter, ground
from lab.ground import Host
from lab.services import catalogue, mail, s3
from lab.systems import end
from lab.world import World, WorldBroken

VOLOK = (sys.executable, "-m", "volok")
HOUR = 3600.0
SETTLE = 45.0
"""Seconds after the start in which nothing is counted."""
PATIENCE = 60.0
"""Seconds that a command may take."""
NODE_STARTS = 4
"""Nodes that are started at once."""


@dataclass(frozen=True, slots=True)
class Way:
    """A way of being reached, and what a person types to have it."""

    name: str
    relays: int = 0
    """How many of the relays abroad the node reads."""
    place: tuple[str, ...] = ()
    """Arguments of `volok path add`; FOLDER and PASSWORD stand for a folder and a file that holds
    the password."""
    password: str = ""


def ways() -> list[Way]:
    """All that are measured."""
    dav, mailbox = ground.DROP_INSIDE.names[0], mail.ACCOUNTS["ana"]
    post = ground.MAIL_INSIDE.names[0]
    account = ("--password-file", "PASSWORD", "--yes")
    return [
        Way("nothing"),
        Way("one relay", relays=1),
        Way("three relays", relays=3),
        Way("folder", place=("FOLDER",)),
        Way(
            "WebDAV",
            place=(f"webdavs://{dav}/", "--user", "ana", *account),
            password="ana-dav",
        ),
        Way(
            "S3",
            place=(
                f"s3://{s3.BUCKET}",
                "--endpoint",
                f"https://{dav}:{s3.PORT}",
                "--user",
                "ana",
                *account,
            ),
            password="ana-s3",
        ),
        Way(
            "SFTP",
            place=(f"sftp://ana@{dav}/shared", *account),
            password="ana-sftp",
        ),
        Way(
            "e-mail",
            place=(f"mail://{mailbox.address}", "--imap", post, "--smtp", post, *account),
            password=mailbox.password,
        ),
        Way("local network", place=("lan", "--yes")),
    ]


@dataclass(frozen=True, slots=True)
class Cost:
    """What one way costs in an idle hour."""

    way: str
    sent: float
    """Bytes, with all headers from the IP header on."""
    received: float
    packets: float
    """Both ways."""
    wake_ups: float
    cpu: float
    """Seconds of the processor."""


@dataclass(frozen=True, slots=True)
class Counters:
    """What was counted of one node up to some moment."""

    received: int
    sent: int
    packets: int
    wake_ups: int
    cpu: float

    def since(self, before: Counters, way: str, seconds: float) -> Cost:
        """What an hour costs, by what came after `before`, within so many seconds."""
        hours = seconds / HOUR
        return Cost(
            way,
            (self.sent - before.sent) / hours,
            (self.received - before.received) / hours,
            (self.packets - before.packets) / hours,
            (self.wake_ups - before.wake_ups) / hours,
            (self.cpu - before.cpu) / hours,
        )


class _Waiting:
    """A node on its own host."""

    def __init__(self, world: World, host: Host, way: Way) -> None:
        self._world = world
        self._host = host.name
        self._home = world.folder / "idle" / host.name
        self._node: Process | None = None
        self._way = way

    async def start(self) -> None:
        """Set up, start, invite somebody, add the place. Raises WorldBroken."""
        self._home.parent.mkdir(exist_ok=True)
        relays = [
            part for url in self._world.relays[: self._way.relays] for part in ("--relay", url)
        ]
        await self._volok("init", "--name", "Idle", "--no-passphrase", *relays)
        up = ("up", "--no-browser", "--port", "0", "--json")
        argv = (*VOLOK, "--home", str(self._home), *up)
        self._node = await self._world.run(
            self._host, argv, stdout=PIPE, stderr=DEVNULL, start_new_session=True
        )
        assert self._node.stdout is not None
        if not await asyncio.wait_for(self._node.stdout.readline(), PATIENCE):
            raise WorldBroken(f"volok up for {self._way.name} ended.")
        if self._way.relays:
            await self._volok("invite")
        if self._way.place:
            await self._volok("path", "add", *map(self._filled, self._way.place))

    def _filled(self, argument: str) -> str:
        if argument == "FOLDER":
            folder = self._world.folder / "idle" / "shared"
            folder.mkdir(exist_ok=True)
            return str(folder)
        if argument == "PASSWORD":
            secret = self._home.with_suffix(".password")
            secret.write_text(self._way.password)
            return str(secret)
        return argument

    async def _volok(self, *arguments: str) -> None:
        argv = (*VOLOK, "--home", str(self._home), *arguments)
        await asyncio.wait_for(self._world.done(self._host, argv), PATIENCE)

    async def counters(self) -> Counters:
        """As they stand now."""
        table = (await self._world.done(self._host, ("cat", "/proc/net/dev"))).decode()
        line = next(line for line in table.splitlines() if line.strip().startswith("lan"))
        numbers = [int(number) for number in line.split(":")[1].split()]
        assert self._node is not None
        wake_ups, cpu = work_of(self._node.pid)
        return Counters(numbers[0], numbers[8], numbers[1] + numbers[9], wake_ups, cpu)

    async def close(self) -> None:
        """End the node."""
        if self._node is not None:
            await end(self._node)


def work_of(session: int) -> tuple[int, float]:
    """Wake-ups and seconds of processor so far, of a node and of what it started: its session."""
    wake_ups, ticks = 0, 0
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(FileNotFoundError, ProcessLookupError):
            fields = (process / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) != session:
                continue
            ticks += int(fields[11]) + int(fields[12])
            for task in (process / "task").iterdir():
                status = (task / "status").read_text()
                wake_ups += int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])
    return wake_ups, ticks / os.sysconf("SC_CLK_TCK")


async def measure(
    seconds: float, settle: float = SETTLE, told: Console | None = None
) -> list[Cost]:
    """Let a node wait for each way, all at once.

    Raises WorldBroken, LabUnavailable.
    """
    chosen = ways()
    hosts = ground.WAITING[: len(chosen)]
    async with World.make(catalogue.ordinary(), (*ground.HOSTS, *hosts)) as world:
        nodes = [_Waiting(world, host, way) for host, way in zip(hosts, chosen, strict=True)]
        turn = asyncio.Semaphore(NODE_STARTS)

        async def start(node: _Waiting) -> None:
            async with turn:
                await node.start()

        try:
            await asyncio.gather(*map(start, nodes))
            if told:
                told.print(
                    f"{len(nodes)} nodes wait: {settle:.0f} s to settle, then {seconds:.0f} s …"
                )
            await asyncio.sleep(settle)
            clock = asyncio.get_running_loop().time
            before = [(clock(), await node.counters()) for node in nodes]
            await asyncio.sleep(seconds)
            after = [(clock(), await node.counters()) for node in nodes]
        finally:
            await asyncio.gather(*(node.close() for node in nodes))
    return [
        last.since(first, way.name, end_at - begun_at)
        for way, (begun_at, first), (end_at, last) in zip(chosen, before, after, strict=True)
    ]


def table(costs: Sequence[Cost]) -> Table:
    """For people."""
    shown = Table("way", title="What an idle hour costs")
    for column in ("KB sent", "KB received", "packets", "wake-ups", "CPU seconds"):
        shown.add_column(column, justify="right")
    for cost in costs:
        shown.add_row(
            cost.way,
            f"{cost.sent / 1000:,.0f}",
            f"{cost.received / 1000:,.0f}",
            f"{cost.packets:,.0f}",
            f"{cost.wake_ups:,.0f}",
            f"{cost.cpu:,.1f}",
        )
    return shown


def main(arguments: Sequence[str]) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m lab.idle", description="Measure what each way costs in an idle hour."
    )
    parser.add_argument("--seconds", type=float, default=300.0, help="How long to count.")
    parser.add_argument("--json", action="store_true", help="Print the results as JSON.")
    asked = parser.parse_args(arguments)
    progress = Console(stderr=True, highlight=False)
    try:
        if not enter.inside():
            return enter.enter([sys.executable, "-m", "lab.idle", *arguments])
        costs = asyncio.run(measure(asked.seconds, told=progress))
    except (enter.LabUnavailable, WorldBroken) as error:
        progress.print(str(error), style="red", markup=False)
        return 2
    if asked.json:
        sys.stdout.write(json.dumps([asdict(cost) for cost in costs], indent=2) + "\n")
    else:
        Console(highlight=False, width=None if sys.stdout.isatty() else 100).print(table(costs))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
