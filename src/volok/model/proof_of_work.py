"""Proof of work on events (NIP-13). Pure.

1. The difficulty of an event is the number of leading zero bits of its id.
2. The third item of its `nonce` tag commits to a target: who asked for less work and was lucky has
   done less work.
"""

from __future__ import annotations

import re

from volok.model.event import Event

MAX_DIFFICULTY = 256
"""Bits in an id."""

_TARGET = re.compile("[0-9]{1,3}")


def difficulty(event_id: str) -> int:
    """The leading zero bits of an id, 64 hexadecimal characters."""
    return MAX_DIFFICULTY - int(event_id, 16).bit_length()


def committed(event: Event) -> int | None:
    """The difficulty to which the first `nonce` tag commits; None when it does not."""
    for tag in event.tags:
        if tag[0] == "nonce":
            return int(tag[2]) if len(tag) > 2 and _TARGET.fullmatch(tag[2]) else None
    return None


def shortfall(event: Event, required: int) -> str | None:
    """Why the work of an event does not make `required` bits; None when it does."""
    if required <= 0:
        return None
    done = difficulty(event.id)
    if done < required:
        return f"difficulty {done} is less than {required}"
    target = committed(event)
    if target is None:
        return f"the nonce tag does not commit to a difficulty of {required}"
    if target < required:
        return f"the committed difficulty {target} is less than {required}"
    return None
