"""The order of what a search finds (NIP-50): what backends that rank by themselves agree with."""

from __future__ import annotations

from collections.abc import Iterable

from volok.model.event import Event
from volok.model.search import searched_text, words
from volok.store.store import Entry

CANDIDATES = 1000
"""How many events that have all words are compared with each other: the latest."""


def relevance(query: str, event: Event) -> float:
    """How well an event answers a query (`Filter.search`): how much of its text the words are.

    0 when one of them is missing.
    """
    text = words(searched_text(event))
    counts = [sum(word.startswith(asked) for word in text) for asked in query.split()]
    # A text of few words is not the better for that alone.
    return sum(counts) / (len(text) + 20) if counts and all(counts) else 0.0


def ranked(query: str, entries: Iterable[Entry]) -> list[Entry]:
    """The entries, the best first; of equally good ones the newest, then by id."""

    def rank(entry: Entry) -> tuple[float, int, str]:
        event = entry.event
        return -relevance(query, event), -event.created_at, event.id

    return sorted(entries, key=rank)
