"""`python -m bench.relay_cpu`: where our relay's processor time goes while events are published.

Microseconds per event of each thread of each of its processes, in user space and in the kernel, and
of what publishes; how many of the processors were busy.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import uvloop
from bench.proc import family, thread_seconds
from bench.relay_events import signed
from bench.relay_load import ingest
from bench.relay_peers import ours, running
from bench.relay_rounds import CONNECTIONS, frames

_EVENTS = 60_000
_SECONDS = 8.0
_LEAST = 0.5
"""Microseconds per event below which a thread is not named."""

Threads = dict[tuple[str, str], tuple[float, float]]
"""The CPU seconds of threads, by the role of their process and their number."""


def _threads(pid: int) -> Threads:
    return {
        (_role(member), number): used
        for member in family(pid)
        for number, used in thread_seconds(member).items()
    }


def _role(pid: int) -> str:
    line = Path(f"/proc/{pid}/cmdline").read_bytes()
    if b"sqlite_process_main" in line:
        return "store"
    return "signatures" if b"verify_process" in line else "connections"


async def measure(folder: Path) -> None:
    """Publish on 16 connections and print the table."""
    batch = frames(signed(_EVENTS, 1, "cpu"))
    async with running(ours(), folder) as relay:
        assert relay.pid is not None
        before, own = _threads(relay.pid), time.process_time()
        rate = await ingest(relay.url, batch, CONNECTIONS, _SECONDS)
        after, own = _threads(relay.pid), time.process_time() - own
    print(f"{rate.per_second:,.0f} events a second; microseconds of CPU for each:")
    whole = own
    for key, (user, kernel) in sorted(after.items()):
        before_user, before_kernel = before.get(key, (0.0, 0.0))
        spent = user - before_user, kernel - before_kernel
        whole += sum(spent)
        each = [1e6 * seconds / rate.done for seconds in spent]
        if sum(each) >= _LEAST:
            print(f"{key[0]:12} {each[0]:5.1f} user {each[1]:5.1f} kernel")
    print(f"{'publisher':12} {1e6 * own / rate.done:5.1f}")
    print(f"{'all':12} {1e6 * whole / rate.done:5.1f}, {whole / rate.seconds:.2f} processors busy")


def main() -> None:
    """The command line."""
    with tempfile.TemporaryDirectory(prefix="volok-bench-") as folder:
        uvloop.run(measure(Path(folder) / "relay"))


if __name__ == "__main__":
    main()
