"""What Linux says about a process: CPU time and memory (proc(5))."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def cpu_ms(pid: int, ended: bool = False) -> float:
    """Milliseconds of CPU, user and system, of all threads so far; with `ended`, of the children
    that have ended as well."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11 : 15 if ended else 13])) * 1000 / TICKS


def thread_seconds(pid: int) -> dict[str, tuple[float, float]]:
    """Seconds of CPU of each thread, in user space and in the kernel, by the thread's number."""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        fields = (task / "stat").read_text().rpartition(")")[2].split()
        found[task.name] = int(fields[11]) / TICKS, int(fields[12]) / TICKS
    return found


def family(pid: int) -> Iterator[int]:
    """A process and those that it started, and so on."""
    yield pid
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from family(int(child))


def memory_mb(pid: int) -> dict[str, float]:
    """Megabytes (10^6) in memory: `RSS`, and `PSS` with only a share of what processes share."""
    found = {}
    for name, file, field in (("RSS", "status", "VmRSS"), ("PSS", "smaps_rollup", "Pss")):
        try:
            text = Path(f"/proc/{pid}/{file}").read_text()
        except PermissionError:
            continue
        if match := re.search(rf"^{field}:\s+(\d+) kB$", text, re.MULTILINE):
            found[name] = int(match[1]) * 1024 / 1e6
    return found


def owns_port(pid: int, port: int) -> bool:
    """Whether a process has an IPv4 TCP socket with this local port."""
    inodes = {
        f"socket:[{row[9]}]"
        for row in map(str.split, Path("/proc/net/tcp").read_text().splitlines()[1:])
        if int(row[1].rpartition(":")[2], 16) == port
    }
    return any(_target(link) in inodes for link in Path(f"/proc/{pid}/fd").iterdir())


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return ""
