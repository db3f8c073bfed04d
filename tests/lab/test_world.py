"""Into the lab and out of it: it takes root, and a kernel that allows namespaces. What is tried
inside is run by `test_raw_probes.py`."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from lab import enter

HERE = Path(__file__).parent
CASES = HERE / "world_cases.py"
NAMESPACES = Path("/run/netns")
GONE = 30.0
"""Seconds in which the lab has to vanish after its outer process has."""

REASON = enter.obstacle()
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))


def test_the_exit_code_comes_out() -> None:
    assert enter.enter(["sh", "-c", "exit 7"]) == 7
    assert enter.enter(["sh", "-c", "kill -KILL $$"]) == 128 + signal.SIGKILL


def test_a_command_ends_and_what_it_left_running_ends_with_it() -> None:
    length = f"600.{secrets.randbelow(10**9):09}"
    subprocess.run(
        enter.command(["sh", "-c", f"(sleep {length} &) ; (true &)"]),
        env=enter.environment(),
        stdin=subprocess.DEVNULL,
        timeout=30,
        check=True,
    )
    assert not [words for words in command_lines() if length in words]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_is_left_when_the_outer_process_is_killed(how: signal.Signals) -> None:
    links, named = network_devices(), named_namespaces()
    program = f"from lab.enter import enter; enter([{sys.executable!r}, {str(CASES)!r}, 'stay'])"
    with ExitStack() as stack:
        with subprocess.Popen(
            [sys.executable, "-c", program],
            cwd=enter.ROOT,
            env=enter.environment(),
            stdout=subprocess.PIPE,
            text=True,
        ) as outer:
            try:
                assert outer.stdout is not None
                assert outer.stdout.readline() == "ready\n"
                ours = descendants(outer.pid)
                # While one is held, nothing that other tests make has its number.
                held = stack.enter_context(holding(ours))
                made = held - {namespace_of("self")}
                assert len(made) > 3
                assert len(ours) > 6
            finally:
                outer.send_signal(how)
            outer.wait()
        patience = time.monotonic() + GONE
        while any(alive(pid) for pid in ours) and time.monotonic() < patience:
            time.sleep(0.02)  # they are not our children, so there is no event to wait for
        assert not [pid for pid in ours if alive(pid)]
        assert not made & {namespace_of(pid) for pid in processes()}
    assert network_devices() == links
    assert named_namespaces() == named


def processes() -> list[str]:
    return [entry.name for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def command_lines() -> list[str]:
    found = []
    for pid in processes():
        with suppress(OSError):
            found.append(Path(f"/proc/{pid}/cmdline").read_text(errors="replace"))
    return found


def namespace_of(pid: str) -> int | None:
    """The number of a process's network namespace; None when there is no such process any more."""
    try:
        return Path(f"/proc/{pid}/ns/net").stat().st_ino
    except OSError:
        return None


@contextmanager
def holding(pids: list[int]) -> Iterator[set[int]]:
    """Keep the network namespaces of these processes from vanishing; gives their numbers."""
    with ExitStack() as stack:
        numbers = set()
        for pid in pids:
            with suppress(OSError):
                file = stack.enter_context(Path(f"/proc/{pid}/ns/net").open("rb"))
                numbers.add(os.fstat(file.fileno()).st_ino)
        yield numbers


def descendants(pid: int) -> list[int]:
    """All processes that a process has started, and those they have."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    children = [int(child) for child in text.split()]
    return [*children, *(below for child in children for below in descendants(child))]


def alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be buried does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def network_devices() -> list[str]:
    return sorted(os.listdir("/sys/class/net"))


def named_namespaces() -> list[str]:
    return sorted(entry.name for entry in NAMESPACES.iterdir()) if NAMESPACES.exists() else []
