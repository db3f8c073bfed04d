"""One websocket: carries out what `volok.relay.protocol` says. No task unless something is awaited.

Questions that take time (queries, counts, signatures of AUTH) are answered one after the other by
one short-lived task; while a key is being checked, and while too much waits, nothing more is read.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

import orjson
from websockets.frames import CloseCode

from volok.model.auth import InvalidAuth, check_auth
from volok.model.crypto import Verifier
from volok.model.event import Event
from volok.relay.access import Refusal
from volok.relay.admission import Admission, Visit, unlimited
from volok.relay.fanout import Fanout, Frames
from volok.relay.frames import TEXT, Message, is_utf8, text_frame
from volok.relay.ingest import Brought, Ingest, Result
from volok.relay.lists import Lists
from volok.relay.metrics import Metrics
from volok.relay.outbox import Outbox, Turn
from volok.relay.outputs import (
    CheckAuth,
    Output,
    Query,
    Reconcile,
    SendEntries,
    SendEntry,
    SendText,
    Subscribe,
    TakeIn,
    Tally,
    Unsubscribe,
)
from volok.relay.page_frames import frames_of, in_parts
from volok.relay.protocol import Connection
from volok.relay.query import visible_pages
from volok.relay.reconciling import Reconciler
from volok.relay.settings import RelaySettings
from volok.relay.shares import Account, shares_of
from volok.relay.snapshots import Snapshots
from volok.relay.websocket import Socket
from volok.store.store import Entry, Outcome, Store, StoreError
from volok.sync.messages import ClientMessage, Notice

_FAREWELL_SECONDS = 5.0
"""How long a slow reader has to hear why it is disconnected."""
_MAX_QUESTIONS = 32
"""Questions of one connection that wait for an answer; beyond that nothing more is read from it."""
_REST = 4
"""After a count a connection waits so many times as long as it took before it gets another; and so
does who replaces or closes subscriptions whose stored entries have not come yet."""
_LONGEST_REST = 2.0


@dataclass(frozen=True, slots=True)
class Services:
    """What all connections of one relay share."""

    settings: RelaySettings
    store: Store
    verifier: Verifier
    now: Callable[[], int]
    """Unix seconds."""
    challenge: Callable[[], str]
    """A fresh random text (NIP-42)."""
    fanout: Fanout
    ingest: Ingest
    metrics: Metrics
    snapshots: Snapshots
    admission: Admission
    lists: Callable[[], Lists] = Lists
    """What is banned and allowed at the moment."""
    turn: Turn = field(default_factory=Turn)
    sessions: set[Session] = field(default_factory=set)
    """All that are open."""


class Session:
    """One connected client: the `Handler` of its websocket."""

    def __init__(self, services: Services, hosts: Collection[str], visit: Visit) -> None:
        """`hosts` are the names that an AUTH may give us; `visit` holds the client's budgets."""
        self._services = services
        self._hosts = hosts
        self._visit = visit
        self._connection = Connection(
            services.settings,
            services.challenge(),
            services.lists,
            self._spend if visit.is_limited else unlimited,
        )
        self._socket: Socket | None = None
        self._outbox: Outbox | None = None
        self._brought = Brought()
        self._questions: deque[Output] = deque()
        self._answering: asyncio.Task[None] | None = None
        self._rested = 0.0
        """When it has rested from its last question, in seconds of the event loop."""
        self._is_hasty = False
        """Whether it did not wait for the stored entries of its last subscription."""
        self._answers = Account()
        """What sending stored entries has taken."""
        self._reconciler: Reconciler | None = None
        self._paused = False
        services.sessions.add(self)
        services.metrics.connections += 1
        services.metrics.connections_total += 1

    # What `volok.relay.websocket.Handler` promises.

    def opened(self, socket: Socket) -> None:
        """See Handler."""
        services, settings = self._services, self._services.settings
        self._socket = socket
        self._outbox = Outbox(
            settings.max_queue_messages, settings.max_queue_bytes, services.turn, socket
        )
        self._send(self._connection.opened())

    def message_received(self, message: Message) -> bool:
        """See Handler."""
        services, frame = self._services, message.payload
        try:
            if message.opcode != TEXT:
                raise ValueError
            value = orjson.loads(frame)
        except ValueError:
            services.metrics.malformed += 1
            if message.opcode == TEXT and not is_utf8(frame) and self._socket is not None:
                self._socket.close(CloseCode.INVALID_DATA)
            else:
                self._send(self._connection.frame_malformed())
            return False
        now, head = services.now(), services.store.head
        work = services.admission.effort.difficulty
        outputs = self._connection.frame_received(value, len(frame), now, head, work)
        self._carry_out(outputs)
        self._pause_or_resume()
        for output in outputs:
            if not isinstance(output, SendText):
                return not self._is_in_vain()
        return False  # whatever is refused at once is answered with text alone

    def _is_in_vain(self) -> bool:
        """Whether forged events come, or questions that are not wanted any more when their turn
        comes."""
        if self._brought.forges or not self._questions:
            return self._brought.forges
        awaits = self._connection.awaits
        return any(isinstance(one, Query) and not awaits(one) for one in self._questions)

    def writable(self) -> None:
        """See Handler."""
        if self._outbox is not None:
            self._outbox.flush()

    def failed(self) -> None:
        """See Handler."""
        self._services.metrics.failures += 1

    def closed(self) -> None:
        """See Handler."""
        self._socket = None
        if self._outbox is not None:
            self._outbox.clear()
            self._outbox = None
        if self._answering is not None:
            self._answering.cancel()
        if self._reconciler is not None:
            self._reconciler.close()
        self._questions.clear()
        self._services.sessions.discard(self)
        self._services.metrics.connections -= 1
        self._visit.leave()
        self._carry_out(self._connection.closed())

    def dismiss(self, code: int) -> None:
        """Close the websocket with this code (RFC 6455, section 7.4)."""
        if self._socket is not None:
            self._socket.close(code)

    def entry_appeared(self, subscriptions: Sequence[str], entry: Entry, frames: Frames) -> None:
        """A new entry matches these subscriptions (see `volok.relay.fanout.Listener`)."""
        for output in self._connection.entry_appeared(subscriptions, entry):
            if isinstance(output, SendEntry):
                frame = frames.get(output.head)
                if frame is None:
                    frame = frames[output.head] = _frame_of(output)
                self._services.metrics.events_sent += 1
                self._put(frame)

    def _send(self, outputs: Iterable[Output]) -> None:
        for output in outputs:
            match output:
                case SendEntries():
                    self._services.metrics.events_sent += len(output.entries)
                    self._put(frames_of(output))
                case SendText(text):
                    self._put(text_frame(text.encode()))

    def _put(self, frame: bytes) -> None:
        outbox = self._outbox
        if outbox is None:
            return
        outbox.put(frame)
        if outbox.overflowed and self._socket is not None:
            socket, self._socket, self._outbox = self._socket, None, None
            self._services.metrics.slow_readers += 1
            text = Notice("error: you read too slowly, connect again").to_text()
            socket.send(text_frame(text.encode()))
            socket.close(CloseCode.TRY_AGAIN_LATER, "too slow", _FAREWELL_SECONDS)

    def _carry_out(self, outputs: Iterable[Output]) -> None:
        index = self._services.fanout.index
        for output in outputs:
            match output:
                case SendText() | SendEntries():
                    self._send([output])
                case TakeIn(event):
                    self._services.metrics.events_received += 1
                    keys = self._connection.reader.keys
                    authed = event.pubkey if event.pubkey in keys else min(keys, default="")
                    is_lone = self._brought.another(asyncio.get_running_loop().time())
                    settle = partial(self._settled, event)
                    self._services.ingest.submit(event, settle, self, authed, is_lone)
                case Subscribe(subscription, filters):
                    index.add(self, subscription, filters)
                    self._services.metrics.subscriptions = len(index)
                case Unsubscribe(subscription):
                    index.remove(self, subscription)
                    self._services.metrics.subscriptions = len(index)
                case Reconcile():
                    self._reconcile(output)
                case _:
                    self._questions.append(output)
                    if self._answering is None:
                        self._answering = asyncio.create_task(self._answer_all())

    def _reconcile(self, asked: Reconcile) -> None:
        services = self._services
        if self._reconciler is None:
            self._reconciler = Reconciler(
                services.snapshots,
                services.settings,
                services.metrics,
                lambda text: self._put(text_frame(text.encode())),
                self._room,
            )
        self._reconciler.take(asked, self._connection.reader)

    async def _room(self) -> None:
        if self._outbox is not None and self._outbox.is_backed_up:
            await self._outbox.room()

    def _spend(self, message: ClientMessage, size: int, now: float) -> Refusal | None:
        excess = self._visit.spend(message, size, now)
        self._services.metrics.events_limited += excess is not None
        return excess

    def _settled(self, event: Event, result: Result) -> None:
        metrics = self._services.metrics
        self._brought.settled(result)
        match result:
            case Outcome.ADDED:
                metrics.events_added += 1
            case Outcome.DUPLICATE:
                metrics.events_duplicate += 1
            case _:
                metrics.events_refused += 1
        self._send(self._connection.event_settled(event, result))
        if self._paused:
            self._pause_or_resume()

    def _pause_or_resume(self) -> None:
        if self._socket is None:
            return
        most = self._services.settings.max_pending
        # A key that is being checked may decide what comes after it.
        full = (
            self._brought.pending >= (most + 1) // 2
            if self._paused
            else self._brought.pending >= most or self._services.ingest.is_crowded
        )
        questions = self._questions
        waits = bool(questions) and any(isinstance(asked, CheckAuth) for asked in questions)
        wanted = full or waits or len(questions) >= _MAX_QUESTIONS
        if wanted and not self._paused:
            self._socket.pause()
        elif self._paused and not wanted:
            self._socket.resume()
        self._paused = wanted

    async def _answer_all(self) -> None:
        try:
            while self._questions:
                await self._answer(self._questions[0])
                if self._questions:
                    self._questions.popleft()
                self._pause_or_resume()
        except Exception:
            self._services.metrics.failures += 1
            self.dismiss(CloseCode.INTERNAL_ERROR)
        finally:
            self._answering = None

    async def _answer(self, question: Output) -> None:
        services, connection = self._services, self._connection
        match question:
            case Query():
                await self._answer_query(question)
            case CheckAuth(event, challenge):
                problem = await self._problem_of_auth(event, challenge)
                self._carry_out(connection.auth_checked(event, problem))
            case Tally(subscription, filters):
                await self._rest()
                count, begun = None, asyncio.get_running_loop().time()
                # A store's failure is one answer less, not the end of the connection.
                with contextlib.suppress(StoreError):
                    visible = connection.reader.visibility
                    count = await services.store.count(filters, services.now(), visible)
                self._tire(begun)
                self._carry_out(connection.tallied(subscription, count))

    async def _answer_query(self, query: Query) -> None:
        services, connection = self._services, self._connection
        if self._is_hasty and connection.awaits(query):
            await self._rest()
        self._is_hasty = not connection.awaits(query)
        if self._is_hasty:
            return
        services.metrics.queries += 1
        loop = asyncio.get_running_loop()
        shares, begun = shares_of(loop), loop.time()
        try:
            async for page, is_last in visible_pages(
                services.store, query.filters, query.limit, connection.reader, services.now()
            ):
                for output in in_parts(connection.query_answered(query, page, is_last)):
                    backed_up = self._outbox is not None and self._outbox.is_backed_up
                    if backed_up or (isinstance(output, SendEntries) and shares.is_busy):
                        await self._room()
                        await shares.turn(self._answers)
                        # It may have been closed or replaced meanwhile.
                        if not connection.awaits(query):
                            return
                    self._carry_out([output])
                if not is_last and not connection.awaits(query):
                    return
        except StoreError:
            self._carry_out(connection.query_answered(query, None))
        finally:
            self._is_hasty = not connection.awaits(query)
            self._tire(begun)

    def _tire(self, begun: float) -> None:
        """A question was answered that was begun then."""
        now = asyncio.get_running_loop().time()
        self._rested = now + min(_REST * (now - begun), _LONGEST_REST)

    async def _rest(self) -> None:
        missing = self._rested - asyncio.get_running_loop().time()
        if missing > 0:
            await asyncio.sleep(missing)

    async def _problem_of_auth(self, event: Event, challenge: str) -> str | None:
        services = self._services
        services.metrics.authentications += 1
        check = partial(
            check_auth,
            event,
            services.verifier,
            challenge=challenge,
            hosts=self._hosts,
            now=services.now(),
        )
        try:
            await asyncio.get_running_loop().run_in_executor(None, check)
        except InvalidAuth as error:
            return str(error)
        return None


def _frame_of(output: SendEntry) -> bytes:
    return text_frame(b"%b%b]" % (output.head.encode(), output.entry.raw))
