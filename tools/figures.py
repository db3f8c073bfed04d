"""Rewrites the blocks of measured figures in the documents from bench/results.json.

`make bench` writes that file:

    {"machine": "2 cores, Debian 12, Python 3.11",
     "figures": [{"group": "conversation", "name": "Delivered, decrypted and stored",
                  "value": 312.4, "unit": "messages/s", "compare": "ceiling 840",
                  "command": "python -m bench conversation"}]}

`compare` may be left out. A block stands between `<!-- figures:start GROUP... -->` and
`<!-- figures:end -->` and shows the figures of the groups that it names, or all of them.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "bench" / "results.json"
BLOCK = re.compile(r"(<!-- figures:start((?: [a-z]+)*) -->\n).*?(<!-- figures:end -->)", re.DOTALL)
NOTHING = "Nothing is measured yet; `make bench` writes this table.\n"


def number(value: float) -> str:
    """A figure with at least three digits that mean something: 1,136, 24.1, 0.87."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def table(results: dict[str, Any], groups: set[str]) -> str:
    """The figures of the given groups (all when none is given) as a Markdown table."""
    rows = [
        f"| {figure['name']} | {number(figure['value'])} {figure['unit']} "
        f"| {figure.get('compare', '')} | `{figure['command']}` |"
        for figure in results["figures"]
        if not groups or figure["group"] in groups
    ]
    if not rows:
        return NOTHING
    head = ["| What | Measured | Beside it | Command |", "|---|---|---|---|"]
    return "\n".join([*head, *rows, "", f"Machine: {results['machine']}."]) + "\n"


def rewrite(text: str, results: dict[str, Any]) -> str:
    """The text with every block of figures written anew."""
    return BLOCK.sub(
        lambda block: block[1] + table(results, set(block[2].split())) + block[3], text
    )


def load() -> dict[str, Any]:
    """The measured results; empty where nothing was measured."""
    if not RESULTS.exists():
        return {"machine": "", "figures": []}
    results: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8"))
    return results


def documents() -> list[Path]:
    """The documents that hold such blocks."""
    paths = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [path for path in paths if BLOCK.search(path.read_text(encoding="utf-8"))]


if __name__ == "__main__":
    for document in documents():
        text = document.read_text(encoding="utf-8")
        document.write_text(rewrite(text, load()), encoding="utf-8")
