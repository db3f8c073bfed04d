"""The results as one picture: profiles by systems, as SVG without any script or font of its own.

It is as wide as a phone, follows the reader's light or dark theme, says everything in text as well
as in colour, and has a title and a description for those who hear it.
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape

from lab.outcome import Outcome
from lab.report import NOTHING, UNHARMED, seconds

NAMES = 172
"""Width of the column of profiles, in pixels."""
CELL = 108
"""Width of the column of a system."""
ROW = 34
HEAD = 44
FOOT = 58
NOTE = 18
"""Height of the line below it, where there is one."""
GAP = 2

STYLE = """
  :root { --ink: #1b1f24; --soft: #57606a; --paper: #ffffff;
          --all: #b8e6c1; --some: #fbe3a1; --none: #f6c1bc; --blank: #eceff2; }
  @media (prefers-color-scheme: dark) {
    :root { --ink: #f0f3f6; --soft: #a8b1bb; --paper: #0d1117;
            --all: #1f5a31; --some: #6b5207; --none: #7d2a25; --blank: #262c34; } }
  text { font: 13px system-ui, sans-serif; fill: var(--ink); }
  .head { font-weight: 600; }
  .soft { fill: var(--soft); font-size: 11px; }
  .middle { text-anchor: middle; }
  .paper { fill: var(--paper); }
  .all { fill: var(--all); } .some { fill: var(--some); }
  .none { fill: var(--none); } .blank { fill: var(--blank); }
"""


def draw(outcomes: Sequence[Outcome]) -> str:
    """The picture. Profiles and systems keep the order in which they first occur."""
    profiles = list(dict.fromkeys(outcome.profile for outcome in outcomes))
    systems = list(dict.fromkeys(outcome.system for outcome in outcomes))
    found = {(outcome.profile, outcome.system): outcome for outcome in outcomes}
    width = NAMES + CELL * max(1, len(systems)) + 8
    unharmed = any(outcome.unharmed for outcome in outcomes)
    height = HEAD + ROW * len(profiles) + FOOT + (NOTE if unharmed else 0)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}"'
        f' height="{height}" role="img" aria-labelledby="title description">',
        '<title id="title">Messages delivered under each way of blocking</title>',
        f'<desc id="description">{escape(_description(profiles, systems, found))}</desc>',
        f"<style>{STYLE}</style>",
        f'<rect class="paper" width="{width}" height="{height}"/>',
    ]
    for column, system in enumerate(systems):
        middle = NAMES + CELL * column + CELL // 2
        parts.append(f'<text class="head middle" x="{middle}" y="26">{escape(system)}</text>')
    for row, profile in enumerate(profiles):
        top = HEAD + ROW * row
        name = f'<text x="8" y="{top + 21}"{_fitted(profile)}>{escape(profile)}</text>'
        parts.append(name)
        for column, system in enumerate(systems):
            parts += _cell(found.get((profile, system)), NAMES + CELL * column, top)
    parts += _legend(HEAD + ROW * len(profiles), unharmed)
    return "\n".join([*parts, "</svg>", ""])


def _fitted(name: str) -> str:
    """Long names are drawn narrower instead of running into the cells."""
    return f' textLength="{NAMES - 16}" lengthAdjust="spacingAndGlyphs"' if len(name) > 22 else ""


def _cell(outcome: Outcome | None, left: int, top: int) -> list[str]:
    share, wait = words(outcome)
    middle = left + CELL // 2
    box = f'x="{left + GAP}" y="{top + GAP}" width="{CELL - 2 * GAP}" height="{ROW - 2 * GAP}"'
    return [
        f'<rect class="{_class(outcome)}" {box} rx="4"/>',
        f'<text class="middle" x="{middle}" y="{top + 16}">{share}</text>',
        f'<text class="middle soft" x="{middle}" y="{top + 28}">{wait}</text>',
    ]


def _class(outcome: Outcome | None) -> str:
    if outcome is None:
        return "blank"
    if outcome.all_delivered:
        return "all"
    return "some" if outcome.measured.delivered else "none"


def words(outcome: Outcome | None) -> tuple[str, str]:
    """The share delivered, rounded down so that only everything is 100%, and the median time."""
    if outcome is None:
        return NOTHING, "not run"
    measured = outcome.measured
    if not measured.sent:
        return NOTHING, "not set up"
    share = f"{100 * measured.delivered // measured.sent}%"
    if outcome.picture == "lost":
        share += ", no picture"
    if outcome.unharmed:
        share += "*"
    return share, seconds(measured.median)


def _description(
    profiles: Sequence[str], systems: Sequence[str], found: dict[tuple[str, str], Outcome]
) -> str:
    """The whole picture in words."""
    rows = []
    for profile in profiles:
        cells = (f"{name} {' '.join(words(found.get((profile, name))))}" for name in systems)
        rows.append(f"{profile}: {', '.join(cells)}.")
    return "Share of the texts delivered and median time to delivery. " + " ".join(rows)


def _legend(top: int, unharmed: bool) -> list[str]:
    entries = (("all", "everything, once, in order"), ("some", "a part"), ("none", "nothing"))
    parts, left = [], 8
    for kind, words in entries:
        parts.append(
            f'<rect class="{kind}" x="{left}" y="{top + 10}" width="12" height="12" rx="2"/>'
        )
        parts.append(f'<text class="soft" x="{left + 17}" y="{top + 20}">{words}</text>')
        left += 34 + 6 * len(words)
    parts.append(
        f'<text class="soft" x="8" y="{top + 42}">share of texts, median time to delivery</text>'
    )
    if unharmed:
        parts.append(f'<text class="soft" x="8" y="{top + 42 + NOTE}">{UNHARMED}</text>')
    return parts
