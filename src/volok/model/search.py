"""Search over public text (NIP-50): what is searched, and what it takes to be found.

1. A query is words; an event is found when each of them begins a word of its text. Case, accents
   and the order of words do not matter.
2. `key:value` in a query is an extension; none is known here, so all are ignored (NIP-50).
3. Only what anybody may read is searched: no sealed or encrypted kind, no ephemeral one, and none
   whose content is no text of a person.

Every backend finds by these rules, whatever index it keeps.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache

from volok.model.event import Event

MAX_QUERY = 1024
"""Characters in a query."""
MAX_WORDS = 32
"""Different words in a query."""

_WORD = re.compile(r"[^\W_]+")
_ASCII_WORD = re.compile("[0-9a-z]+")
_EXTENSION = re.compile(r"(?<!\S)[A-Za-z][A-Za-z0-9_-]*:\S+")
_TEXT_TAGS = ("title", "summary", "subject", "name", "description")

_NOT_SEARCHED = frozenset(
    (
        *(3, 5, 6, 7, 8, 16, 62),  # lists, requests, reposts, reactions, badges
        *(4, 13, 44, 444, 445, 1059, 1060),  # encrypted
        *(1018, 1040, 1984, 1985, 4550),  # votes, time stamps, reports, labels, approvals
        *(7374, 7375, 7376, 9321, 9734, 9735),  # money
        *(30_000, 30_001, 30_002, 30_003, 30_004, 30_005, 30_007, 30_078),  # sets, private data
    )
)


class InvalidQuery(ValueError):
    """This is too long for a search."""


def words(text: str) -> list[str]:
    """The words of a text in order, in the one form in which words are compared."""
    if text.isascii():  # the same, without the tables of Unicode
        return _ASCII_WORD.findall(text.lower())
    # Folding case can make characters that decompose once more.
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    marks = [ord(c) for c in set(folded) if unicodedata.category(c) == "Mn"]
    return _WORD.findall(folded.translate(dict.fromkeys(marks)) if marks else folded)


def parse_query(text: str) -> str:
    """The words of a query, each once, with a space between them; empty when it has none.

    Reading the result again gives the same. Raises InvalidQuery.
    """
    if len(text) > MAX_QUERY:
        raise InvalidQuery("The search is too long.")
    wanted = dict.fromkeys(words(_EXTENSION.sub(" ", text)))
    if len(wanted) > MAX_WORDS:
        raise InvalidQuery("The search has too many words.")
    return " ".join(wanted)


def is_searched(kind: int) -> bool:
    """Whether events of this kind can be found by a search."""
    return kind not in _NOT_SEARCHED and not 10_000 <= kind < 30_000


def searched_text(event: Event) -> str:
    """The text by which an event is found: its content, its title and the like."""
    named = [tag[1] for tag in event.tags if tag[0] in _TEXT_TAGS and len(tag) > 1]
    return "\n".join((*named, event.content)) if named else event.content


def is_found(query: str, event: Event) -> bool:
    """Whether an event is found by a query that `parse_query` gave."""
    return is_searched(event.kind) and _begin(query, _sorted_words(searched_text(event)))


def _begin(query: str, text: Sequence[str]) -> bool:
    end = len(text)
    for wanted in query.split():
        place = bisect_left(text, wanted)
        if place == end or not text[place].startswith(wanted):
            return False
    return True


# One event is held against many live searches, one after the other.
@lru_cache(maxsize=4)
def _sorted_words(text: str) -> tuple[str, ...]:
    return tuple(sorted(set(words(text))))
