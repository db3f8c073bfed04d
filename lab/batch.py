"""Many runs, several at once: labs of their own, each with a worker that takes one run at a time.

The worker (this module, run inside) reads a job in each line of its standard input and answers with
a line: the outcome, or what it is that cannot be done here. It ends with its input.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import IO, Any

from lab import enter, scenario
from lab.outcome import Outcome
from lab.photo import photo
from lab.services import catalogue
from lab.services.mail import MailServer
from lab.systems.catalogue import SYSTEMS
from lab.world import World, WorldBroken

LONGEST_LINE = 1 << 24
"""Bytes of the longest outcome."""
STARTED = (
    "lab.prober",
    "lab.services.volok_person",
    "lab.systems.catalogue",
    "lab.wire",
    "volok.app.cli.relay",
    "volok.app.cli.setup",
    "volok.app.cli.up",
)
"""The modules that nearly every run starts."""


@dataclass(frozen=True, slots=True)
class Job:
    """One run."""

    profile: str
    system: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What all runs of a batch have in common."""

    seed: int
    settings: scenario.Settings

    def to_text(self) -> str:
        """As an argument of the worker."""
        return json.dumps({"seed": self.seed, "settings": asdict(self.settings)})

    @classmethod
    def from_text(cls, text: str) -> Plan:
        """The reverse of `to_text`."""
        value = json.loads(text)
        return cls(value["seed"], scenario.Settings(**value["settings"]))


async def run(
    jobs: Sequence[Job], plan: Plan, at_once: int, told: Callable[[Outcome], None]
) -> list[Outcome]:
    """Make all runs, so many at once; gives the outcomes in the order of the jobs.

    `told` is called with each as soon as it is there. Call it in the main thread. Raises
    LabUnavailable, and WorldBroken when a lab ends before its run.
    """
    if (reason := enter.obstacle()) is not None:
        raise enter.LabUnavailable(reason)
    left = list(reversed(list(enumerate(jobs))))
    outcomes: dict[int, Outcome] = {}

    async def work(environment: Mapping[str, str]) -> None:
        async with _worker(plan, environment) as worker:
            while left:
                place, job = left.pop()
                outcomes[place] = await _ask(worker, job)
                told(outcomes[place])

    with _bytecode() as environment:
        try:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(min(at_once, len(jobs))):
                    tasks.create_task(work(environment))
        except* (enter.LabUnavailable, WorldBroken) as failed:
            raise failed.exceptions[0] from None
    return [outcomes[place] for place in range(len(jobs))]


@contextlib.contextmanager
def _bytecode() -> Iterator[Mapping[str, str]]:
    """The environment of the workers. A run starts Python a dozen times: where compiled modules
    are not to lie beside the sources, they lie in a folder that goes with the batch."""
    known = enter.environment()
    if "PYTHONDONTWRITEBYTECODE" not in known:
        yield known
        return
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        rest = {name: text for name, text in known.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environment = {**rest, "PYTHONPYCACHEPREFIX": folder}
        # Once, before all labs do it at the same time.
        warming = [sys.executable, "-c", f"import {', '.join(STARTED)}"]
        subprocess.run(warming, env=environment, stdin=subprocess.DEVNULL, check=False)
        yield environment


@contextlib.asynccontextmanager
async def _worker(plan: Plan, environment: Mapping[str, str]) -> AsyncGenerator[Process, None]:
    process = await asyncio.create_subprocess_exec(
        *enter.command([sys.executable, "-m", "lab.batch", plan.to_text()]),
        env=environment,
        stdin=PIPE,
        stdout=PIPE,
        limit=LONGEST_LINE,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()  # all that is inside goes with it
        await process.communicate()


async def _ask(worker: Process, job: Job) -> Outcome:
    assert worker.stdin is not None
    assert worker.stdout is not None
    with contextlib.suppress(ConnectionError):
        worker.stdin.write(json.dumps(asdict(job)).encode() + b"\n")
        await worker.stdin.drain()
    line = await worker.stdout.readline()
    if not line:
        raise WorldBroken(f"The lab ended under {job.profile}; its error is above.")
    answer = json.loads(line)
    if "unavailable" in answer:
        raise enter.LabUnavailable(answer["unavailable"])
    if "broken" in answer:
        raise WorldBroken(answer["broken"])
    return Outcome.from_json(answer)


# The other end: inside a lab.


async def _one(job: Job, plan: Plan) -> Outcome:
    """A run in a world of its own."""
    system = SYSTEMS[job.system]()
    services = [
        service
        for service in catalogue.ordinary()
        if system.uses_mail or not isinstance(service, MailServer)
    ]
    picture = photo(plan.settings.picture, plan.seed)
    async with World.make(services) as world:
        if "island" in scenario.members(job.profile):
            world.stick = world.folder / "stick"
            world.stick.mkdir()
        try:
            return await scenario.conduct(
                world, system, job.profile, plan.seed, plan.settings, picture, time.monotonic
            )
        finally:
            await system.close()


async def _answer(job: Job, plan: Plan) -> dict[str, Any]:
    try:
        return (await _one(job, plan)).to_json()
    except enter.LabUnavailable as error:
        return {"unavailable": str(error)}
    except WorldBroken as error:
        return {"broken": f"{job.profile}: {error}"}


def _own_output() -> IO[str]:
    """Standard output for ourselves alone: what children print there goes to the error output."""
    ours = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return ours


async def serve(plan: Plan) -> None:
    """Answer jobs until there are no more."""
    with _own_output() as output:
        while line := await asyncio.to_thread(sys.stdin.readline):
            output.write(json.dumps(await _answer(Job(**json.loads(line)), plan)) + "\n")
            output.flush()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        asyncio.run(serve(Plan.from_text(sys.argv[1])))
