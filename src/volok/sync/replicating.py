"""Bringing a store and a relay to the same events by reconciliation (NIP-77), over one websocket.

1. First both sides learn what each lacks, then events go down by REQ and up by EVENT, some of them
   on their way at once.
2. A relay that finds that too much at once is asked for halves of the time instead.
3. What comes down is verified before it is stored. What the `Visibility` given does not show is
   neither told of, nor sent, nor stored.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from volok.model.event import Event
from volok.model.filters import Filter
from volok.model.supersession import VANISH
from volok.paths.live import Socket
from volok.store.store import Store, Visibility
from volok.sync.intake import Intake
from volok.sync.messages import (
    Close,
    Closed,
    Eose,
    EventFor,
    EventMessage,
    InvalidMessage,
    Notice,
    Ok,
    Prefix,
    RelayMessage,
    Req,
    parse_relay_message,
    prefix_of,
)
from volok.sync.neg_messages import NegClose, NegError, NegMessage, NegOpen
from volok.sync.negentropy import Initiator, Step
from volok.sync.negentropy_codec import InvalidFrame
from volok.sync.negentropy_records import Records, assemble, finish

_NAME = "volok"


class CannotReplicate(Exception):
    """The relay does not let us reconcile with it."""


@dataclass(frozen=True, slots=True)
class ReplicaSettings:
    """How events are brought to and from a relay."""

    frame: int = 60_000
    """The longest frame of a reconciliation, in bytes; messages have twice as many characters, and
    many relays take 128 KiB."""
    events_of_request: int = 250
    """Ids in one REQ; many relays give 500 events at most."""
    window: int = 100
    """Events sent that wait for their OK at once."""
    answer_timeout: float = 60.0
    """Seconds for the relay to answer; it may have to read a million records."""
    most: int = 1_000_000
    """Our own events that are reconciled at once; more are taken in halves of the time."""
    rounds: int = 1_000
    """Frames after which a relay that finds no end is given up."""


@dataclass(slots=True)
class Replica:
    """What came of it."""

    needed: int = 0
    """Events that the relay has and we lacked."""
    fetched: int = 0
    """Of these, those that are stored here now."""
    lacking: int = 0
    """Events that we have and the relay lacked."""
    published: int = 0
    """Of these, those that it took."""
    refused: int = 0
    forged: int = 0
    """Events that came with a wrong id or signature."""
    frames: int = 0
    """Frames of reconciliation that the relay sent."""
    reconciling_bytes: int = 0
    """Characters of all messages of reconciliation, both ways."""


class Replicator:
    """One connection. `now` gives Unix seconds; `visible`: of which of our events it may learn."""

    def __init__(
        self,
        socket: Socket,
        store: Store,
        intake: Intake,
        visible: Visibility,
        now: Callable[[], float],
        settings: ReplicaSettings | None = None,
    ) -> None:
        self._socket = socket
        self._store = store
        self._intake = intake
        self._visible = visible
        self._now = now
        self._settings = settings or ReplicaSettings()
        self.replica = Replica()
        """What has come of it so far."""

    async def run(self, wanted: Filter, *, down: bool, up: bool) -> Replica:
        """Reconcile what matches, then fetch what we lack (`down`) and send what it lacks (`up`).

        Raises CannotReplicate, PathError, StoreError.
        """
        first = 0 if wanted.since is None else wanted.since
        last = int(self._now()) + 86_400 if wanted.until is None else wanted.until
        spans = [(first, last, wanted)]
        while spans:
            since, until, part = spans.pop()
            found = await self._reconcile(part)
            if found is None:
                if since >= until:
                    raise CannotReplicate("The relay finds even one second too much at once.")
                middle = (since + until) // 2
                # The newer half is on top: people miss that first.
                spans.append((since, middle, replace(wanted, since=since, until=middle)))
                spans.append((middle + 1, until, replace(wanted, since=middle + 1, until=until)))
                continue
            have, need = found
            self.replica.needed += len(need)
            self.replica.lacking += len(have)
            if down:
                await self._fetch(need)
            if up:
                await self._publish(have)
        return self.replica

    async def _reconcile(self, wanted: Filter) -> tuple[list[str], list[str]] | None:
        """Ids that we have and the relay lacks, and the other way round; None: too many at once."""
        most = self._settings.most
        runs = await self._store.stamps([wanted], most, int(self._now()), self._visible)
        records = await asyncio.to_thread(lambda: finish(assemble(runs)))
        if len(records) > most:
            return None
        if wanted.limit is not None:
            start = max(0, len(records) - wanted.limit)
            records = Records.of(records.key(place) for place in range(start, len(records)))
        initiator = Initiator(records, self._settings.frame)
        have: dict[str, None] = {}
        need: dict[str, None] = {}
        await self._send(NegOpen(_NAME, wanted, initiator.start()).to_text())
        for _ in range(self._settings.rounds):
            answer = await self._next_frame()
            if answer is None:
                return None
            try:
                step: Step = await asyncio.to_thread(initiator.take, answer)
            except InvalidFrame as error:
                raise CannotReplicate("The relay's answers make no sense.") from error
            have.update((one.hex(), None) for one in step.have)
            need.update((one.hex(), None) for one in step.need)
            if step.reply is None:
                await self._send(NegClose(_NAME).to_text())
                return list(have), list(need)
            await self._send(NegMessage(_NAME, step.reply).to_text())
        raise CannotReplicate("The relay finds no end in telling what it has.")

    async def _next_frame(self) -> bytes | None:
        while True:
            match await self._receive():
                case NegMessage(subscription, frame) as message if subscription == _NAME:
                    self.replica.frames += 1
                    self.replica.reconciling_bytes += len(message.to_text())
                    return frame
                case NegError(subscription, reason) if subscription == _NAME:
                    if prefix_of(reason) == Prefix.BLOCKED:
                        return None
                    raise CannotReplicate(f"The relay does not reconcile this: {reason}")
                case Closed(subscription, reason) if subscription == _NAME:
                    raise CannotReplicate(f"The relay does not reconcile: {reason}")
                case Notice(text) if not self.replica.frames:
                    # So answer relays that do not know the message, or have it switched off.
                    raise CannotReplicate(f"The relay offers no reconciliation (NIP-77): {text}")

    async def _fetch(self, ids: Sequence[str]) -> None:
        step = self._settings.events_of_request
        waiting = [list(ids[start : start + step]) for start in range(0, len(ids), step)]
        while waiting:
            asked = waiting.pop()
            missing = await self._fetch_some(asked)
            if 0 < len(missing) < len(asked):
                waiting.append(missing)  # the relay gives fewer at once, or has lost some

    async def _fetch_some(self, ids: Sequence[str]) -> list[str]:
        """Fetch events; returns the ids of those that did not come."""
        missing = dict.fromkeys(ids)
        events: list[Event] = []
        wanted = Filter(ids=frozenset(ids), limit=len(ids))
        await self._socket.send(Req(_NAME, (wanted,)).to_text())
        while True:
            match await self._receive():
                case EventFor(subscription, event) if subscription == _NAME:
                    if event.id in missing:
                        del missing[event.id]
                        if self._is_wanted(event):
                            events.append(event)
                case Eose(subscription) if subscription == _NAME:
                    await self._socket.send(Close(_NAME).to_text())
                    break
                case Closed(subscription, reason) if subscription == _NAME:
                    raise CannotReplicate(f"The relay does not give its events: {reason}")
        before = self._intake.received
        self.replica.forged += await self._intake.take(events)
        self.replica.fetched += self._intake.received - before
        return list(missing)

    def _is_wanted(self, event: Event) -> bool:
        # A request to vanish (NIP-62) takes effect when it is stored: it has to mean every relay.
        vanishes = event.kind != VANISH or ("relay", "ALL_RELAYS") in event.tags
        return vanishes and self._visible.shows(event)

    async def _publish(self, ids: Sequence[str]) -> None:
        step = self._settings.window
        waiting: set[str] = set()
        for start in range(0, len(ids), step):
            wanted = Filter(ids=frozenset(ids[start : start + step]))
            entries = await self._store.query([wanted], step, int(self._now()), self._visible)
            for entry in entries:
                if len(waiting) >= step:
                    await self._answered(waiting)
                waiting.add(entry.event.id)
                await self._socket.send(EventMessage(entry.event).to_text())
        while waiting:
            await self._answered(waiting)

    async def _answered(self, waiting: set[str]) -> None:
        while True:
            match await self._receive():
                case Ok(name, accepted) if name in waiting:
                    waiting.discard(name)
                    self.replica.published += accepted
                    self.replica.refused += not accepted
                    return

    async def _send(self, text: str) -> None:
        self.replica.reconciling_bytes += len(text)
        await self._socket.send(text)

    async def _receive(self) -> RelayMessage | None:
        try:
            async with asyncio.timeout(self._settings.answer_timeout):
                text = await self._socket.receive()
        except TimeoutError as error:
            raise CannotReplicate(
                "The relay does not answer. Perhaps it offers no reconciliation (NIP-77)."
            ) from error
        try:
            return parse_relay_message(json.loads(text))
        except (InvalidMessage, ValueError, RecursionError):
            return None
