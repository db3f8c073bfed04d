"""Systems on the bench: what the scenario asks of each, and how their people are driven.

1. A system is real software, started in the hosts of its people as anybody would start it.
2. Each person has a driver: a process of ours in the person's own host that passes commands on to
   the software and tells what arrived, one JSON object a line (`Driver` here, `serve` there).
3. Times of arrival are taken by the driver, from the clock that all hosts of one machine share
   (`time.monotonic`), so that a busy scenario delays no measurement.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, Protocol

PEOPLE = ("ana", "boris", "clara")
"""Who takes part; each is also the name of a host. Clara is abroad."""

MOST_LINE = 4 * 1024 * 1024
"""Bytes in one line between a driver and the scenario."""

GRACE = 5.0
"""Seconds that a process has to end by itself."""


class SystemFailed(Exception):
    """The system could not do what the scenario asked of it."""


class Arrival(NamedTuple):
    """A text that was shown to its receiver."""

    text: str
    at: float
    """When, in seconds of `time.monotonic`."""


class Bench(Protocol):
    """What a system may use of the world (see `lab.world.World`)."""

    @property
    def folder(self) -> Path:
        """A folder for files that go when the world goes."""

    @property
    def stick(self) -> Path | None:
        """A stick that people carry to each other in this run, where they have one."""

    @property
    def relays(self) -> Sequence[str]:
        """URLs of the three relays, as handed to people."""

    async def run(self, host: str, argv: Sequence[str], **streams: Any) -> Process:
        """Start a program in a host; streams as in `asyncio.create_subprocess_exec`."""


class System(Protocol):
    """One messaging system with its three people."""

    @property
    def name(self) -> str:
        """As on the command line."""

    @property
    def sends_pictures(self) -> bool:
        """Whether it can send a picture of 1 MB at all."""

    @property
    def uses_relays(self) -> bool:
        """Whether its messages go over the relays."""

    @property
    def uses_mail(self) -> bool:
        """Whether its world needs the mail servers."""

    async def setup(self, world: Bench) -> None:
        """Start everything and introduce the people to each other. Raises SystemFailed."""

    async def send(self, sender: str, receiver: str, text: str) -> None:
        """Hand over a text; returns when it is queued. Raises SystemFailed."""

    async def received(self, person: str) -> list[Arrival]:
        """Texts shown to a person so far, in the order in which they came, repeats included."""

    async def send_picture(self, sender: str, receiver: str, data: bytes) -> None:
        """Hand over a picture (JPEG). Raises SystemFailed."""

    async def pictures(self, person: str) -> list[float]:
        """When each picture was wholly there, in seconds of `time.monotonic`."""

    async def paths(self) -> list[str]:
        """Which paths carry at present, and which drops carried how many events, as the system
        tells; empty when it does not tell."""

    async def close(self) -> None:
        """Stop all its processes; harmless when `setup` failed."""


class Driver:
    """The scenario's end of a driver."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._number = 0
        self._reading = asyncio.create_task(self._read())
        self.texts: list[Arrival] = []
        """What arrived."""
        self.pictures: list[float] = []
        """When pictures arrived."""

    @classmethod
    async def start(cls, world: Bench, host: str, module: str, *arguments: str) -> Driver:
        """Run a module that calls `serve` in a host."""
        argv = (sys.executable, "-m", module, *arguments)
        streams = {"stdin": PIPE, "stdout": PIPE, "limit": MOST_LINE}
        # A session of its own: Ctrl-C reaches the scenario alone, which stops the others in order.
        return cls(await world.run(host, argv, start_new_session=True, **streams))

    async def ask(self, do: str, **arguments: Any) -> Any:
        """Let it do something; returns the answer. Raises SystemFailed."""
        assert self._process.stdin is not None
        self._number += 1
        number = self._number
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            line = json.dumps({"id": number, "do": do, "arguments": arguments})
            if self._reading.done():
                raise SystemFailed("The driver has ended.")
            self._process.stdin.write(line.encode() + b"\n")
            await self._process.stdin.drain()
            return await answer
        except OSError as error:
            raise SystemFailed("The driver has ended.") from error
        finally:
            self._waiting.pop(number, None)

    async def close(self) -> None:
        """End it, and wait until it is gone."""
        await end(self._process)
        self._reading.cancel()
        with suppress(asyncio.CancelledError):
            await self._reading

    async def _read(self) -> None:
        assert self._process.stdout is not None
        with suppress(ValueError, OSError):
            while line := await self._process.stdout.readline():
                self._take(json.loads(line))
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(SystemFailed("The driver has ended."))

    def _take(self, said: Mapping[str, Any]) -> None:
        if "text" in said:
            self.texts.append(Arrival(said["text"], said["at"]))
        elif "picture" in said:
            self.pictures.append(said["at"])
        elif (answer := self._waiting.get(said["id"])) is not None and not answer.done():
            if "error" in said:
                answer.set_exception(SystemFailed(said["error"]))
            else:
                answer.set_result(said["value"])


async def end(process: Process) -> None:
    """Close what a process reads, ask it to stop, and kill it if it does not."""
    if process.stdin is not None:
        process.stdin.close()
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), GRACE)
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


# The other end: inside the host of a person.

Handlers = Mapping[str, Callable[..., Awaitable[Any]]]
"""What a driver can do, by name; arguments and results are plain JSON values."""


def show_text(text: str) -> None:
    """Tell the scenario that a text was shown just now."""
    _say({"text": text, "at": time.monotonic()})


def show_picture() -> None:
    """Tell the scenario that a picture is wholly there just now."""
    _say({"picture": True, "at": time.monotonic()})


async def serve(handlers: Handlers) -> None:
    """Answer commands from standard input, several at once, until it is closed."""
    reader = asyncio.StreamReader(limit=MOST_LINE)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    async with asyncio.TaskGroup() as tasks:
        while line := await reader.readline():
            asked = json.loads(line)
            tasks.create_task(_answer(handlers, asked))


async def _answer(handlers: Handlers, asked: Mapping[str, Any]) -> None:
    try:
        value = await handlers[asked["do"]](**asked["arguments"])
    except Exception as error:  # the scenario is told; the driver goes on
        _say({"id": asked["id"], "error": f"{type(error).__name__}: {error}"})
    else:
        _say({"id": asked["id"], "value": value})


def _say(value: object) -> None:
    sys.stdout.write(json.dumps(value, ensure_ascii=True) + "\n")
    sys.stdout.flush()
