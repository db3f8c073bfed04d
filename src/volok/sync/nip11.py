"""What a relay says of itself (NIP-11). Pure."""

from __future__ import annotations

import json

from volok.sync.dialogue import Described

RECONCILIATION = 77
"""Number of the NIP by which a relay tells what it has without sending it."""

_ENVELOPE = 1024
"""Characters of an event message besides its content: ids, signature, tags."""


def parse_document(data: bytes, ahead: int = 0) -> Described:
    """Read a NIP-11 document. What is missing or makes no sense stays unknown; never raises.

    `ahead` is passed on: how many seconds the relay's clock is ahead of ours.
    """
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        document = None
    limits = document.get("limitation") if type(document) is dict else None
    if type(limits) is not dict:
        limits = {}
    content = _count(limits.get("max_content_length"))
    message = _count(limits.get("max_message_length"))
    if message is not None:
        longest = max(0, message - _ENVELOPE)
        content = longest if content is None else min(content, longest)
    nips = document.get("supported_nips") if type(document) is dict else None
    reconciles = type(nips) is list and RECONCILIATION in nips
    return Described(content, _count(limits.get("max_subscriptions")), ahead, reconciles)


def _count(value: object) -> int | None:
    return value if type(value) is int and 0 < value < 2**53 else None
