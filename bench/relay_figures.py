"""`python -m bench.relay_figures`: our relay beside others, in one run.

    --peer NAME=URL             also measure a relay that runs already
    --peer-command NAME=COMMAND also measure a relay started by this command, in which {folder}
                                and {port} are filled in
    --only PART,…               ingest, query, fanout, delay, idle
    --rounds N                  3 unless said otherwise, interleaved
    --quick                     small sizes, to see that it works; writes nothing
    --alone                     without the relays of PyPI
    --write                     write bench/relay_results.json and the table in bench/README.md

How everything is measured is told in bench/README.md.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import uvloop
from bench.__main__ import machine
from bench.relay_events import signed, verification_ceiling
from bench.relay_load import Stalled
from bench.relay_peers import NotStarted, Peer, at_url, by_command, from_pypi, ours
from bench.relay_rounds import PARTS, QUICK, Figures, Material, Sizes, measure
from bench.relay_table import Results, table, write_table
from bench.relay_wire import Refused

RESULTS = Path(__file__).with_name("relay_results.json")
_CEILING_EVENTS = 2_000


async def run(
    peers: Sequence[Peer], parts: Sequence[str], rounds: int, sizes: Sizes, folder: Path
) -> Results:
    """Measure all relays, round after round, one relay at a time."""
    results: Results = {
        "machine": machine(),
        "sizes": {name: getattr(sizes, name) for name in sizes.__dataclass_fields__},
        "ceiling": [],
        "relays": {peer.name: [] for peer in peers},
        "problems": [],
    }
    stored = signed(sizes.stored if "query" in parts else 0, 1, "stored")
    for_ceiling = signed(_CEILING_EVENTS, 1, "ceiling").events
    for number in range(rounds):
        results["ceiling"].append(verification_ceiling(for_ceiling))
        most = f"{results['ceiling'][-1]:,.0f}"
        print(f"round {number + 1}: signatures alone {most}", file=sys.stderr, flush=True)
        material = Material(sizes, parts, number, stored)
        found: dict[str, Figures] = {peer.name: {} for peer in peers}
        for part in parts:
            # Who comes first changes, so that nobody always finds the machine at its best.
            for peer in [*peers[number % len(peers) :], *peers[: number % len(peers)]]:
                try:
                    figures = await measure(peer, folder / peer.name, part, number, material)
                except (Stalled, NotStarted, Refused, OSError, TimeoutError) as error:
                    results["problems"].append(f"{peer.name}, {part}: {error or type(error)}")
                    continue
                found[peer.name] |= figures
                shown = ", ".join(f"{name} {value:,.1f}" for name, value in figures.items())
                print(f"round {number + 1}, {peer.name}: {shown}", file=sys.stderr, flush=True)
        for name, figures in found.items():
            results["relays"][name].append(figures)
    return results


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.relay_figures",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="%(prog)s [--peer NAME=URL] [--peer-command NAME=COMMAND] [options]",
    )
    parser.add_argument("--peer", type=at_url, action="append", default=[], help=argparse.SUPPRESS)
    parser.add_argument(
        "--peer-command", type=by_command, action="append", default=[], help=argparse.SUPPRESS
    )
    parser.add_argument("--only", default=",".join(PARTS), help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=3, help=argparse.SUPPRESS)
    for switch in ("--quick", "--alone", "--write"):
        parser.add_argument(switch, action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    asked = given.only.split(",")
    if unknown := set(asked) - set(PARTS):
        parser.error(f"There is no part {', '.join(sorted(unknown))}. Parts: {', '.join(PARTS)}.")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    others = [] if given.alone else from_pypi()
    peers = [ours(), *given.peer, *given.peer_command, *others]
    parts = [part for part in PARTS if part in asked]
    with tempfile.TemporaryDirectory(prefix="volok-bench-") as folder:
        sizes = QUICK if given.quick else Sizes()
        results = uvloop.run(run(peers, parts, given.rounds, sizes, Path(folder)))
    print(table(results))
    if given.write and not given.quick:
        RESULTS.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
        write_table(results)


if __name__ == "__main__":
    main()
