"""The protocol core of a client on one connection to one relay (NIP-01, NIP-42). Pure.

1. `handle` takes one input and returns the outputs it calls for; whoever does the I/O carries them
   out in order and hands in `TimeCame` when `wakes_at` has come.
2. No text that a relay sends makes it raise. What makes no sense is dropped and counted as a
   strike; too many strikes, and the relay is left alone for a while.
3. Reading and publishing share the connection and the keys that were shown on it; a throw-away key
   is shown where a relay wants one for publishing and none was shown yet.
"""

from __future__ import annotations

import json

from volok.model.crypto import Signer
from volok.model.keys import KeyPair
from volok.store.deliveries import RelayFacts
from volok.sync.backlog import Progress
from volok.sync.dialogue import (
    CatchUpWanted,
    Connected,
    Described,
    Disconnect,
    InboxesSet,
    InboxKey,
    Ingested,
    Input,
    Lost,
    Moment,
    Offered,
    Output,
    Received,
    TimeCame,
)
from volok.sync.held import Held
from volok.sync.keyring import Keyring
from volok.sync.messages import (
    AuthChallenge,
    Closed,
    Eose,
    EventFor,
    InvalidMessage,
    Notice,
    Ok,
    RelayMessage,
    parse_relay_message,
)
from volok.sync.neg_messages import NegError, NegMessage
from volok.sync.publisher import Publisher
from volok.sync.reader import Reader
from volok.sync.settings import SyncSettings

_NOTICES = 20


class Client:
    """One connection. `careful`: see `Publisher`; `progress`: see `Reader`; `held`: what came over
    earlier ones."""

    def __init__(
        self,
        facts: RelayFacts,
        signer: Signer,
        settings: SyncSettings,
        careful: bool = False,
        progress: Progress | None = None,
        held: Held | None = None,
    ) -> None:
        self._signer = signer
        self._settings = settings
        self._keyring = Keyring(facts.url, signer, settings.auth_timeout)
        self.held = held or Held(settings.seen)
        """What the relay has given us, to be told what is stored of it."""
        self._reader = Reader(settings, facts, self._keyring, progress, self.held)
        self._publisher = Publisher(facts.url, settings, facts, careful)
        self._connected = False
        self._strikes = 0
        self._notices = 0
        self._forgive_at = 0.0
        self._flooded = False

    @property
    def wakes_at(self) -> float | None:
        """The timer at which `TimeCame` is due; None: never."""
        times = (self._reader.wakes_at, self._publisher.wakes_at, self._keyring.deadline)
        return min((time for time in times if time is not None), default=None)

    @property
    def in_step(self) -> bool:
        """Whether every inbox was read in full and is live."""
        return self._connected and self._reader.in_step

    @property
    def progress(self) -> Progress | None:
        """How far reading has come; see `Reader.progress`."""
        return self._reader.progress

    @property
    def unpublished(self) -> frozenset[str]:
        """Ids of the events that were offered and are neither taken nor refused."""
        return self._publisher.known

    @property
    def in_flight(self) -> int:
        """How many events wait for their OK."""
        return self._publisher.in_flight

    @property
    def room(self) -> int:
        """How many more events may be offered."""
        return self._publisher.room if self._connected else 0

    @property
    def problem(self) -> str:
        """What stands in the way, in a sentence for the person; "" for nothing."""
        if self._flooded:
            return "The relay sends things that make no sense."
        if self._publisher.needs_auth and not self._keyring.pending:
            return "The relay takes messages only from keys that it knows."
        return self._reader.problem or self._publisher.problem

    def handle(self, given: Input, now: Moment) -> list[Output]:
        """What is to be done about `given`."""
        outputs: list[Output] = []
        match given:
            case Received(text):
                outputs = self._received(text, now)
            case TimeCame():
                outputs = self._tick(now)
            case Offered(items):
                self._publisher.offer(items)
                outputs = self._publish(now)
            case Ingested(forged):
                outputs = self._struck(forged, now)
            case Connected():
                self._connected = True
                self._forgive_at = now.timer + self._settings.cursor_interval
                outputs = self._reader.connected(now) + self._publish(now)
            case InboxesSet(inboxes):
                outputs = self._reader.set_inboxes(inboxes, now)
            case Described():
                outputs = self._described(given, now)
            case CatchUpWanted():
                outputs = self._reader.catch_up(now)
            case Lost(too_big):
                self._connected = False
                outputs = self._publisher.lost(too_big)
        return outputs

    def _received(self, text: str, now: Moment) -> list[Output]:
        try:
            obj: object = json.loads(text)
        except (ValueError, RecursionError):
            return self._struck(1, now)
        try:
            message = parse_relay_message(obj)
        except InvalidMessage:
            if type(obj) is list and obj[:3] == ["OK", "", False]:
                reason = obj[3] if len(obj) > 3 and type(obj[3]) is str else ""
                outputs = self._publisher.answered("", False, reason, now)
            else:
                outputs = None
        else:
            outputs = self._understood(message, now)
        return self._struck(1, now) if outputs is None else outputs

    def _understood(self, message: RelayMessage, now: Moment) -> list[Output] | None:
        outputs: list[Output] | None = None
        match message:
            case EventFor(_, event) if len(event.content) > self._settings.max_content:
                # Anybody may have put it into the inbox: no fault of the relay.
                outputs = []
            case EventFor(subscription, event):
                outputs = self._reader.took(subscription, event, now)
            case Ok(name, accepted) if self._keyring.answered(name, accepted):
                outputs = self._keys_judged(now)
            case Ok(name, accepted, reason):
                outputs = self._publisher.answered(name, accepted, reason, now)
                if outputs is not None and self._publisher.needs_auth:
                    outputs += self._publish(now)
            case Eose(subscription):
                outputs = self._reader.ended(subscription, now)
            case Closed(subscription, reason):
                outputs = self._reader.closed(subscription, reason, now)
            case NegMessage(subscription, frame):
                outputs = self._reader.reconciled(subscription, frame, now)
            case NegError(subscription):
                outputs = self._reader.reconciled(subscription, None, now)
            case AuthChallenge(challenge):
                self._keyring.challenged(challenge)
                outputs = self._keys_judged(now)
            case Notice() if self._notices < _NOTICES:
                self._notices += 1
                outputs = []
        return outputs

    def _described(self, said: Described, now: Moment) -> list[Output]:
        if said.max_content is not None:
            self._publisher.limit(said.max_content)
        if said.subscriptions is not None:
            self._reader.limit(said.subscriptions)
        if said.reconciles and self.held.reconciles is None:
            self.held.reconciles = True
        if said.ahead != (self._keyring.ahead or 0):
            # What was refused may have been refused for a date that was wrong to the relay.
            self._keyring.refused.clear()
        self._keyring.ahead = said.ahead
        return self._keys_judged(now)

    def _keys_judged(self, now: Moment) -> list[Output]:
        return self._reader.keys_judged(now) + self._publish(now)

    def _publish(self, now: Moment) -> list[Output]:
        if not self._connected:
            return []
        if self._publisher.needs_auth:
            if self._keyring.held:
                self._publisher.needs_auth = False
            elif not self._keyring.waiting and not self._keyring.refused:
                pair = KeyPair.generate(self._signer)
                return [*self._keyring.show([InboxKey(pair.public, pair.secret)], now)]
        return self._publisher.pump(now)

    def _tick(self, now: Moment) -> list[Output]:
        self._keyring.expire(now)
        if now.timer >= self._forgive_at:
            self._forgive_at = now.timer + self._settings.cursor_interval
            self._strikes = self._notices = 0
        return self._reader.tick(now) + self._keys_judged(now)

    def _struck(self, count: int, now: Moment) -> list[Output]:
        self._strikes += count
        if self._flooded or self._strikes < self._settings.strikes:
            return []
        self._flooded = True
        return [Disconnect(self._settings.flood_pause)]
