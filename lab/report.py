"""What a person reads after a run: a table, a line for each profile, and the total."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from rich.table import Table

from lab.outcome import Outcome

NOTHING = "-"
"""Where there is nothing to say."""
UNHARMED = "* This system uses no relay, so nothing of its own was taken from it."
"""What the mark at a system under a profile that takes relays means."""


class NotResults(ValueError):
    """This file does not hold the results of a run, as `python -m lab run --json` prints them."""


def dump(outcomes: Sequence[Outcome], seed: int) -> str:
    """The JSON document of a run."""
    document = {"seed": seed, "outcomes": [outcome.to_json() for outcome in outcomes]}
    return json.dumps(document, indent=2, ensure_ascii=False)


def load(text: str) -> list[Outcome]:
    """The outcomes in a document of `dump`. Raises NotResults."""
    try:
        return [Outcome.from_json(value) for value in json.loads(text)["outcomes"]]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise NotResults(NotResults.__doc__) from error


def table(outcomes: Iterable[Outcome]) -> Table:
    """All outcomes, a row each."""
    made = Table(title="Delivery by profile and system", title_justify="left")
    rows = list(outcomes)
    made.caption = (
        "First: from the block to the first delivery, of the two directions the slower. After: "
        "median from sending to delivery of what was sent after the block. Path: what carried at "
        "the end, drops with the events that came by them. Seen: foreign addresses, names, "
        "fingerprints of ClientHellos."
    )
    if any(outcome.unharmed for outcome in rows):
        made.caption += f" {UNHARMED}"
    for heading in ("Profile", "System"):
        made.add_column(heading, overflow="fold")
    for heading in ("Texts", "Twice", "Order", "Median", "Worst", "First", "After", "Picture"):
        made.add_column(heading, justify="right", no_wrap=True)
    made.add_column("Path", overflow="fold")
    for heading in ("Out", "In", "Seen"):
        made.add_column(heading, justify="right", no_wrap=True)
    for outcome in rows:
        made.add_row(*_cells(outcome), style="" if outcome.all_delivered else "yellow")
    return made


def _cells(outcome: Outcome) -> tuple[str, ...]:
    measured, seen = outcome.measured, outcome.seen
    return (
        outcome.profile,
        outcome.system + ("*" if outcome.unharmed else ""),
        f"{measured.delivered}/{measured.sent}",
        str(measured.twice),
        f"{measured.misplaced} late" if measured.misplaced else "kept",
        seconds(measured.median),
        seconds(measured.worst),
        seconds(measured.first_after),
        seconds(measured.median_after),
        outcome.picture if outcome.picture_seconds is None else seconds(outcome.picture_seconds),
        ", ".join(outcome.paths) or NOTHING,
        size(seen.bytes_out),
        size(seen.bytes_in),
        f"{len(seen.addresses)}, {len(seen.names)}, {len(seen.fingerprints)}",
    )


def line(outcome: Outcome) -> str:
    """One profile in a sentence."""
    measured = outcome.measured
    texts = f"{measured.delivered} of {measured.sent} texts"
    if outcome.problem is not None:
        return f"{outcome.profile}: {texts}. {outcome.problem}"
    if outcome.all_delivered:
        said = f"all delivered ({texts}"
        said += ", picture)" if outcome.picture == "delivered" else ")"
    else:
        said = f"{texts} delivered{_faults(outcome)}"
    return (
        f"{outcome.profile}: {said}, median {seconds(measured.median)}, "
        f"worst {seconds(measured.worst)}; after the block: first {seconds(measured.first_after)}, "
        f"median {seconds(measured.median_after)}"
    )


def _faults(outcome: Outcome) -> str:
    measured = outcome.measured
    counted = (
        (measured.twice, "twice"),
        (measured.misplaced, "out of order"),
        (measured.strange, "never sent"),
    )
    faults = [f"{number} {what}" for number, what in counted if number]
    if outcome.picture == "lost":
        faults.append("picture lost")
    return f" ({', '.join(faults)})" if faults else ""


def lines(outcomes: Sequence[Outcome], system: str) -> list[str]:
    """A line for each profile that a system was run under, and the total."""
    own = [outcome for outcome in outcomes if outcome.system == system]
    good = sum(outcome.all_delivered for outcome in own)
    return [*map(line, own), f"{good} of {len(own)} profiles: all delivered"]


def seconds(value: float | None) -> str:
    """A duration, as short as it is useful."""
    if value is None:
        return NOTHING
    return f"{value:.2f} s" if value < 10 else f"{value:.0f} s"


def size(octets: int) -> str:
    """A number of bytes, as short as it is useful."""
    if octets < 1000:
        return f"{octets} B"
    if octets < 1_000_000:
        return f"{octets / 1000:.0f} kB"
    return f"{octets / 1_000_000:.1f} MB"
