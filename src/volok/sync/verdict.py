"""What a relay means by its answer to an event. Pure."""

from __future__ import annotations

import re
from enum import Enum

from volok.sync.messages import Prefix, prefix_of


class Verdict(Enum):
    """What is to be done with an event after its OK."""

    TAKEN = "taken"
    SLOWER = "slower"
    """The relay is busy; send it again later, and the next ones more slowly."""
    LATER = "later"
    """Something went wrong at the relay; send it again later."""
    AUTH = "auth"
    """The relay wants to know a key first (NIP-42)."""
    REFUSED = "refused"
    """Sending it again is of no use."""


TOO_LARGE = "too-large"
"""The reason of a refusal because of size (see `volok.store.deliveries.MarkState`)."""

_SMALLEST_LIMIT = 1000
_SIZE = re.compile(r"too (large|big|long)|\bsize\b|\blength\b|\bcharacters\b|\bexceeds\b|oversize")
_WORD = re.compile("([a-z][a-z-]{0,30}):")
_SOFT = {
    Prefix.RATE_LIMITED.value: Verdict.SLOWER,
    Prefix.AUTH_REQUIRED.value: Verdict.AUTH,
}
_FINAL = frozenset(
    {
        Prefix.INVALID.value,
        Prefix.BLOCKED.value,
        Prefix.POW.value,
        Prefix.MUTE.value,
        Prefix.UNSUPPORTED.value,
        # Not of NIP-01, but nostr-relay and others say it.
        "rejected",
    }
)


def judge(accepted: bool, message: str, content: int) -> tuple[Verdict, str]:
    """The verdict and, for a refusal, its reason: the prefix of NIP-01, or `too-large`.

    `content` is the number of characters of the event's content: no relay refuses short ones for
    their size, whatever words its answer has.
    """
    text = message.strip().lower()
    prefix = prefix_of(text)
    if accepted or prefix == Prefix.DUPLICATE:
        return Verdict.TAKEN, ""
    if prefix in _SOFT:
        return _SOFT[prefix], ""
    if content > _SMALLEST_LIMIT and _SIZE.search(text):
        return Verdict.REFUSED, TOO_LARGE
    word = _WORD.match(text)
    if word and word[1] in _FINAL:
        return Verdict.REFUSED, word[1]
    return (Verdict.AUTH if prefix == Prefix.RESTRICTED else Verdict.LATER), ""
