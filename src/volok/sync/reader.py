"""Reading our inboxes from one relay: subscriptions, catching up, staying live. Pure.

1. A few inboxes share one subscription, which first gives what is stored and then what is new.
   A second, short-lived subscription pages through what did not fit into the first answer.
2. We ask before we show any key: so we learn whether the relay serves inboxes to anybody.
3. A relay that wants a key gets those of the inboxes concerned. One that takes a first key and not
   a second one, or takes both and still refuses, keeps one key per connection.
4. The cursor moves only when a backlog is complete, to the time at which reading it began.
5. Where connections are short, the next one goes on where the last one stopped (`Progress`): the
   second subscription, which reads on, is answered before the first, which is for what is new.
   Inboxes take turns then, one after the other: showing all keys may use up a whole connection.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from volok.model.event import Event
from volok.store.deliveries import RelayFacts
from volok.sync.backlog import Backlog, Progress
from volok.sync.backoff import Backoff
from volok.sync.dialogue import (
    CaughtUp,
    Disconnect,
    Inbox,
    Ingest,
    Moment,
    Output,
    Send,
    SetFacts,
)
from volok.sync.held import Held, Reconciliation
from volok.sync.keyring import Keyring
from volok.sync.messages import Close, Prefix, prefix_of
from volok.sync.negentropy_codec import InvalidFrame
from volok.sync.reading import Group, Phase
from volok.sync.settings import SyncSettings

_SLACK = 60
_CHALLENGE_WAIT = 1.5
"""Seconds for a relay to send its challenge unasked; some send it only when it is needed."""
_RETRY = (2.0, 10.0, 60.0)


class Reader:
    """The inboxes read over one connection."""

    def __init__(
        self,
        settings: SyncSettings,
        facts: RelayFacts,
        keyring: Keyring,
        progress: Progress | None = None,
        held: Held | None = None,
    ) -> None:
        self._settings = settings
        self._facts = facts
        self._keyring = keyring
        self._progress = progress
        self._held = held or Held(0)
        self._groups: dict[str, Group] = {}
        self._turns: list[Group] = []
        self._made = 0
        self._connected = False
        self._subscriptions = settings.subscriptions
        self._next_cursor: float | None = None
        self.problem = ""
        """What stands in the way, in a sentence for the person."""

    @property
    def inboxes(self) -> dict[str, Inbox]:
        """The inboxes by public key."""
        return {name: box for group in self._groups.values() for name, box in group.inboxes.items()}

    @property
    def in_step(self) -> bool:
        """Whether every inbox was read in full and is live."""
        return all(group.phase is Phase.LIVE for group in self._groups.values())

    @property
    def progress(self) -> Progress | None:
        """How far reading has come; None when all is read, or nothing was begun."""
        if not self._groups:
            return self._progress
        behind = [one for one in self._groups.values() if one.phase is not Phase.LIVE]
        if not self._connected or not behind:
            return None
        until = {name: at for one in behind for name, at in one.backlog.reached.items()}
        return Progress(
            min(one.began for one in self._groups.values()),
            until,
            frozenset(self.inboxes.keys() - until.keys()),
        )

    @property
    def wakes_at(self) -> float | None:
        """When `tick` has something to do even if nothing happens."""
        times = [group.deadline for group in self._groups.values()]
        if self._groups:
            times.append(self._next_cursor)
        return min((time for time in times if time is not None), default=None)

    def limit(self, subscriptions: int) -> None:
        """How many subscriptions the relay allows became known."""
        self._subscriptions = max(2, min(subscriptions, self._settings.subscriptions))

    def connected(self, now: Moment) -> list[Output]:
        """The connection is open: subscribe to everything."""
        self._connected = True
        self._next_cursor = now.timer + self._settings.cursor_interval
        return self._start(list(self._groups.values()), now)

    def set_inboxes(self, inboxes: Sequence[Inbox], now: Moment) -> list[Output]:
        """These are our inboxes now. What stays keeps its subscription."""
        wanted = {inbox.key.public: inbox for inbox in inboxes}
        outputs: list[Output] = []
        for group in list(self._groups.values()):
            gone = group.inboxes.keys() - wanted.keys()
            for name in gone:
                del group.inboxes[name]
            if not group.inboxes:
                outputs += self._close(group, list(group.filters))
                del self._groups[group.name]
            elif gone and self._connected:
                outputs += self._ask(group, now)
        known = self.inboxes
        outputs += self._gather([box for name, box in wanted.items() if name not in known], now)
        return outputs

    def catch_up(self, now: Moment) -> list[Output]:
        """Look again for what the relay holds."""
        live = [one for one in self._groups.values() if one.phase in (Phase.LIVE, Phase.PAUSE)]
        return [output for group in live for output in self._ask(group, now)]

    def took(self, subscription: str, event: Event, now: Moment) -> list[Output] | None:
        """An event came; None when it is not what this subscription asked for."""
        group = self._group(subscription)
        if group is None or not any(one.matches(event) for one in group.filters[subscription]):
            return None
        outputs: list[Output] = []
        if not group.got_some:
            group.got_some = True
            outputs += self._served(group)
        paging = subscription == group.page
        if paging or (group.phase is Phase.FIRST and not group.resumed):
            for name in event.values("p"):
                group.backlog.took(name, event.created_at)
            group.deadline = now.timer + self._settings.answer_timeout
        return [*outputs, Ingest((event,))]

    def ended(self, subscription: str, now: Moment) -> list[Output] | None:
        """What is stored came to its end (EOSE); None when nothing was asked."""
        group = self._group(subscription)
        if group is None:
            return None
        if subscription == group.page and group.phase is Phase.PAGES:
            group.backlog.page_ended()
            return self._read_on(group, now)
        if subscription == group.page and group.reconciliation is not None:
            return self._fetch_on(group, group.reconciliation, now)
        if group.phase is not Phase.FIRST:
            return [] if group.resumed and subscription == group.name else None
        if not group.got_some:
            if self._keyring.challenge is not None and not self._shown(group):
                # Some relays leave out what is for a key that they have not seen, in silence.
                return self._show_keys(group, now)
            group.got_some = True
            guards = self._served(group)
        else:
            guards = []
        if not group.resumed:
            group.backlog.page_ended()
        return guards + self._read_on(group, now)

    def closed(self, subscription: str, message: str, now: Moment) -> list[Output] | None:
        """The relay ended a subscription; None when it was none of ours."""
        group = self._group(subscription)
        if group is None:
            return self.reconciled(subscription, None, now)
        outputs = self._close(group, [name for name in group.filters if name != subscription])
        group.filters.clear()
        wants_key = prefix_of(message.lower()) in (Prefix.AUTH_REQUIRED, Prefix.RESTRICTED)
        if wants_key and not self._keyring.held and self._facts.guards_inboxes is not True:
            outputs += self._learn(guards_inboxes=True)
        if not self._shown(group) and (wants_key or self._keyring.held):
            return outputs + self._show_keys(group, now)
        if wants_key and len(self._keyring.held) > 1:
            return outputs + self._one_key()
        self.problem = "The relay does not let us read our inbox."
        return outputs + self._pause(group, now)

    def reconciled(
        self, subscription: str, frame: bytes | None, now: Moment
    ) -> list[Output] | None:
        """The relay answered with a frame, or (None) not; None when it was not asked."""
        group = self._groups.get(subscription.removesuffix("n"))
        found = group.reconciliation if group and group.phase is Phase.RECONCILING else None
        if group is None or found is None or subscription != group.apart:
            return None
        group.deadline = now.timer + self._settings.answer_timeout
        try:
            more = None if frame is None else found.answered(frame)
        except InvalidFrame:
            frame = None
        if frame is None:
            return self._read_plainly(group, now)
        if more is not None:
            return [Send(more)]
        return [Send(found.close()), *self._fetch_on(group, found, now)]

    def keys_judged(self, now: Moment) -> list[Output]:
        """Something about our keys or the challenge changed: go on where keys were waited for."""
        outputs: list[Output] = []
        for group in [one for one in self._groups.values() if one.phase is Phase.KEYS]:
            if self._shown(group) and not self._keyring.waiting:
                outputs += self._after_keys(group, now)
            else:
                outputs += self._keyring.show(group.keys, now)
        return outputs

    def tick(self, now: Moment) -> list[Output]:
        """Time has passed."""
        outputs: list[Output] = []
        for group in list(self._groups.values()):
            if group.deadline is None or now.timer < group.deadline:
                continue
            hushed = group.unasked and self._keyring.challenge is None
            if group.phase is Phase.PAUSE or (hushed and group.phase is Phase.KEYS):
                outputs += self._ask(group, now)
            elif group.phase is Phase.RECONCILING:
                outputs += self._read_plainly(group, now)
            elif group.phase is Phase.KEYS:
                self.problem = "The relay wants to know a key and does not ask for it."
                outputs += self._pause(group, now)
            else:
                self.problem = "The relay does not answer."
                return [*outputs, Disconnect()]
        if self._next_cursor is not None and now.timer >= self._next_cursor:
            self._next_cursor = now.timer + self._settings.cursor_interval
            live = [one for one in self._groups.values() if one.phase is Phase.LIVE]
            names = tuple(name for group in live for name in group.inboxes)
            if names:
                outputs.append(CaughtUp(names, now.unix - _SLACK))
                for group in live:
                    group.move(now.unix - _SLACK)
        return outputs

    def _gather(self, inboxes: Sequence[Inbox], now: Moment) -> list[Output]:
        # One subscription is kept free for paging.
        spare = max(1, self._subscriptions - 1 - len(self._groups))
        usual = 1 if self._progress else self._settings.filters_per_request
        size = max(usual, -(-len(inboxes) // spare))
        made: list[Group] = []
        for start in range(0, len(inboxes), size):
            self._made += 1
            boxes = {box.key.public: box for box in inboxes[start : start + size]}
            group = Group(f"i{self._made}", boxes, Backlog({}), Backoff(_RETRY, _RETRY[-1]))
            self._groups[group.name] = group
            made.append(group)
        return self._start(made, now) if self._connected else []

    def _start(self, groups: Sequence[Group], now: Moment) -> list[Output]:
        if self._progress is None:
            return [output for group in groups for output in self._ask(group, now)]
        for group in groups:
            self._set_out(group, now)
            group.phase = Phase.TURN
        busy = bool(self._turns) or any(
            one.phase not in (Phase.TURN, Phase.LIVE) for one in self._groups.values()
        )
        # What was read already only has to become live again.
        self._turns += sorted(groups, key=lambda one: not one.backlog.pages)
        return [] if busy else self._next_turn(now)

    def _next_turn(self, now: Moment) -> list[Output]:
        while self._turns:
            group = self._turns.pop(0)
            if group.phase is Phase.TURN and self._groups.get(group.name) is group:
                return self._begin(group, now)
        return []

    def _group(self, subscription: str) -> Group | None:
        group = self._groups.get(subscription.removesuffix("p"))
        return group if group is not None and subscription in group.filters else None

    def _begin(self, group: Group, now: Moment) -> list[Output]:
        known = self._progress
        if known is None or not known.covers(group.inboxes) or not self._facts.guards_inboxes:
            return self._ask(group, now)
        # A short connection does not ask for what is known to be refused without a key.
        self._set_out(group, now)
        group.phase, group.unasked = Phase.KEYS, True
        group.deadline = now.timer + _CHALLENGE_WAIT
        return [*self._keyring.show(group.keys, now)]

    def _set_out(self, group: Group, now: Moment) -> None:
        group.set_out(now.unix, self._settings.overlap, self._progress)

    def _ask(self, group: Group, now: Moment) -> list[Output]:
        outputs = self._close(group, [name for name in group.filters if name != group.name])
        self._set_out(group, now)
        group.unasked = False
        if self._progress is None:
            group.reconcile(self._held, self._settings.reconcile_from)
        live = self._request(group, group.name, now)
        both = group.resumed and group.reconciliation is None
        if both and (self._shown(group) or self._facts.guards_inboxes is False):
            # Both at once: short connections have no time for one after the other. What is not
            # read yet comes first: the newest event of each inbox may be all that one carries.
            return [*outputs, *self._read_on(group, now), *live]
        return outputs + live

    def _fetch_on(self, group: Group, found: Reconciliation, now: Moment) -> list[Output]:
        asked = found.next_request()
        if asked is None:
            group.reconciliation, group.backlog = None, Backlog({})
            return self._read_on(group, now)
        group.filters[group.page] = (asked[0],)
        group.deadline = now.timer + self._settings.answer_timeout
        return [Send(asked[1])]

    def _read_plainly(self, group: Group, now: Moment) -> list[Output]:
        self._held.reconciles, group.reconciliation = False, None
        return self._read_on(group, now)

    def _request(self, group: Group, subscription: str, now: Moment) -> list[Output]:
        group.deadline = now.timer + self._settings.answer_timeout
        return [Send(group.ask(subscription, self._settings.page))]

    def _read_on(self, group: Group, now: Moment) -> list[Output]:
        if group.reconciliation is not None:
            group.phase = Phase.RECONCILING
            group.deadline = now.timer + self._settings.answer_timeout
            return [Send(group.reconciliation.open())]
        if group.backlog.pages:
            group.phase = Phase.PAGES
            return self._request(group, group.page, now)
        outputs = self._close(group, [name for name in group.filters if name == group.page])
        group.phase, group.deadline = Phase.LIVE, None
        self._progress = None if self.in_step else self._progress
        group.retry.reset()
        self.problem = ""
        group.move(group.began)
        outputs.append(CaughtUp(tuple(group.inboxes), group.began))
        return outputs + self._next_turn(now)

    def _show_keys(self, group: Group, now: Moment) -> list[Output]:
        outputs = self._close(group, list(group.filters))
        group.phase = Phase.KEYS
        group.deadline = now.timer + self._settings.answer_timeout
        return [*outputs, *self._keyring.show(group.keys, now)]

    def _after_keys(self, group: Group, now: Moment) -> list[Output]:
        if not any(key.public in self._keyring.refused for key in group.keys):
            return self._ask(group, now)
        if self._keyring.held:
            return self._one_key()
        if self._keyring.pending:
            return []
        self.problem = (
            "The relay refuses the key of our inbox. Is the clock of this computer right?"
        )
        return self._pause(group, now)

    def _one_key(self) -> list[Output]:
        return [*self._learn(keys_per_connection=1), Disconnect(0.0)]

    def _shown(self, group: Group) -> bool:
        judged = self._keyring.held | self._keyring.refused
        return all(key.public in judged for key in group.keys)

    def _served(self, group: Group) -> list[Output]:
        if self._keyring.held or self._facts.guards_inboxes is False:
            return []
        return self._learn(guards_inboxes=False)

    def _learn(
        self, *, guards_inboxes: bool | None = None, keys_per_connection: int | None = None
    ) -> list[Output]:
        facts = RelayFacts(
            self._facts.url,
            guards_inboxes=guards_inboxes,
            keys_per_connection=keys_per_connection,
        )
        if guards_inboxes is not None:
            self._facts = RelayFacts(self._facts.url, guards_inboxes=guards_inboxes)
        return [SetFacts(facts)]

    def _pause(self, group: Group, now: Moment) -> list[Output]:
        group.phase = Phase.PAUSE
        group.deadline = now.timer + group.retry.wait(0.0)
        return self._next_turn(now)

    def _close(self, group: Group, names: Iterable[str]) -> list[Output]:
        for name in names:
            group.filters.pop(name, None)
        return [Send(Close(name).to_text()) for name in names]
