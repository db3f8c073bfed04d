"""Several runs at once: who gets which, in what order they are told, and what ends them. The
workers here are small programs; real ones are started in `test_every_profile.py`."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from lab.batch import Job, Plan
from lab.enter import LabUnavailable
from lab.outcome import Outcome
from lab.world import WorldBroken
from tests.lab.test_report import outcome

from lab import batch, enter, scenario

PLAN = Plan(7, replace(scenario.SHORT, texts=3))
JOBS = [Job(f"profile{number}", "volok") for number in range(5)]
HEAD = f"import json, os, sys, time\nmade = {outcome('').to_json()!r}\n"
"""An outcome that workers answer with."""


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Have workers do this with each `job` from their input."""

    def use(body: str) -> None:
        lines = f"{HEAD}for line in sys.stdin:\n    job = json.loads(line)\n    {body}\n"
        monkeypatch.setattr(enter, "obstacle", lambda: None)
        monkeypatch.setattr(enter, "command", lambda _: [sys.executable, "-c", lines])
        monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)

    return use


ANSWER = "print(json.dumps({**made, 'profile': job['profile']}), flush=True)"


@pytest.mark.parametrize("at_once", [1, 2, 9])
async def test_outcomes_come_in_the_order_of_the_jobs(
    worker: Callable[[str], None], at_once: int, tmp_path: Path
) -> None:
    # The first job takes until another one is told, where others are done beside it.
    other_told = tmp_path / "told"
    waits = f"job['profile'] == 'profile0' and not os.path.exists({str(other_told)!r})"
    worker(f"while {at_once} > 1 and {waits}: time.sleep(0.01)\n    {ANSWER}")
    told: list[Outcome] = []

    def tell(one: Outcome) -> None:
        told.append(one)
        other_told.touch()

    outcomes = await batch.run(JOBS, PLAN, at_once, tell)
    assert [one.profile for one in outcomes] == [job.profile for job in JOBS]
    assert sorted(one.profile for one in told) == [job.profile for job in JOBS]
    if at_once > 1:
        assert told[0].profile != "profile0"


async def test_what_cannot_be_done_here_is_said(worker: Callable[[str], None]) -> None:
    worker("print(json.dumps({'unavailable': 'This takes root.'}), flush=True)")
    with pytest.raises(LabUnavailable, match=r"This takes root\."):
        await batch.run(JOBS, PLAN, 2, lambda _: None)


async def test_a_world_that_breaks_ends_the_batch(worker: Callable[[str], None]) -> None:
    worker("print(json.dumps({'broken': 'The wire has stopped.'}), flush=True)")
    with pytest.raises(WorldBroken, match=r"The wire has stopped\."):
        await batch.run(JOBS, PLAN, 2, lambda _: None)


async def test_a_lab_that_ends_before_its_run_is_noticed(worker: Callable[[str], None]) -> None:
    worker("break")
    with pytest.raises(WorldBroken, match=r"The lab ended under profile\d"):
        await batch.run(JOBS, PLAN, 2, lambda _: None)


async def test_no_worker_is_left_when_a_batch_is_given_up(worker: Callable[[str], None]) -> None:
    worker("made['problem'] = str(__import__('os').getpid()); " + ANSWER)
    found: list[int] = []
    answered = asyncio.Event()

    def tell(one: Outcome) -> None:
        found.append(int(one.problem or 0))
        if len(found) == len(JOBS):
            answered.set()

    running = asyncio.create_task(batch.run([*JOBS, Job("last", "x")], PLAN, 2, tell))
    await answered.wait()
    running.cancel()
    await asyncio.wait({running})
    async with asyncio.timeout(10):
        while any(map(runs, found)):
            await asyncio.sleep(0.01)  # they were killed; nobody tells when the kernel is done


def runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_plan_survives_the_command_line() -> None:
    assert Plan.from_text(PLAN.to_text()) == PLAN
    assert json.loads(PLAN.to_text())["seed"] == 7


async def test_where_the_lab_cannot_be_entered_nothing_is_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(enter, "obstacle", lambda: "There is no kernel.")
    monkeypatch.setattr(enter, "command", lambda _: pytest.fail("started"))
    with pytest.raises(LabUnavailable, match="no kernel"):
        await batch.run(JOBS, PLAN, 2, lambda _: None)
