"""What adversaries at a relay learn about people, in figures: `python -m bench.linking [SEED...]`.

Four people talk for 200 messages; then the relay's disk is read, and the log of all connections.
Prints one JSON object: for each adversary the share of its guesses "these two keys are one
person's" that is right, beside the share of blind guesses. `kept` is the disk of a relay that
never deletes. p is from the permutation test (see tests/adversary/disk.py).
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from tests.adversary.disk import Verdict, judge, kept, read_disk, traces
from tests.adversary.operator import link, published
from tests.adversary.world import four_people

MESSAGES = 200
PAUSE = 0.1
"""Seconds that people think at most before they answer."""


async def measure(folder: Path, seeds: Sequence[int]) -> dict[str, Any]:
    """All figures: one run in `folder` for each seed, shares averaged, the lowest p."""
    disks, forevers, logs = [], [], []
    for seed in seeds:
        evidence = await four_people(folder / str(seed), MESSAGES, seed, PAUSE)
        disk = await asyncio.to_thread(read_disk, evidence.folder)
        disks.append(judge(traces(*disk), evidence.owners, seed))
        events = [event for _, event in published(evidence.log.frames)]
        forevers.append(judge(traces(kept(events), {}), evidence.owners, seed))
        logs.append(link(evidence.log.frames, evidence.owners))
    return {
        "people": 4,
        "messages": MESSAGES,
        "runs": len(seeds),
        "disk": _summary(disks),
        "kept": _summary(forevers),
        "connections": {
            "linked_of_all": fmean(rates.found for rates in logs),
            "right_of_linked": fmean(rates.right for rates in logs),
            "conversations_known": fmean(rates.conversations for rates in logs),
        },
    }


def _summary(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    return {
        "right_of_linked": round(fmean(one.rate for one in verdicts), 3),
        "by_chance": round(fmean(one.chance for one in verdicts), 3),
        "lowest_p": round(min(one.p for one in verdicts), 4),
        "best_scorings": [one.scoring for one in verdicts],
    }


async def main(seeds: Sequence[int]) -> None:
    """Measure in a folder that is removed afterwards, and print."""
    with tempfile.TemporaryDirectory(prefix="volok-bench-") as folder:
        print(json.dumps(await measure(Path(folder), seeds)))


if __name__ == "__main__":
    asyncio.run(main([int(seed) for seed in sys.argv[1:]] or [1, 2, 3]))
