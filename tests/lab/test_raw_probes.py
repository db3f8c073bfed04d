"""Every profile does what it says, and nothing else, to real packets in a real world; and that
world is what it should be.

A world can only be made inside the lab. So the tests themselves are in files that pytest does not
find by itself (`raw_*.py` and `world_cases.py` here); it is run on them once, inside, and each
test here tells how one of them went there.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from xml.etree import ElementTree

import pytest
from lab.services import catalogue

from lab import censor, enter

HERE = Path(__file__).parent
INSIDE = tuple(
    HERE / f"{name}.py" for name in ("raw_names", "raw_packets", "raw_worlds", "world_cases")
)
"""The tests that are run inside the lab."""
PATIENCE = 240.0
"""Seconds for all of them; on a machine that is not busy they take a tenth of that."""


def names_in(file: Path) -> list[str]:
    """The names of the tests in a file."""
    found = ast.parse(file.read_text()).body
    functions = [one.name for one in found if isinstance(one, ast.AsyncFunctionDef)]
    return [name for name in functions if name.startswith("test_")]


def obstacle() -> str | None:
    """Why the tests cannot be run on this machine, or None."""
    if missing := catalogue.missing():
        return f"The lab needs these Debian packages: {', '.join(missing)}."
    return enter.obstacle()


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What went wrong in each test inside, by its name; nothing for one that passed.

    Each file has a lab of its own, and they run at once: most of the time all of them only wait.
    """
    if (reason := obstacle()) is not None:
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("raw")
    found: dict[str, list[str]] = {}
    with ExitStack() as labs:
        running = [labs.enter_context(running_inside(file, folder)) for file in INSIDE]
        for file, process in zip(INSIDE, running, strict=True):
            process.wait(PATIENCE)
            report = folder / f"{file.stem}.xml"
            assert report.exists(), (folder / f"{file.stem}.txt").read_text()
            for case in ElementTree.parse(report).iter("testcase"):
                name = case.get("name", "").partition("[")[0]
                wrong = [f"{case.get('name')}: {one.text}" for one in case]
                found.setdefault(name, []).extend(wrong)
    return found


@contextmanager
def running_inside(file: Path, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a file's tests in a lab; what they report and print goes into `folder`."""
    options = ["-p", "no:cacheprovider", "--junitxml", str(folder / f"{file.stem}.xml")]
    with (folder / f"{file.stem}.txt").open("wb") as said:
        process = subprocess.Popen(
            enter.command([sys.executable, "-m", "pytest", *options, str(file)]),
            env=enter.environment(),
            cwd=enter.ROOT,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
        )
    with process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.timeout(PATIENCE + 20)
@pytest.mark.parametrize("name", [name for file in INSIDE for name in names_in(file)])
def test_inside_the_lab(outcomes: dict[str, list[str]], name: str) -> None:
    assert name in outcomes
    assert not outcomes[name], "\n".join(outcomes[name])


def test_every_profile_is_probed() -> None:
    names = " ".join(name for file in INSIDE for name in names_in(file))
    missing = [name for name in censor.names() if name.replace("-", "_") not in names]
    assert not missing
