"""The figures of relays as tables: medians of the rounds, the least and the most, ratios."""

from __future__ import annotations

import re
import statistics
from pathlib import Path
from typing import TypedDict

README = Path(__file__).with_name("README.md")
_BLOCK = re.compile(r"(<!-- relays:start -->\n).*?(<!-- relays:end -->)", re.DOTALL)
_OURS = "volok"


class Results(TypedDict):
    """What one run found: a figure by name, for each round of each relay."""

    machine: str
    sizes: dict[str, float]
    ceiling: list[float]
    """Signatures checked per second, once in each round."""
    relays: dict[str, list[dict[str, float]]]
    problems: list[str]
    """What could not be measured, and why."""


NAMES = {
    "ingest_many": "Stored durably, 16 connections (events/s)",
    "ingest_one": "Stored durably, one connection (events/s)",
    "query": "Stored events sent (events/s)",
    "fanout": "Fan-out to 100 subscribers (deliveries/s)",
    "delay_median": "Publish to delivery at 100/s, median (ms)",
    "delay_99": "Publish to delivery at 100/s, 99th percentile (ms)",
    "delay_busy_median": "The same under full ingest, median (ms)",
    "delay_busy_99": "The same under full ingest, 99th percentile (ms)",
    "idle_connections": "Idle connections taken",
    "idle_pss": "Memory with them, PSS (MiB)",
    "idle_rss": "Memory with them, RSS (MiB)",
    "disk": "Disk per event (bytes)",
}
"""The figures in their order, as people read them."""


def median_and_range(values: list[float]) -> str:
    """`12,300 (11,900–12,800)`; `—` for nothing."""
    if not values:
        return "—"
    middle = _number(statistics.median(values))
    return f"{middle} ({_number(min(values))}–{_number(max(values))})"


def ratio(results: Results, name: str, other: str) -> str:
    """Our figure divided by another relay's, the median of the rounds' own ratios."""
    pairs = zip(results["relays"][_OURS], results["relays"][other], strict=True)
    found = [a[name] / b[name] for a, b in pairs if name in a and b.get(name)]
    return f"{statistics.median(found):.2f}" if found else "—"


def table(results: Results) -> str:
    """Both tables in Markdown."""
    relays = list(results["relays"])
    others = [name for name in relays if name != _OURS]
    rows = [
        [text, *(_cell(results, relay, name) for relay in relays)]
        for name, text in NAMES.items()
        if any(name in figures for rounds in results["relays"].values() for figures in rounds)
    ]
    ceiling = median_and_range(results["ceiling"])
    lines = [*_markdown(["Figure", *relays], rows), ""]
    if others:
        ratios = [
            [text, *(ratio(results, name, other) for other in others)]
            for name, text in NAMES.items()
            if name != "idle_connections"
        ]
        head = ["Ours divided by theirs", *others]
        lines += [*_markdown(head, [row for row in ratios if set(row[1:]) != {"—"}]), ""]
    lines.append(f"Signatures alone, on every core: {ceiling} a second. {_share(results)}".rstrip())
    lines += [f"Not measured: {problem}." for problem in dict.fromkeys(results["problems"])]
    rounds = max(map(len, results["relays"].values()))
    lines.append(f"Machine: {results['machine']}; rounds: {rounds}.")
    return "\n".join(lines) + "\n"


def write_table(results: Results) -> None:
    """Write the tables into bench/README.md, between its marks."""
    text = README.read_text(encoding="utf-8")
    new = _BLOCK.sub(lambda block: f"{block[1]}{table(results)}{block[2]}", text)
    README.write_text(new, encoding="utf-8")


def _cell(results: Results, relay: str, name: str) -> str:
    return median_and_range([one[name] for one in results["relays"][relay] if name in one])


def _share(results: Results) -> str:
    rounds = zip(results["relays"].get(_OURS, []), results["ceiling"], strict=False)
    shares = [one["ingest_many"] / most for one, most in rounds if "ingest_many" in one]
    return f"Ours stores at {statistics.median(shares):.0%} of that rate." if shares else ""


def _markdown(head: list[str], rows: list[list[str]]) -> list[str]:
    ruler = "|" + "|".join(["---"] + ["---:"] * (len(head) - 1)) + "|"
    return [f"| {' | '.join(head)} |", ruler, *(f"| {' | '.join(row)} |" for row in rows)]


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
