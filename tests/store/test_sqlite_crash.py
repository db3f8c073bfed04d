"""SIGKILL at any moment: what was acknowledged is there, what was erased is not, nothing torn."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from volok.store.conformance_tools import NOW
from volok.store.inspection import verify
from volok.store.sqlite_store import SqliteStore


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kills", [4, pytest.param(50, marks=pytest.mark.full)])
@pytest.mark.parametrize("writer", ["thread", "own"])
async def test_killed_at_any_moment_it_loses_nothing_acknowledged(
    tmp_path: Path, kills: int, writer: str
) -> None:
    moments = random.Random(7)
    path, highest = tmp_path / "store.db", 0
    said: dict[str, set[str]] = {"added": set(), "deleting": set(), "deleted": set()}
    markers: dict[str, str] = {}
    for turn in range(kills):
        for line in said_until_killed(path, turn, moments.randrange(50, 2000), writer):
            word, what, *marker = line.split()
            if word == "number":
                assert int(what) > highest, "A number was used again."
                highest = int(what)
            else:
                said[word].add(what)
                markers |= {what: marker[0]} if marker else {}
        found = verify(path, NOW)
        assert not found.problems, found.told
        store = await SqliteStore.open(path)
        here = {entry.event.id for entry in await store.log(0, 10**6, NOW)}
        await store.flush()
        await store.close()
        assert said["added"] - said["deleting"] <= here
        assert not said["deleted"] & here
        data = b"".join(file.read_bytes() for file in tmp_path.iterdir())
        assert not [name for name in said["deleted"] if markers[name].encode() in data]
    assert not verify(path, NOW).problems
    assert len(said["added"]) > 100 * kills
    assert len(said["deleted"]) > 10


@pytest.mark.full
@pytest.mark.timeout(1200)
async def test_a_million_events_open_in_two_seconds_after_a_crash(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    script = Path(__file__).with_name("million_process.py")
    with subprocess.Popen(
        [sys.executable, str(script), str(path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        taken = 0
        while taken < 1_000_000:
            taken = int(process.stdout.readline())
        process.kill()
    assert path.with_name("store.db-wal").stat().st_size > 1 << 20
    start = time.perf_counter()
    store = await SqliteStore.open(path)
    assert len(await store.log(0, 100, NOW)) == 100
    assert time.perf_counter() - start < 2
    assert store.head >= 1_000_000
    await store.close()


def said_until_killed(path: Path, turn: int, lines: int, writer: str) -> list[str]:
    script = Path(__file__).with_name("writer_process.py")
    command = [sys.executable, str(script), str(path), str(turn), writer]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(lines)]
        os.killpg(process.pid, signal.SIGKILL)
        # What was in the pipe already was acknowledged as well; the last line may be cut.
        said += [line for line in process.stdout if line.endswith("\n")]
    return said
