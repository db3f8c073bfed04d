"""The messages of reconciliation, both roles (NIP-77). Pure. `sync.messages` parses them.

The names of these subscriptions are apart from those of REQ. A frame is what `sync.negentropy`
makes and reads; messages carry it in hexadecimal.
"""

from __future__ import annotations

from dataclasses import dataclass

from volok.model.event import compact_json
from volok.model.filters import Filter


@dataclass(frozen=True, slots=True)
class NegOpen:
    """Client: let us reconcile what matches this filter; `frame` is the first."""

    subscription: str
    wanted: Filter
    frame: bytes

    def to_text(self) -> str:
        """The message as one text frame."""
        fields = self.subscription, self.wanted.to_object(), self.frame.hex()
        return compact_json(["NEG-OPEN", *fields])


@dataclass(frozen=True, slots=True)
class NegMessage:
    """Either side: the next frame of a reconciliation."""

    subscription: str
    frame: bytes

    def to_text(self) -> str:
        """The message as one text frame."""
        return compact_json(["NEG-MSG", self.subscription, self.frame.hex()])


@dataclass(frozen=True, slots=True)
class NegClose:
    """Client: that reconciliation is over."""

    subscription: str

    def to_text(self) -> str:
        """The message as one text frame."""
        return compact_json(["NEG-CLOSE", self.subscription])


@dataclass(frozen=True, slots=True)
class NegError:
    """Relay: that reconciliation has ended. The message begins with a word and a colon: one of
    `volok.sync.messages.Prefix`, or `closed`."""

    subscription: str
    message: str
    most: int | None = None
    """How many records may be reconciled at once, where there were too many."""

    def to_text(self) -> str:
        """The message as one text frame."""
        more = [] if self.most is None else [self.most]
        return compact_json(["NEG-ERR", self.subscription, self.message, *more])
