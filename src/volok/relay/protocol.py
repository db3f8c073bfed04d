"""One connection to a relay (NIP-01, NIP-42, NIP-45). Pure: values in, values out.

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
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from volok.model.event import Event, compact_json
from volok.model.filters import Filter
from volok.relay.access import Reader, Refusal
from volok.relay.outputs import (
    CheckAuth,
    Output,
    Query,
    Rejection,
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

_OKS: dict[Outcome | Rejection, tuple[bool, str]] = {
    Outcome.ADDED: (True, ""),
    Outcome.DUPLICATE: (True, "duplicate: already here"),
    Outcome.SUPERSEDED: (True, "duplicate: a newer one is here"),
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
    complete: bool = False
    sent: set[int] = field(default_factory=set)
    """Numbers above `after` that were sent and may come a second time."""


class Connection:
    """The state of one connection: its keys and its subscriptions."""

    def __init__(self, settings: RelaySettings, challenge: str) -> None:
        """`challenge` is a fresh random text (NIP-42)."""
        self._settings = settings
        self._challenge = challenge
        self._keys: set[str] = set()
        self._subscriptions: dict[str, _Subscription] = {}
        self._generation = 0
        self.reader = Reader(self._keys, settings.serve_sealed)
        """Who reads here; it follows each AUTH."""

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

    def frame_received(self, value: object, size: int, now: int, head: int) -> list[Output]:
        """A frame of `size` bytes came and a JSON decoder made `value` of it.

        `now` is in Unix seconds; `head` is the number of the newest entry of the store.
        """
        try:
            message = parse_client_message(value)
        except InvalidMessage as error:
            return [SendText(_answer_to_invalid(error))]
        if size > self._settings.max_message_length:
            return [SendText(_refuse(message, Refusal(Prefix.INVALID, "the message is too long")))]
        return self._dispatch(message, now, head)

    def _dispatch(self, message: ClientMessage, now: int, head: int) -> list[Output]:
        match message:
            case EventMessage(event):
                problem = refusal(event, self._keys, self._settings, now)
                return [SendText(_refuse(message, problem))] if problem else [TakeIn(event)]
            case Auth(event):
                return [CheckAuth(event, self._challenge)]
            case Close(subscription):
                return self._close(subscription)
            case Req():
                return self._open(message, head)
            case Count():
                return self._tally(message)

    def event_settled(self, event: Event, result: Outcome | Rejection) -> list[Output]:
        """It is known what became of an event; for ADDED it is durable."""
        accepted, text = _OKS[result]
        return [SendText(Ok(event.id, accepted, text).to_text())]

    def auth_checked(self, event: Event, problem: str | None) -> list[Output]:
        """An answer to our challenge was checked; `problem` says what is wrong with it."""
        if problem is None and len(self._keys | {event.pubkey}) > self._settings.max_keys:
            problem = "too many keys on one connection"
        if problem is None:
            self._keys.add(event.pubkey)
            return [SendText(Ok(event.id, True).to_text())]
        return [SendText(Ok(event.id, False, f"{Prefix.INVALID.value}: {problem}").to_text())]

    def query_answered(self, query: Query, entries: Sequence[Entry] | None) -> list[Output]:
        """A query ended with these entries, newest first; None when the store could not be read."""
        state = self._subscriptions.get(query.subscription)
        if state is None or state.generation != query.generation:
            return []
        if entries is None:
            reason = f"{Prefix.ERROR.value}: the store could not be read"
            return [
                *self._close(query.subscription),
                SendText(Closed(query.subscription, reason).to_text()),
            ]
        outputs: list[Output] = []
        for entry in entries:
            if entry.number not in state.sent and self.reader.may_see(entry.event):
                outputs.append(SendEntry(state.head, entry))
        # The log is in order, so what it has shown already will not come again.
        state.sent = {e.number for e in entries if e.number > state.after} - state.sent
        state.complete = True
        outputs.append(SendText(Eose(query.subscription).to_text()))
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
        self._subscriptions[name] = _Subscription(start, self._generation, head)
        return [
            *closing,
            Subscribe(name, filters),
            Query(name, self._generation, filters, self._settings.max_limit),
        ]

    def _close(self, subscription: str) -> list[Output]:
        if self._subscriptions.pop(subscription, None) is None:
            return []
        return [Unsubscribe(subscription)]

    def _tally(self, message: Count) -> list[Output]:
        filters = self._permitted(message.filters)
        if isinstance(filters, Refusal):
            return [SendText(_refuse(message, filters))]
        if not self.reader.may_count(filters):
            problem = Refusal(Prefix.UNSUPPORTED, "these kinds are not counted here")
            return [SendText(_refuse(message, problem))]
        return [Tally(message.subscription, filters)]

    def _permitted(self, filters: tuple[Filter, ...]) -> tuple[Filter, ...] | Refusal:
        if self._settings.require_auth and not self._keys:
            return Refusal(Prefix.AUTH_REQUIRED, "reading here takes authentication")
        if len(filters) > self._settings.max_filters:
            return Refusal(Prefix.INVALID, "too many filters")
        if any(_size(asked) > self._settings.max_filter_values for asked in filters):
            return Refusal(Prefix.INVALID, "too many values in a filter")
        return self.reader.permitted(filters)


def _size(asked: Filter) -> int:
    values = (asked.ids, asked.authors, asked.kinds, *asked.tags.values())
    return sum(len(value) for value in values if value is not None)


def _refuse(message: ClientMessage, problem: Refusal) -> str:
    match message:
        case EventMessage(event) | Auth(event):
            return Ok(event.id, False, str(problem)).to_text()
        case Req(subscription) | Count(subscription):
            return Closed(subscription, str(problem)).to_text()
        case Close():
            return Notice(str(problem)).to_text()


def _answer_to_invalid(error: InvalidMessage) -> str:
    problem = str(Refusal(Prefix.INVALID, str(error)))
    if error.event_id is not None:
        return Ok(error.event_id, False, problem).to_text()
    if error.subscription is not None:
        return Closed(error.subscription, problem).to_text()
    return Notice(problem).to_text()
