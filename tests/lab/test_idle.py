"""What an idle hour costs, reckoned from what was counted."""

from __future__ import annotations

import os
import subprocess
import sys

from lab.idle import Cost, Counters, table, ways, work_of
from rich.console import Console


def test_counts_become_an_hour() -> None:
    before = Counters(received=100, sent=50, packets=10, wake_ups=7, cpu=1.0)
    after = Counters(received=1100, sent=250, packets=30, wake_ups=17, cpu=1.5)
    cost = after.since(before, "folder", 360.0)
    assert cost == Cost("folder", 2000.0, 10_000.0, 200.0, 100.0, 5.0)


def test_the_table_has_a_row_for_each_way() -> None:
    console = Console(width=100, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    console.print(table([Cost("folder", 2000.0, 10_000.0, 200.0, 1234.0, 5.0)]))
    text = console.export_text()
    assert "folder" in text
    assert "1,234" in text


def test_ways_have_names_of_their_own() -> None:
    names = [way.name for way in ways()]
    assert len(set(names)) == len(names)


def test_wake_ups_of_a_session() -> None:
    code = "import time; [time.sleep(0.001) for _ in range(50)]; print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        wake_ups, _ = work_of(process.pid)
        process.communicate(b"\n")
    assert wake_ups >= 50
    assert work_of(process.pid) == (0, 0.0)
