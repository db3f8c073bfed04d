"""What an operator has banned and allowed while the relay runs (NIP-86). Pure: a value.

1. A banned key neither writes events nor uploads blobs. Once one key is allowed, only allowed keys
   do both.
2. Sealed events (NIP-59) are signed by throw-away keys, so for them an allowed addressee does as
   well as an allowed author; an allowed key that the connection has proved to hold always does.
3. A request to vanish (NIP-62) is taken from everybody.
4. A kind is taken unless it is disallowed, or others are allowed and it is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field, fields

from volok.model.event import Event
from volok.model.supersession import VANISH
from volok.relay.access import SEALED_KINDS, Refusal
from volok.sync.messages import Prefix

Reasons = Mapping[str, str]
"""Why something stands on a list; empty for no reason given."""


@dataclass(frozen=True, slots=True)
class Lists:
    """Public keys, event ids and hashes of blobs are 64 lower-case hexadecimal characters."""

    banned_pubkeys: Reasons = field(default_factory=dict)
    allowed_pubkeys: Reasons = field(default_factory=dict)
    banned_events: Reasons = field(default_factory=dict)
    reviewed_events: Reasons = field(default_factory=dict)
    """Reported events that a moderator has let stand."""
    banned_blobs: Reasons = field(default_factory=dict)
    allowed_kinds: frozenset[int] = frozenset()
    disallowed_kinds: frozenset[int] = frozenset()
    empty: bool = field(init=False, default=True)
    """Whether nothing at all is banned or allowed."""

    def __post_init__(self) -> None:
        """Look once whether there is anything, since each event asks."""
        given = any(getattr(self, one.name) for one in fields(self) if one.init)
        object.__setattr__(self, "empty", not given)

    @property
    def restricts_writing(self) -> bool:
        """Whether strangers, or some kinds, are kept from writing (NIP-11, `restricted_writes`)."""
        return bool(self.allowed_pubkeys or self.allowed_kinds)

    def refusal(self, event: Event, keys: Set[str]) -> Refusal | None:
        """Why this event is not taken from a connection that has proved to hold `keys`."""
        if self.empty or event.kind == VANISH:
            return None
        authors = keys | {event.pubkey}
        known = authors | set(event.values("p")) if event.kind in SEALED_KINDS else authors
        rules = (
            (not self.banned_pubkeys.keys().isdisjoint(authors), "this key may not write here"),
            (event.id in self.banned_events, "this event is not wanted here"),
            (not self._takes_kind(event.kind), "this kind of event is not taken here"),
        )
        for broken, reason in rules:
            if broken:
                return Refusal(Prefix.BLOCKED, reason)
        if self.allowed_pubkeys and self.allowed_pubkeys.keys().isdisjoint(known):
            return Refusal(Prefix.RESTRICTED, "only known keys write here")
        return None

    def upload_refusal(self, pubkey: str, blobs: Iterable[str]) -> str | None:
        """Why the owner of this key may not upload these blobs; a sentence for people."""
        if not self.banned_blobs.keys().isdisjoint(blobs):
            return "This blob is not wanted here."
        if pubkey in self.banned_pubkeys:
            return "This key may not upload here."
        if self.allowed_pubkeys and pubkey not in self.allowed_pubkeys:
            return "Only known keys upload here."
        return None

    def _takes_kind(self, kind: int) -> bool:
        allowed = not self.allowed_kinds or kind in self.allowed_kinds
        return allowed and kind not in self.disallowed_kinds
