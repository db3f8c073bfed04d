"""SIGKILL at any moment: what was acknowledged is there, what was erased is not."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

from volok.store.conformance_tools import NOW
from volok.store.sqlite_store import SqliteStore


async def test_killed_at_any_moment_it_loses_nothing_acknowledged(tmp_path: Path) -> None:
    moments = random.Random(7)
    path, highest = tmp_path / "store.db", 0
    said: dict[str, set[str]] = {"added": set(), "deleting": set(), "deleted": set()}
    markers: dict[str, str] = {}
    for turn in range(5):
        for line in said_until_killed(path, turn, moments.randrange(50, 2500)):
            word, what, *marker = line.split()
            if word == "number":
                assert int(what) > highest, "A number was used again."
                highest = int(what)
            else:
                said[word].add(what)
                markers |= {what: marker[0]} if marker else {}
        store = await SqliteStore.open(path)
        here = {entry.event.id for entry in await store.log(0, 10**6, NOW)}
        await store.flush()
        await store.close()
        assert said["added"] - said["deleting"] <= here
        assert not said["deleted"] & here
        data = b"".join(file.read_bytes() for file in tmp_path.iterdir())
        assert not [name for name in said["deleted"] if markers[name].encode() in data]
    assert len(said["added"]) > 200
    assert len(said["deleted"]) > 50


def said_until_killed(path: Path, turn: int, lines: int) -> list[str]:
    script = Path(__file__).with_name("writer_process.py")
    command = [sys.executable, str(script), str(path), str(turn)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(lines)]
        process.kill()
        # What was in the pipe already was acknowledged as well; the last line may be cut.
        said += [line for line in process.stdout if line.endswith("\n")]
    return said
