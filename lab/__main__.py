"""`python -m lab`: run messaging systems under every profile, and tell what was delivered.

    python -m lab list
    python -m lab run [PROFILE...] [--system NAME]... [--messages N] [--deadline SECONDS] [--short]
                      [--at-once N] [--seed N] [--json]
    python -m lab picture RESULTS.json PICTURE.svg

A profile may be a combination such as `sni-rst+curtain`; `none` blocks nothing. `run` needs root
and several Debian packages: everything happens in namespaces that vanish with it.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path

from rich.console import Console

from lab import batch, censor, enter, picture, report, scenario
from lab.censor import UnknownProfile
from lab.outcome import Outcome
from lab.systems.catalogue import SYSTEMS
from lab.systems.volok import Volok
from lab.world import WorldBroken

WIDTH = 156
"""Characters in a line of the table where the output is no terminal."""

progress = Console(stderr=True, highlight=False, soft_wrap=True)
results = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else WIDTH)


def main(arguments: Sequence[str]) -> int:
    """The command line; returns the exit code."""
    asked = _parser().parse_args(arguments)
    try:
        match asked.command:
            case "list":
                return _list()
            case "picture":
                return _picture(Path(asked.results), Path(asked.picture))
            case _:
                return _run(asked)
    except (UnknownProfile, enter.LabUnavailable, WorldBroken, report.NotResults, OSError) as error:
        progress.print(str(error), style="red", markup=False)
        return 2
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lab", description="Measure delivery under every known way of blocking."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="All profiles and systems.")
    run = commands.add_parser("run", help="Run systems under profiles.")
    run.add_argument("profiles", nargs="*", metavar="PROFILE", help="All by default.")
    run.add_argument("--system", action="append", choices=sorted(SYSTEMS), help="Volok by default.")
    run.add_argument("--messages", type=_count, metavar="N", help="Texts each way.")
    run.add_argument("--deadline", type=float, metavar="SECONDS", help="For each run.")
    run.add_argument("--short", action="store_true", help="Few texts, a small picture, 25 s.")
    run.add_argument(
        "--at-once", type=_count, default=1, metavar="N", help="Runs at once; too many are late."
    )
    run.add_argument("--seed", type=int, help="Draws the parameters; chosen and printed if absent.")
    run.add_argument("--json", action="store_true", help="Print the results as JSON.")
    draw = commands.add_parser("picture", help="Draw results printed by run --json.")
    draw.add_argument("results", metavar="RESULTS.json")
    draw.add_argument("picture", metavar="PICTURE.svg")
    return parser


def _count(text: str) -> int:
    if (value := int(text)) < 1:
        raise ValueError
    return value


def _list() -> int:
    for name in censor.names():
        results.print(f"[bold]{name}[/bold]  {censor.profile(name).summary}")
    results.print(f"\nTogether: {', '.join(scenario.COMBINATIONS)}")
    results.print(f"Systems: {', '.join(SYSTEMS)}")
    return 0


def _picture(source: Path, target: Path) -> int:
    target.write_text(picture.draw(report.load(source.read_text())))
    return 0


def _run(asked: argparse.Namespace) -> int:
    profiles = asked.profiles or scenario.everything()
    for name in profiles:
        scenario.members(name)
    systems = list(dict.fromkeys(asked.system or [Volok.name]))
    seed = asked.seed if asked.seed is not None else secrets.randbelow(2**31)
    jobs = [batch.Job(profile, system) for profile in profiles for system in systems]
    progress.print(f"Seed {seed}. The same seed draws the same parameters.", style="dim")
    outcomes = asyncio.run(_runs(jobs, batch.Plan(seed, _settings(asked)), asked.at_once))
    if asked.json:
        sys.stdout.write(report.dump(outcomes, seed) + "\n")
    else:
        results.print(report.table(outcomes))
    told = progress if asked.json else results
    for line in report.lines(outcomes, systems[0]):
        told.print(line, markup=False)
    own = [outcome for outcome in outcomes if outcome.system == systems[0]]
    return 0 if all(outcome.all_delivered for outcome in own) else 1


def _settings(asked: argparse.Namespace) -> scenario.Settings:
    settings = scenario.SHORT if asked.short else scenario.Settings()
    if asked.messages is not None:
        settings = replace(settings, texts=asked.messages)
    if asked.deadline is not None:
        settings = replace(settings, deadline=asked.deadline)
    return settings


async def _runs(jobs: Sequence[batch.Job], plan: batch.Plan, at_once: int) -> list[Outcome]:
    """All runs; each is told as it ends."""
    told = count(1)

    def tell(outcome: Outcome) -> None:
        progress.print(
            f"[{next(told)}/{len(jobs)}] {outcome.system}, {report.line(outcome)}", markup=False
        )

    return await batch.run(jobs, plan, at_once, tell)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
