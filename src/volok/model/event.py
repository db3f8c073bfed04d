"""Nostr events (NIP-01): their shape, canonical form, id and signature.

The rules of this file:

1. Ids, keys and signatures are lower-case hexadecimal text, as on the wire.
2. An `Event` is a value. `parse_event` takes an object that a JSON decoder gave and raises
   `InvalidEvent` for whatever is not exactly the shape of NIP-01; nothing else raises.
3. Shape is not truth: `verify_event` checks that the id is the hash and the signature holds.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from volok.model.crypto import Signer, Verifier

Tags = tuple[tuple[str, ...], ...]


class InvalidEvent(ValueError):
    """This is not a Nostr event."""


@dataclass(frozen=True, slots=True)
class Event:
    """A signed Nostr event (NIP-01)."""

    id: str
    pubkey: str
    created_at: int
    """Unix seconds."""
    kind: int
    tags: Tags
    content: str
    sig: str
    raw: bytes = field(default=b"", compare=False, repr=False)
    """Canonical JSON if it is known already; `to_json` gives it in any case."""

    def to_json(self) -> bytes:
        """The event as one compact JSON object, keys in the order of NIP-01."""
        raise NotImplementedError
