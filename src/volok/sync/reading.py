"""What a reader remembers of the inboxes that share a subscription. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from volok.model.filters import Filter
from volok.model.supersession import GIFT_WRAP
from volok.sync.backlog import Backlog, Progress
from volok.sync.backoff import Backoff
from volok.sync.dialogue import Inbox, InboxKey
from volok.sync.held import Held, Reconciliation
from volok.sync.messages import Req


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
    RECONCILING = "reconciling"
    """Finding out what the relay has that it has not given us, then fetching that."""
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

    reconciliation: Reconciliation | None = None
    """In place of reading page by page, where the relay offers it."""

    @property
    def apart(self) -> str:
        """The name of its reconciliation."""
        return f"{self.name}n"

    @property
    def page(self) -> str:
        """The name of the subscription that reads page by page."""
        return f"{self.name}p"

    def set_out(self, now: int, overlap: int, known: Progress | None) -> None:
        """Begin to read, `overlap` seconds before the cursors; or go on where `known` ends."""
        # A clock that was ahead when the cursor was written must not hide what came since.
        since = {name: max(0, min(box.cursor, now) - overlap) for name, box in self.inboxes.items()}
        self.phase, self.began, self.got_some = Phase.FIRST, now, False
        self.reconciliation = None
        self.resumed = known is not None and known.covers(self.inboxes)
        if known is not None and self.resumed:
            self.began = known.began
        self.backlog = Backlog(since, known if self.resumed else None)

    def reconcile(self, held: Held, least: int) -> None:
        """Ask what there is besides what is `held`, if that is `least` events or more."""
        since = min((first for first, _ in self.backlog.pages.values()), default=0)
        stamps = held.stamps(self.inboxes, since) if held.reconciles and since else set[bytes]()
        if stamps and len(stamps) >= least:
            self.resumed = True
            inboxes = {"p": frozenset(self.inboxes)}
            wanted = Filter(kinds=frozenset((GIFT_WRAP,)), since=since, tags=inboxes)
            self.reconciliation = Reconciliation(self.apart, self.page, wanted, stamps)

    def move(self, until: int) -> None:
        """These inboxes were read in full up to this Unix time."""
        for name, box in self.inboxes.items():
            self.inboxes[name] = Inbox(box.key, max(box.cursor, until))

    def ask(self, subscription: str, page: int) -> str:
        """The request for what is to be read next, `page` events of each inbox."""
        pages, limit = self.backlog.pages, page
        if self.resumed and subscription == self.name:
            pages, limit = dict.fromkeys(self.inboxes, (0, None)), 1
        self.filters[subscription] = tuple(
            Filter(
                kinds=frozenset((GIFT_WRAP,)),
                since=since or None,
                until=until,
                limit=limit,
                tags={"p": frozenset((name,))},
            )
            for name, (since, until) in pages.items()
        )
        return Req(subscription, self.filters[subscription]).to_text()

    @property
    def keys(self) -> list[InboxKey]:
        """The keys of the inboxes."""
        return [inbox.key for inbox in self.inboxes.values()]
