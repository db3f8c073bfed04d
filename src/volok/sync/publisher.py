"""Publishing to one relay: a window of events in flight, pauses, refusals. Pure.

1. An event is in the queue or in flight until the relay has taken or refused it. The queue keeps
   the order of the delivery log; an event that the relay fails on again and again goes to its end.
2. A relay that asks us to slow down gets single events after growing pauses; each that it takes
   widens the window again.
3. An OK without an id (nostr-relay refuses so) is about the oldest event in flight. Such a relay
   delays everything that follows on the connection, so a new one is made.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass

from volok.store.deliveries import Mark, MarkState, RelayFacts
from volok.sync.dialogue import (
    Disconnect,
    Moment,
    Outbound,
    Output,
    Record,
    Send,
    SetFacts,
)
from volok.sync.settings import SyncSettings
from volok.sync.verdict import TOO_LARGE, Verdict, judge

_PATIENCE = 3
_LONGEST_PAUSE = 60.0


@dataclass(slots=True)
class _Flight:
    event: Outbound
    sent_at: float


class Publisher:
    """The events that wait for one relay, during one connection.

    `careful` sends one at a time: after a connection was lost with events in flight, so that one
    that the relay cannot stomach is told from the others.
    """

    def __init__(
        self, relay: str, settings: SyncSettings, facts: RelayFacts, careful: bool
    ) -> None:
        self._relay = relay
        self._settings = settings
        self._max_content = facts.max_content
        self._window = 1 if careful else settings.window
        self._queue: list[tuple[int, int, Outbound]] = []
        self._flight: dict[str, _Flight] = {}
        self._failures: dict[str, int] = {}
        self._known: set[str] = set()
        self._pause = settings.publish_pause
        self._resume_at: float | None = None
        self._answered_at = 0.0
        self.needs_auth = False
        """Whether the relay wants to know a key before it takes events."""
        self.problem = ""
        """What stands in the way, in a sentence for the person."""

    @property
    def known(self) -> frozenset[str]:
        """Ids of the events that are in the queue or in flight."""
        return frozenset(self._known)

    @property
    def room(self) -> int:
        """How many more events may be offered."""
        return max(0, 2 * self._settings.window - len(self._known))

    @property
    def in_flight(self) -> int:
        """How many events wait for their OK."""
        return len(self._flight)

    @property
    def wakes_at(self) -> float | None:
        """When `pump` has something to do even if nothing happens."""
        times = [time for time in (self._resume_at, self._overdue) if time is not None]
        return min(times, default=None)

    def limit(self, max_content: int) -> None:
        """The relay says how long a content it takes; experience may have shown less."""
        self._max_content = min(max_content, self._max_content or max_content)

    def offer(self, items: Iterable[Outbound]) -> None:
        """Take up events; those that are known already stay as they are."""
        for item in items:
            if item.item not in self._known:
                self._known.add(item.item)
                heapq.heappush(self._queue, (0, item.number, item))

    def pump(self, now: Moment) -> list[Output]:
        """Send what the window has room for; leave a relay that does not answer."""
        overdue = self._overdue
        if overdue is not None and overdue <= now.timer:
            self.problem = "The relay does not answer."
            return [Disconnect()]
        if self._resume_at is not None and now.timer < self._resume_at:
            return []
        self._resume_at = None
        outputs: list[Output] = []
        if self.needs_auth:
            return outputs
        while self._queue and len(self._flight) < self._window:
            event = heapq.heappop(self._queue)[2]
            if self._max_content is not None and event.content > self._max_content:
                outputs.append(self._refused(event, TOO_LARGE))
                continue
            self._flight[event.item] = _Flight(event, now.timer)
            outputs.append(Send(event.text))
        return outputs

    def answered(self, name: str, accepted: bool, message: str, now: Moment) -> list[Output] | None:
        """The relay sent an OK; None when it is about no event in flight."""
        unnamed = not name and not accepted
        if unnamed and self._flight:
            name = next(iter(self._flight))
        flight = self._flight.pop(name, None)
        if flight is None:
            return None
        self._answered_at = now.timer
        outputs = self._settle(flight.event, accepted, message, now)
        if unnamed:
            settled = flight.event.item not in self._known
            return [*outputs, Disconnect(0.0 if settled else None)]
        return outputs + self.pump(now)

    def lost(self, too_big: bool) -> list[Output]:
        """The connection is gone. What a relay closed it over, and nothing else, is too large."""
        if not too_big or len(self._flight) != 1:
            return []
        (flight,) = self._flight.values()
        return self._too_large(flight.event)

    def _settle(self, event: Outbound, accepted: bool, message: str, now: Moment) -> list[Output]:
        verdict, reason = judge(accepted, message, event.content)
        if verdict is Verdict.TAKEN:
            self.problem = ""
            self._window = min(self._window + 1, self._settings.window)
            self._pause = max(self._pause / 2, self._settings.publish_pause)
            return [self._done(event, MarkState.TAKEN)]
        if verdict is Verdict.AUTH:
            if self._failures.get(event.item, 0) >= _PATIENCE:
                return [self._refused(event, "restricted")]
            self.needs_auth = True
            self._again(event)
            return []
        if verdict is Verdict.REFUSED:
            if reason == TOO_LARGE:
                return self._too_large(event)
            return [self._refused(event, reason)]
        self._again(event)
        self._window = 1
        if self._resume_at is None:
            self._resume_at = now.timer + self._pause
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        self.problem = (
            "The relay asks us to send more slowly."
            if verdict is Verdict.SLOWER
            else "The relay has trouble taking messages."
        )
        if verdict is Verdict.SLOWER:
            self._failures.pop(event.item, None)
        return []

    def _again(self, event: Outbound) -> None:
        failures = self._failures[event.item] = self._failures.get(event.item, 0) + 1
        heapq.heappush(self._queue, (failures // _PATIENCE, event.number, event))

    def _too_large(self, event: Outbound) -> list[Output]:
        self._max_content = min(event.content - 1, self._max_content or event.content)
        facts = RelayFacts(self._relay, max_content=self._max_content)
        return [SetFacts(facts), self._refused(event, TOO_LARGE)]

    def _refused(self, event: Outbound, reason: str) -> Record:
        return self._done(event, MarkState.REFUSED, reason)

    def _done(self, event: Outbound, state: MarkState, reason: str = "") -> Record:
        self._known.discard(event.item)
        self._failures.pop(event.item, None)
        return Record((Mark(event.item, self._relay, state, reason),))

    @property
    def _overdue(self) -> float | None:
        if not self._flight:
            return None
        oldest = next(iter(self._flight.values())).sent_at
        return max(oldest, self._answered_at) + self._settings.answer_timeout
