"""Whoever took a relay's disk: reads the files of the store, and guesses whose the inboxes are.

The guesser is given more than a real one has: each of its scorings is used in both directions, and
the best is picked by looking at the truth. So what it cannot do, nobody does by these means. The
permutation test picks the best anew for each shuffled truth, which makes up for that. What counts
is above all the pairs of which a scoring is surest: to link a few inboxes is a success.
"""

from __future__ import annotations

import math
import shutil
import struct
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, combinations
from pathlib import Path
from random import Random
from statistics import fmean
from typing import Any

import apsw
import orjson

from volok.model.supersession import DELETION, GIFT_WRAP
from volok.relay.export import EVENTS_FILE

PERMUTATIONS = 1000
_FRAME_HEADER = 24
_LOG_HEADER = 32

Score = Callable[["Trace", "Trace"], float]


@dataclass(frozen=True, slots=True)
class Row:
    """One event as it lies on the disk. `inbox`: its addressee, or who asks for a deletion."""

    number: int
    signer: str
    inbox: str
    kind: int
    created_at: int
    expires_at: int
    size: int


@dataclass
class Trace:
    """What the disk tells about one inbox; places count rows in the order of arrival."""

    rows: list[Row] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    requests: list[int] = field(default_factory=list)
    """Those of its requests to delete."""
    buried: list[int] = field(default_factory=list)
    """Of each event that it deleted: the place, in the history of the file, of the deletion."""


def read_disk(folder: Path) -> tuple[list[Row], dict[str, list[int]]]:
    """All events that any file of the store still holds, and when which inbox deleted how many.

    The log of SQLite holds earlier states of the file, one for each commit; all are read.
    """
    rows: dict[int, Row] = {}
    buried: dict[bytes, tuple[str, int]] = {}
    for moment, connection in enumerate(_states(folder)):
        for number, raw in connection.execute("SELECT number, raw FROM events"):
            rows[number] = _row(number, raw)
        for name, deleter in connection.execute("SELECT id, deleter FROM tombstones"):
            buried.setdefault(name, (deleter.hex(), moment))
        connection.close()
    deletions: dict[str, list[int]] = defaultdict(list)
    for deleter, moment in buried.values():
        deletions[deleter].append(moment)
    return [rows[number] for number in sorted(rows)], dict(deletions)


def _states(folder: Path) -> Iterable[apsw.Connection]:
    """The file after each commit that its write-ahead log still holds."""
    work = folder.parent / "forensics"
    work.mkdir(exist_ok=True)
    copy, log = work / EVENTS_FILE, work / (EVENTS_FILE + "-wal")
    held = folder / log.name
    history = held.read_bytes() if held.exists() else b""
    for end in _commits(history) or [0]:
        shutil.copy(folder / EVENTS_FILE, copy)
        log.write_bytes(history[:end])
        connection = apsw.Connection(str(copy))
        yield connection


def _commits(log: bytes) -> list[int]:
    """Where each transaction ends (https://sqlite.org/fileformat2.html#walformat)."""
    if len(log) < _LOG_HEADER:
        return []
    page, salt = struct.unpack_from(">I", log, 8)[0], log[16:24]
    frame = _FRAME_HEADER + page
    return [
        at + frame
        for at in range(_LOG_HEADER, len(log) - frame + 1, frame)
        if struct.unpack_from(">I", log, at + 4)[0] and log[at + 8 : at + 16] == salt
    ]


def kept(events: Iterable[Mapping[str, Any]]) -> list[Row]:
    """What would lie on the disk of a relay that keeps all that comes, whatever it is asked."""
    stored = {event["id"]: event for event in events if event["kind"] in (GIFT_WRAP, DELETION)}
    return [_row(number, orjson.dumps(event)) for number, event in enumerate(stored.values())]


def _row(number: int, raw: bytes) -> Row:
    event = orjson.loads(raw)
    tags = {tag[0]: tag[1] for tag in event["tags"]}
    return Row(
        number,
        event["pubkey"],
        tags.get("p", event["pubkey"]),
        event["kind"],
        event["created_at"],
        int(tags.get("expiration", 0)),
        len(raw),
    )


def traces(rows: Sequence[Row], buried: Mapping[str, list[int]]) -> dict[str, Trace]:
    """What is known of each inbox."""
    found: dict[str, Trace] = defaultdict(Trace)
    for place, row in enumerate(rows):
        found[row.inbox].rows.append(row)
        found[row.inbox].places.append(place)
        if row.kind == DELETION:
            found[row.inbox].requests.append(place)
    for inbox, moments in buried.items():
        found[inbox].buried = moments
    return dict(found)


def _near(width: float, values: Callable[[Trace], list[int]]) -> Score:
    """How often something of the one lies beside something of the other."""

    def score(one: Trace, other: Trace) -> float:
        left, right = values(one), values(other)
        if not left or not right:
            return 0.0
        total = sum(math.exp(-abs(a - b) / width) for a in left for b in right)
        return total / math.sqrt(len(left) * len(right))

    return score


def _alike(value: Callable[[Trace], float]) -> Score:
    return lambda one, other: -abs(value(one) - value(other))


def _times(kind: int) -> Callable[[Trace], list[int]]:
    return lambda trace: [row.created_at for row in trace.rows if row.kind == kind]


def _mean(value: Callable[[Row], float]) -> Callable[[Trace], float]:
    return lambda trace: fmean(map(value, trace.rows)) if trace.rows else 0.0


def _invited(one: Trace, other: Trace) -> float:
    """How close two inboxes that were written to once are: an invite, and the answer to it."""
    if len(one.places) != 1 or len(other.places) != 1:
        return 0.0
    return 1 / abs(one.places[0] - other.places[0])


def _shared_signers(one: Trace, other: Trace) -> float:
    return len({row.signer for row in one.rows} & {row.signer for row in other.rows})


SCORES: dict[str, Score] = {
    "an invite and the answer to it": _invited,
    "the same signer": _shared_signers,
    "neighbours in the log": _near(1.0, lambda trace: trace.places),
    "busy at the same time": _near(10.0, lambda trace: trace.places),
    "deletions beside each other": _near(1.0, lambda trace: trace.requests),
    "deletions of the same second": _near(1.0, _times(DELETION)),
    "deletions in neighbouring commits": _near(2.0, lambda trace: trace.buried),
    "envelopes dated alike": _near(600.0, _times(GIFT_WRAP)),
    "first seen together": _alike(lambda trace: min(trace.places, default=-1)),
    "last seen together": _alike(lambda trace: max(trace.places, default=-1)),
    "as much mail": _alike(lambda trace: len(trace.rows)),
    "as much deleted": _alike(lambda trace: len(trace.buried)),
    "as large": _alike(_mean(lambda row: row.size)),
    "as old": _alike(_mean(lambda row: row.created_at)),
    "kept as long": _alike(_mean(lambda row: row.expires_at - row.created_at)),
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """How well the guesser does."""

    scoring: str
    """The best one."""
    p: float
    """How often a shuffled truth fits as well (permutation test)."""
    rate: float
    """Of the pairs that it would name, as many as there are: the share that is right."""
    chance: float
    """The same share for blind guesses."""


def judge(found: Mapping[str, Trace], owners: Mapping[str, str], seed: int) -> Verdict:
    """Let the guesser loose. `owners`: who is behind each inbox."""
    inboxes = sorted(found.keys() & owners.keys())
    pairs = list(combinations(range(len(inboxes)), 2))
    sure: dict[str, list[int]] = {}
    for name, score in SCORES.items():
        values = [score(found[inboxes[a]], found[inboxes[b]]) for a, b in pairs]
        if len(set(values)) > 1:
            order = sorted(range(len(pairs)), key=values.__getitem__)
            sure["not " + name], sure[name] = order, order[::-1]
    truth, random = [owners[inbox] for inbox in inboxes], Random(seed)
    same = [truth[a] == truth[b] for a, b in pairs]
    fit, scoring = _best(sure, same)
    as_good = 1
    for _ in range(PERMUTATIONS):
        random.shuffle(shuffled := truth[:])
        as_good += _best(sure, [shuffled[a] == shuffled[b] for a, b in pairs])[0] >= fit
    named = sure[scoring][: sum(same)]
    return Verdict(
        scoring, as_good / (PERMUTATIONS + 1), fmean(same[at] for at in named), fmean(same)
    )


def _best(sure: Mapping[str, Sequence[int]], same: Sequence[bool]) -> tuple[float, str]:
    """How far the best scoring is above chance, and which it is.

    It may name few pairs, of which it is surest, or as many as there are.
    """
    total = sum(same)
    chance = total / len(same)
    fit, best = -math.inf, ""
    for name, order in sure.items():
        right = list(accumulate(same[at] for at in order[:total]))
        for count in (total // 8, total // 4, total // 2, total):
            expected = count * chance
            above = (right[count - 1] - expected) / math.sqrt(expected * (1 - chance))
            if above > fit:
                fit, best = above, name
    return fit, best
