"""What a reader remembers of the inboxes that share a subscription. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from volok.model.filters import Filter
from volok.sync.backlog import Backlog
from volok.sync.backoff import Backoff
from volok.sync.dialogue import Inbox, InboxKey


class Phase(Enum):
    """Where the inboxes of a subscription stand."""

    TURN = "turn"
    """Its turn has not come yet, on a short connection."""
    FIRST = "first"
    """Subscribed; what is stored is coming."""
    PAGES = "pages"
    """Reading on from there, page by page."""
    LIVE = "live"
    KEYS = "keys"
    """The relay wants keys and is judging them, or has sent no challenge yet."""
    PAUSE = "pause"
    """The relay closed the subscription; we ask again later."""


@dataclass(slots=True)
class Group:
    """Inboxes that share a subscription."""

    name: str
    inboxes: dict[str, Inbox]
    backlog: Backlog
    retry: Backoff
    phase: Phase = Phase.FIRST
    began: int = 0
    deadline: float | None = None
    filters: dict[str, tuple[Filter, ...]] = field(default_factory=dict)
    """Open subscriptions of this group, by name."""
    got_some: bool = False
    resumed: bool = False
    unasked: bool = False
    """Whether its keys are to be shown before anything was asked."""

    @property
    def page(self) -> str:
        """The name of the subscription that reads page by page."""
        return f"{self.name}p"

    @property
    def keys(self) -> list[InboxKey]:
        """The keys of the inboxes."""
        return [inbox.key for inbox in self.inboxes.values()]
