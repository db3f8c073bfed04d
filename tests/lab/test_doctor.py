"""The doctor names every profile that can be told from inside, and owns up to those that cannot.

The cases are in `doctor_worlds.py`, which pytest does not find by itself: it is run inside of three
labs at once, most of whose time is waiting, and each test here tells how one of them went there.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from xml.etree import ElementTree

import pytest
from tests.lab.doctor_worlds import ALONE, CASES

from lab import censor, enter

HERE = Path(__file__).parent
WORLDS = 3
PATIENCE = 170.0
"""Seconds for all of them; they take a quarter of that on a machine that does nothing else."""


def obstacle() -> str | None:
    """Why the tests cannot be run on this machine, or None."""
    if shutil.which("dnsmasq") is None:
        return "The lab needs the Debian package dnsmasq-base."
    return enter.obstacle()


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What went wrong in each test inside, by its id; empty for one that passed."""
    if (reason := obstacle()) is not None:
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("doctor")
    names = list(CASES)
    groups = [",".join(names[part::WORLDS]) for part in range(WORLDS)]
    found: dict[str, str] = {}
    with ExitStack() as labs:
        running = [
            labs.enter_context(running_inside(group, folder / f"{number}"))
            for number, group in enumerate(groups)
        ]
        for number, process in enumerate(running):
            process.wait(PATIENCE)
            report = folder / f"{number}.xml"
            assert report.exists(), (folder / f"{number}.txt").read_text()
            for case in ElementTree.parse(report).iter("testcase"):
                wrong = [str(one.text) for one in case if one.tag != "skipped"]
                name = case.get("name", "").rstrip("]").rpartition("[")[2]
                if wrong or case.find("skipped") is None:
                    found[name] = "".join(wrong)
    return found


@contextmanager
def running_inside(group: str, said: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run some of the cases in a lab of their own."""
    options = ["-p", "no:cacheprovider", "--durations=0", "--junitxml", str(said) + ".xml"]
    file = str(HERE / "doctor_worlds.py")
    with Path(str(said) + ".txt").open("wb") as output:
        process = subprocess.Popen(
            enter.command([sys.executable, "-m", "pytest", *options, file]),
            env={**enter.environment(), "DOCTOR_CASES": group},
            cwd=enter.ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    with process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.timeout(200)
@pytest.mark.parametrize("name", [*CASES, *ALONE])
def test_inside_the_lab(outcomes: dict[str, str], name: str) -> None:
    assert name in outcomes
    assert not outcomes[name], outcomes[name]


def test_every_profile_is_looked_at() -> None:
    alone = {case.profiles[0] for case in CASES.values() if len(case.profiles) == 1}
    assert alone == set(censor.names())


def test_what_can_be_told_is_named_and_the_rest_is_not() -> None:
    for case in CASES.values():
        for name in case.profiles if case.known else ():
            told = any(finding.startswith(name) for finding in case.found)
            unasked = not case.thorough and name in ("random-block", "parallel-ban")
            if censor.profile(name).observable and not unasked and name != "outage":
                assert told, name
            else:
                assert not told, name
