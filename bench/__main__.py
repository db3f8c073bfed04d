"""`python -m bench [GROUP]... [--quick]`: measures, prints a table, writes bench/results.json.

What is measured, and how, is told in bench/README.md. A quick run takes fewer messages and rounds,
and leaves results.json as it is. Figures of groups that were not measured stay as they were.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import uvloop
from bench import linking
from bench.messages import TEXT, bytes_up, latency, percentile, throughput
from bench.startup import startup

RESULTS = Path(__file__).with_name("results.json")
RUNS = 5
Figure = dict[str, Any]


def figure(group: str, name: str, value: float, unit: str, compare: str = "") -> Figure:
    """One line of the results."""
    one: Figure = {"group": group, "name": name, "value": round(value, 3), "unit": unit}
    if compare:
        one["compare"] = compare
    return {**one, "command": f"python -m bench {group}"}


async def conversation(folder: Path, quick: bool) -> list[Figure]:
    """Throughput beside the ceiling, latency, bytes, CPU."""
    delays, light = await latency(folder / "latency", 50 if quick else 300, 5.0)
    count, runs = (500, 2) if quick else (2000, RUNS)
    rounds = await throughput(folder / "throughput", count, runs)
    wire = await bytes_up(folder / "wire", 20 if quick else 100, 5.0)
    pair = statistics.median(ceiling.pair for ceiling in rounds.ceilings)
    whole = statistics.median(ceiling.machine for ceiling in rounds.ceilings)
    full = {name: statistics.median(values) for name, values in rounds.cpu.items()}
    return [
        figure(
            "conversation",
            "Sealed, delivered, decrypted and stored",
            statistics.median(rounds.rates),
            "messages/s",
            f"cryptography alone: {pair:,.0f}; on every core: {whole:,.0f}",
        ),
        figure(
            "conversation",
            "Share of the cryptography-only ceiling of the pair",
            100 * rounds.share,
            "%",
            f"goal: at least 25; of the whole machine: {100 * rounds.share_of_machine:.1f}",
        ),
        figure(
            "conversation",
            "Delivery at 5 messages a second, median",
            statistics.median(delays),
            "ms",
            "goal: under 20",
        ),
        figure(
            "conversation",
            "Delivery at 5 messages a second, 99th percentile",
            percentile(delays, 0.99),
            "ms",
            "goal: under 100",
        ),
        figure("conversation", f"Bytes up for a text of {TEXT} bytes", wire["up"] / 1000, "KB up"),
        *(
            figure(
                "conversation",
                f"CPU per message, {name}",
                cost,
                "ms",
                f"{light[name]:.1f} at 5 messages a second" if name in light else "",
            )
            for name, cost in full.items()
        ),
    ]


async def node(folder: Path, quick: bool) -> list[Figure]:
    """Start and memory of one node."""
    passed, memory = await startup(folder / "startup", 2 if quick else RUNS, 2 if quick else 10)
    return [
        figure("node", "`volok up` to a usable page", statistics.median(passed), "s", "goal: 2"),
        *(
            figure("node", f"Memory of an idle node, {kind}", memory[kind], "MB", "goal: under 120")
            for kind in sorted(memory)
        ),
    ]


async def attacks(folder: Path, quick: bool) -> list[Figure]:
    """How well two adversaries link the inboxes of one person."""
    found = await linking.measure(folder, [1] if quick else [1, 2, 3])
    disk, forever, log = found["disk"], found["kept"], found["connections"]

    def rates(name: str, part: dict[str, Any]) -> Figure:
        chance = f"by chance {100 * part['by_chance']:.0f}; lowest p {part['lowest_p']:.2f}"
        return figure("attacks", name, 100 * part["right_of_linked"], "% of pairs right", chance)

    return [
        rates("Disk of our relay, seized", disk),
        rates("Disk of a relay that keeps everything", forever),
        figure(
            "attacks",
            "Operator who logs connections: inboxes linked",
            100 * log["linked_of_all"],
            "%",
            f"{100 * log['right_of_linked']:.0f} % of them right",
        ),
        figure(
            "attacks",
            "Operator who logs connections: conversations known",
            100 * log["conversations_known"],
            "%",
        ),
    ]


GROUPS: dict[str, Callable[[Path, bool], Awaitable[list[Figure]]]] = {
    "conversation": conversation,
    "node": node,
    "attacks": attacks,
}


def machine() -> str:
    """Where this was measured, in a few words; no name of the machine."""
    system = platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    cores = len(os.sched_getaffinity(0))
    return f"{cores} cores, {system}, Python {platform.python_version()}"


async def main(groups: list[str], quick: bool) -> None:
    """Measure these groups."""
    figures: list[Figure] = []
    for name in groups:
        with tempfile.TemporaryDirectory(prefix="volok-bench-") as folder:
            figures += await GROUPS[name](Path(folder), quick)
    for one in figures:
        print(f"{one['name']:50}{one['value']:>12,.2f} {one['unit']:11} {one.get('compare', '')}")
    if quick:
        return
    before = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"figures": []}
    kept = [one for one in before["figures"] if one["group"] not in groups]
    results = {"machine": machine(), "figures": [*figures, *kept]}
    RESULTS.write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=", ".join(GROUPS))
    parser.add_argument("--quick", action="store_true", help="fewer messages; writes nothing")
    arguments = parser.parse_args()
    if unknown := set(arguments.groups) - set(GROUPS):
        parser.error(f"There is no group {', '.join(unknown)}.")
    uvloop.run(main(arguments.groups or list(GROUPS), arguments.quick))
