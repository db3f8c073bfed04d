"""Rewrites the table of all systems in the README, and its picture, from lab/results.json.

That file is what `python -m lab run --system ... --json` prints; lab/README.md has the command. The
table stands between `<!-- lab:start -->` and `<!-- lab:end -->`; the picture is docs/img/lab.svg.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from lab.outcome import Outcome  # noqa: E402

from lab import picture, report  # noqa: E402 (the lab is not installed)

RESULTS = ROOT / "lab" / "results.json"
PICTURE = ROOT / "docs" / "img" / "lab.svg"
README = ROOT / "README.md"
BLOCK = re.compile(r"(<!-- lab:start -->\n).*?(<!-- lab:end -->)", re.DOTALL)


def cell(outcome: Outcome | None) -> str:
    """What one system delivered under one profile."""
    if outcome is None:
        return "not run"
    share, wait = (words.replace("*", r"\*") for words in picture.words(outcome))
    return f"**{share}**, {wait}" if outcome.all_delivered else f"{share}, {wait}"


def table(outcomes: Sequence[Outcome]) -> str:
    """Profiles by systems, as Markdown."""
    profiles = list(dict.fromkeys(outcome.profile for outcome in outcomes))
    systems = list(dict.fromkeys(outcome.system for outcome in outcomes))
    found = {(outcome.profile, outcome.system): outcome for outcome in outcomes}
    rows = [
        " | ".join([f"| `{profile}`", *(cell(found.get((profile, name))) for name in systems)])
        + " |"
        for profile in profiles
    ]
    head = [f"| Profile | {' | '.join(systems)} |", "|---" * (len(systems) + 1) + "|"]
    marked = any(outcome.unharmed for outcome in outcomes)
    note = ["", report.UNHARMED.replace("*", r"\*")] if marked else []
    return "\n".join([*head, *rows, *note]) + "\n"


def rewrite(text: str, outcomes: Sequence[Outcome]) -> str:
    """The text with the table written anew."""
    return BLOCK.sub(lambda block: block[1] + table(outcomes) + block[2], text)


def load() -> list[Outcome]:
    """The outcomes of the runs that were kept; none where there were none."""
    if not RESULTS.exists():
        return []
    return report.load(RESULTS.read_text(encoding="utf-8"))


if __name__ == "__main__":
    if not (kept := load()):
        sys.exit()
    README.write_text(rewrite(README.read_text(encoding="utf-8"), kept), encoding="utf-8")
    PICTURE.write_text(picture.draw(kept), encoding="utf-8")
