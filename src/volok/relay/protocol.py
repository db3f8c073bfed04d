"""One connection to a relay (NIP-01, NIP-42, NIP-45, NIP-67). Pure: values in, values out.

1. Inputs are methods named in the past tense; each returns outputs, named in the imperative, to be
   carried out in order.
2. Any input leads to outputs; none raises.
3. Every EVENT and AUTH is answered by one OK, every REQ by EOSE or CLOSED unless it is replaced
   before, every COUNT by COUNT or CLOSED, what cannot be read by NOTICE.
4. What is asked of the outside (`TakeIn`, `CheckAuth`, `Query`, `Tally`) comes back as the input
   that its docstring names, later and in any order. An answer to a subscription that was closed or
   replaced meanwhile is dropped: `Query.generation` tells.
5. A subscription gets each entry once. It is live before its query starts; entries up to `after`,
   the head of the log at that moment, come from the query alone, later ones from either.
6. Where there is a single filter the query asks for one entry more than is sent: so EOSE knows
   whether that was all (NIP-67).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from volok.model.event import Event, compact_json
from volok.model.filters import Filter
from volok.relay.access import Reader, Refusal
from volok.relay.admission import Spend, unlimited
from volok.relay.lists import Lists
from volok.relay.outputs import (
    CheckAuth,
    Output,
    Query,
    Reconcile,
    Rejection,
    SendEntries,
    SendEntry,
    SendText,
    Subscribe,
    TakeIn,
    Tally,
    Unsubscribe,
)
from volok.relay.policy import refusal
from volok.relay.settings import RelaySettings
from volok.store.store import Entry, Outcome
from volok.sync.messages import (
    FINISH,
    MORE,
    Auth,
    AuthChallenge,
    ClientMessage,
    Close,
    Closed,
    Count,
    Counted,
    Eose,
    EventMessage,
    InvalidMessage,
    Notice,
    Ok,
    Prefix,
    Req,
    parse_client_message,
)
from volok.sync.neg_messages import NegClose, NegError, NegMessage, NegOpen

_OKS: dict[Outcome | Rejection, tuple[bool, str]] = {
    Outcome.ADDED: (True, ""),
    Outcome.DUPLICATE: (True, "duplicate: already here"),
    Outcome.SUPERSEDED: (False, "duplicate: a newer version is here"),
    Outcome.DELETED: (False, "blocked: it was deleted"),
    Outcome.EXPIRED: (False, "invalid: the event has expired"),
    Rejection.FORGED: (False, "invalid: the id or the signature is wrong"),
    Rejection.FAILED: (False, "error: it could not be stored, try again later"),
}


@dataclass(slots=True)
class _Subscription:
    head: str
    generation: int
    after: int
    most: int
    """The most stored entries that are sent."""
    certain: int
    """With fewer than these, the query has left nothing out."""
    given: int = 0
    """How many entries the query gave so far."""
    complete: bool = False
    sent: set[int] = field(default_factory=set)
    """Numbers above `after` that were sent and may come a second time."""
    found: set[int] = field(default_factory=set)
    """Numbers above `after` that the query gave so far."""


class Connection:
    """The state of one connection: its keys and its subscriptions."""

    def __init__(
        self,
        settings: RelaySettings,
        challenge: str,
        lists: Callable[[], Lists] = Lists,
        spend: Spend = unlimited,
    ) -> None:
        """`challenge` is a fresh random text (NIP-42); `lists` gives what is banned and allowed at
        the moment (NIP-86); `spend` takes what each message costs from the client's budgets."""
        self._lists = lists
        self._spend = spend
        self._settings = settings
        self._challenge = challenge
        self._subscriptions: dict[str, _Subscription] = {}
        self._generation = 0
        self.reader = Reader(frozenset(), settings.serve_sealed)
        """Who reads here; another value after each AUTH."""

    def opened(self) -> list[Output]:
        """The connection is open."""
        return [SendText(AuthChallenge(self._challenge).to_text())]

    def closed(self) -> list[Output]:
        """The connection is gone."""
        names = list(self._subscriptions)
        return [output for name in names for output in self._close(name)]

    def frame_malformed(self) -> list[Output]:
        """A frame came that is not JSON text."""
        return [SendText(Notice("invalid: not a message of NIP-01").to_text())]

    def frame_received(
        self, value: object, size: int, now: int, head: int, difficulty: int = 0
    ) -> list[Output]:
        """A frame of `size` bytes came and a JSON decoder made `value` of it.

        `now` is in Unix seconds; `head` is the number of the newest entry of the store.
        `difficulty` is the work asked of events at the moment (see `volok.relay.policy.refusal`).
        """
        try:
            message = parse_client_message(value)
        except InvalidMessage as error:
            return [*self._ended_by(error), SendText(_answer_to_invalid(error))]
        if size > self._settings.max_message_length:
            problem = Refusal(Prefix.INVALID, "the message is too long")
            ending = self._close(message.subscription) if isinstance(message, Req) else []
            return [*ending, SendText(_refuse(message, problem))]
        excess = self._spend(message, size, now)
        if excess is not None:
            ending = self._close(message.subscription) if isinstance(message, Req) else []
            return [*ending, SendText(_refuse(message, excess))]
        return self._dispatch(message, now, head, difficulty)

    def _dispatch(
        self, message: ClientMessage, now: int, head: int, difficulty: int
    ) -> list[Output]:
        match message:
            case EventMessage(event):
                problem = refusal(event, self.reader.keys, self._settings, now, difficulty)
                problem = problem or self._lists().refusal(event, self.reader.keys)
                return [SendText(_refuse(message, problem))] if problem else [TakeIn(event)]
            case Auth(event):
                return [CheckAuth(event, self._challenge)]
            case Close(subscription):
                return self._close(subscription)
            case Req():
                return self._open(message, head)
            case Count():
                return self._tally(message)
            case NegOpen() | NegMessage() | NegClose():
                return self._reconcile(message)

    def event_settled(self, event: Event, result: Outcome | Rejection | Refusal) -> list[Output]:
        """It is known what became of an event; for ADDED it is durable."""
        if isinstance(result, Refusal):
            return [SendText(Ok(event.id, False, str(result)).to_text())]
        accepted, text = _OKS[result]
        return [SendText(Ok(event.id, accepted, text).to_text())]

    def auth_checked(self, event: Event, problem: str | None) -> list[Output]:
        """An answer to our challenge was checked; `problem` says what is wrong with it."""
        keys = {*self.reader.keys, event.pubkey}
        if problem is None and len(keys) > self._settings.max_keys:
            problem = "too many keys on one connection"
        if problem is None:
            self.reader = Reader(frozenset(keys), self._settings.serve_sealed)
            return [SendText(Ok(event.id, True).to_text())]
        return [SendText(Ok(event.id, False, f"{Prefix.INVALID.value}: {problem}").to_text())]

    def awaits(self, query: Query) -> bool:
        """Whether an answer to this query is still wanted."""
        state = self._subscriptions.get(query.subscription)
        return state is not None and state.generation == query.generation

    def query_answered(
        self, query: Query, entries: Sequence[Entry] | None, is_last: bool = True
    ) -> list[Output]:
        """A page of entries was found, newest first, and whether it is the last one; None when the
        store could not be read."""
        state = self._subscriptions.get(query.subscription)
        if state is None or not self.awaits(query):
            return []
        if entries is None:
            reason = f"{Prefix.ERROR.value}: the store could not be read"
            return [
                *self._close(query.subscription),
                SendText(Closed(query.subscription, reason).to_text()),
            ]
        entries, state.given = entries[: state.most - state.given], state.given + len(entries)
        shown = self.reader.may_see_of(entries)
        if state.sent:
            shown = [entry for entry in shown if entry.number not in state.sent]
        outputs: list[Output] = [SendEntries(state.head, shown)] if shown else []
        after = state.after
        state.found.update([e.number for e in entries if e.number > after])
        if not is_last:
            return outputs
        # The log is in order, so what it has shown already will not come again.
        state.sent, state.found = state.found - state.sent, set()
        state.complete = True
        outputs.append(SendText(Eose(query.subscription, _hints(state)).to_text()))
        return outputs

    def entry_appeared(self, subscriptions: Sequence[str], entry: Entry) -> list[Output]:
        """The log grew by an entry that these subscriptions match."""
        if not self.reader.may_see(entry.event):
            return []
        outputs: list[Output] = []
        for name in subscriptions:
            state = self._subscriptions.get(name)
            if state is None or entry.number <= state.after:
                continue
            if entry.number in state.sent:
                state.sent.discard(entry.number)
                continue
            if entry.number in state.found:
                state.found.discard(entry.number)
                continue
            if not state.complete:
                state.sent.add(entry.number)
            outputs.append(SendEntry(state.head, entry))
        return outputs

    def tallied(self, subscription: str, count: int | None) -> list[Output]:
        """Entries were counted; None when the store could not be read."""
        if count is None:
            text = Closed(subscription, f"{Prefix.ERROR.value}: the store could not be read")
            return [SendText(text.to_text())]
        return [SendText(Counted(subscription, count).to_text())]

    def _open(self, message: Req, head: int) -> list[Output]:
        closing = self._close(message.subscription)
        filters = self._permitted(message.filters)
        if isinstance(filters, Refusal):
            return [*closing, SendText(_refuse(message, filters))]
        if len(self._subscriptions) >= self._settings.max_subscriptions:
            problem = Refusal(Prefix.RATE_LIMITED, "too many subscriptions")
            return [*closing, SendText(_refuse(message, problem))]
        name = message.subscription
        self._generation += 1
        start = f'["EVENT",{compact_json(name)},'
        # A filter may have been split in two; the limit is for both together.
        most = min(sum(map(self._limit, message.filters)), self._settings.max_limit)
        certain = most + 1 if len(filters) == 1 else min(map(self._limit, filters), default=0)
        state = _Subscription(start, self._generation, head, most, certain)
        self._subscriptions[name] = state
        opening = [*closing, Subscribe(name, filters)]
        if most == 0:
            state.complete = True
            return [*opening, SendText(Eose(name).to_text())]
        if len(filters) == 1 and filters[0].limit is not None:
            filters = (replace(filters[0], limit=most + 1),)
        return [*opening, Query(name, self._generation, filters, most + 1)]

    def _limit(self, asked: Filter) -> int:
        most = self._settings.max_limit
        return most if asked.limit is None else min(asked.limit, most)

    def _close(self, subscription: str) -> list[Output]:
        if self._subscriptions.pop(subscription, None) is None:
            return []
        return [Unsubscribe(subscription)]

    def _tally(self, message: Count) -> list[Output]:
        filters = self._permitted(message.filters)
        if isinstance(filters, Refusal):
            return [SendText(_refuse(message, filters))]
        return [Tally(message.subscription, filters)]

    def _reconcile(self, message: NegOpen | NegMessage | NegClose) -> list[Output]:
        if not isinstance(message, NegOpen):
            return [Reconcile(message)]
        filters = self._permitted((message.wanted,))
        if not self._settings.max_reconciled:
            filters = Refusal(Prefix.UNSUPPORTED, "nothing is reconciled here")
        if message.wanted.search is not None:
            filters = Refusal(Prefix.UNSUPPORTED, "what is searched for cannot be reconciled")
        if isinstance(filters, Refusal):
            ending = Reconcile(NegClose(message.subscription))
            return [ending, SendText(_refuse(message, filters))]
        return [Reconcile(message, filters)]

    def _permitted(self, filters: tuple[Filter, ...]) -> tuple[Filter, ...] | Refusal:
        if self._settings.require_auth and not self.reader.keys:
            return Refusal(Prefix.AUTH_REQUIRED, "reading here takes authentication")
        if len(filters) > self._settings.max_filters:
            return Refusal(Prefix.INVALID, "too many filters")
        if any(_size(asked) > self._settings.max_filter_values for asked in filters):
            return Refusal(Prefix.INVALID, "too many values in a filter")
        return self.reader.permitted(dict.fromkeys(filters))

    def _ended_by(self, error: InvalidMessage) -> list[Output]:
        """A REQ that is refused ends the subscription that it was to replace."""
        if error.subscription is None or error.reconciling:
            return []
        return self._close(error.subscription)


def _hints(state: _Subscription) -> tuple[str, ...]:
    if state.given < state.certain:
        return (FINISH,)
    return (MORE,) if state.given > state.most else ()


def _size(asked: Filter) -> int:
    values = (asked.ids, asked.authors, asked.kinds, *asked.tags.values())
    return sum(len(value) for value in values if value is not None)


def _refuse(message: ClientMessage, problem: Refusal) -> str:
    match message:
        case EventMessage(event) | Auth(event):
            return Ok(event.id, False, str(problem)).to_text()
        case Req(subscription) | Count(subscription):
            return Closed(subscription, str(problem)).to_text()
        case NegOpen(subscription) | NegMessage(subscription):
            return NegError(subscription, str(problem)).to_text()
        case Close() | NegClose():
            return Notice(str(problem)).to_text()


def _answer_to_invalid(error: InvalidMessage) -> str:
    prefix = Prefix.UNSUPPORTED if error.unsupported else Prefix.INVALID
    problem = str(Refusal(prefix, str(error)))
    if error.event_id is not None:
        return Ok(error.event_id, False, problem).to_text()
    if error.subscription is not None and error.reconciling:
        return NegError(error.subscription, problem).to_text()
    if error.subscription is not None:
        return Closed(error.subscription, problem).to_text()
    return Notice(problem).to_text()
