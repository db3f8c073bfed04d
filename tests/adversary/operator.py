"""A relay's operator who logged every connection: links inboxes, and who talks with whom.

1. Keys that one connection proves to hold (NIP-42), or signs deletions with, are one node's.
2. A key that a connection proves and nothing else is where an invite lies: it is its writer's.
3. Whoever writes to an inbox talks with whoever reads it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import orjson
from tests.adversary.world import Frame

from volok.model.supersession import DELETION, GIFT_WRAP

Pair = frozenset[str]


@dataclass(frozen=True, slots=True)
class Rates:
    """What the operator is right about; shares from 0 to 1."""

    found: float
    """Of the pairs of keys that are one person's: linked."""
    right: float
    """Of the pairs that were linked: one person's."""
    conversations: float
    """Of the pairs of people who talk: known, by two connections that write to each other."""


def published(frames: Sequence[Frame]) -> Iterator[tuple[int, dict[str, Any]]]:
    """(connection, event) of everything that clients brought."""
    for frame in frames:
        message = orjson.loads(frame.text)
        if frame.incoming and message[0] in ("EVENT", "AUTH"):
            yield frame.connection, message[1]


def link(frames: Sequence[Frame], owners: Mapping[str, str]) -> Rates:
    """Do all of it, and compare with the truth: `owners`, who is behind each key."""
    proved: dict[int, set[str]] = defaultdict(set)
    written: list[tuple[int, str]] = []
    for connection, event in published(frames):
        if event["kind"] == GIFT_WRAP:
            written.append((connection, dict(event["tags"])["p"]))
        elif event["kind"] == DELETION or event["pubkey"] in owners:
            proved[connection].add(event["pubkey"])
    writers = {connection for connection, _ in written}
    readers = {key: one for one in writers for key in proved[one]}
    for connection, key in written:
        readers.setdefault(key, connection)
    linked = {frozenset(pair) for pair in combinations(owners, 2) if _together(readers, pair)}
    truth = {frozenset(pair) for pair in combinations(owners, 2) if _together(owners, pair)}
    return Rates(
        len(linked & truth) / len(truth),
        len(linked & truth) / max(1, len(linked)),
        _conversations(written, readers, owners),
    )


def _together(behind: Mapping[str, object], pair: Sequence[str]) -> bool:
    one, other = (behind.get(key) for key in pair)
    return one is not None and one == other


def _conversations(
    written: Sequence[tuple[int, str]], readers: Mapping[str, int], owners: Mapping[str, str]
) -> float:
    """People are told apart here by the first key that their connection read."""
    person = {connection: owners[key] for key, connection in readers.items() if key in owners}
    known = {
        frozenset((person[writer], person[readers[key]]))
        for writer, key in written
        if writer in person and readers[key] in person and writer != readers[key]
    }
    people = set(owners.values())
    return len(known & {frozenset(pair) for pair in combinations(people, 2)}) / max(
        1, len(people) * (len(people) - 1) // 2
    )
