"""The I/O of one connection to one relay: a socket, the protocol core, the store and the log.

One task turns inputs into outputs. Beside it: a reader of the socket; an intake that verifies and
stores and then moves cursors, in order; a clerk who writes marks and fetches what waits. Queues
between them are bounded, so a relay that sends faster than we store is read more slowly.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

from volok.model.crypto import Signer
from volok.model.event import Event
from volok.model.filters import Filter
from volok.paths.live import FrameTooBig, LivePath, PathError, Response, Socket
from volok.store.deliveries import Deliveries, Delivery, ItemKind, Mark, MarkState, RelayFacts
from volok.store.store import Store, StoreError, StoreFull
from volok.store.vault import VaultError, VaultFull
from volok.sync.client import Client
from volok.sync.dialogue import (
    CatchUpWanted,
    CaughtUp,
    Connected,
    Disconnect,
    Inbox,
    InboxesSet,
    InboxKey,
    Ingest,
    Ingested,
    Input,
    Lost,
    Moment,
    Offered,
    Outbound,
    Output,
    Received,
    Record,
    Send,
    SetFacts,
    TimeCame,
)
from volok.sync.intake import Intake
from volok.sync.messages import EventMessage
from volok.sync.nip11 import parse_document
from volok.sync.settings import SyncSettings

_BATCH = 200
_SKEW = 60


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all connections of a node share. `now` gives Unix seconds; `changed` is called after
    every change of a status, `learned` after new facts about a relay."""

    path: LivePath
    store: Store
    deliveries: Deliveries
    intake: Intake
    signer: Signer
    settings: SyncSettings
    now: Callable[[], float]
    handshakes: asyncio.Semaphore
    changed: Callable[[], None]
    learned: Callable[[RelayFacts], None]


class Conversation:
    """One connection, from open to closed. `inboxes` gives those of the moment; `publishes`:
    whether the deliveries for this relay go over it."""

    def __init__(
        self,
        url: str,
        around: Surroundings,
        socket: Socket,
        client: Client,
        inboxes: Callable[[], Sequence[InboxKey]],
        publishes: bool,
    ) -> None:
        self._url = url
        self._around = around
        self._socket = socket
        self._inboxes = inboxes
        self._publishes = publishes
        self._inputs: asyncio.Queue[Input] = asyncio.Queue()
        self._frames = asyncio.Semaphore(_BATCH)
        self._to_take: asyncio.Queue[Ingest | CaughtUp] = asyncio.Queue(_BATCH)
        self._taking = 0
        self._fresh: list[Event] = []
        self._marks: list[Mark] = []
        self._offered: set[str] = set()
        self._look = asyncio.Event()
        self._looked = not publishes
        self._moved = asyncio.Event()
        self._catching_up = False
        self._told: tuple[bool, str] | None = None
        self.client = client
        self.published = 0
        """Events that the relay took."""
        self.problem = ""
        """Why the connection ended, where it was not the relay."""

    @property
    def in_step(self) -> bool:
        """Whether everything read is stored and everything that waits is published."""
        reading = self._catching_up or self._taking or self._fresh or not self.client.in_step
        return not reading and self.idle

    @property
    def idle(self) -> bool:
        """Whether nothing waits to be published."""
        return self._looked and not self._look.is_set() and not self._offered

    def catch_up(self) -> None:
        """Look again for what the relay holds."""
        self._catching_up = True
        self._tell(CatchUpWanted())

    def look(self) -> None:
        """Something may wait for this relay."""
        self._look.set()

    def inboxes_changed(self) -> None:
        """`inboxes` gives something else now."""
        self._moved.set()

    async def run(self) -> float | None:
        """Talk until the connection ends. Returns the pause that the core asks for, if any."""
        pause: float | None = None
        try:
            async with asyncio.TaskGroup() as tasks:
                await self._set_inboxes()
                self._tell(Connected())
                helpers = [self._read(), self._take(), self._follow_inboxes()]
                if self._publishes:
                    self.look()
                    helpers += [self._clerk(), self._describe()]
                running = [tasks.create_task(helper) for helper in helpers]
                pause = await self._turn()
                await self._to_take.join()
                await self._write_marks()
                for task in running:
                    task.cancel()
        except* (StoreFull, VaultFull):
            self.problem = "The disk is full. Free some space and try again."
        except* (StoreError, VaultError):
            self.problem = "What came from the relay could not be stored."
        return None if self.problem else pause

    def _tell(self, given: Input) -> None:
        self._inputs.put_nowait(given)

    async def _turn(self) -> float | None:
        while True:
            for given in await self._next():
                for output in self.client.handle(given, self._moment()):
                    if isinstance(output, Disconnect):
                        await self._flush()
                        return output.pause
                    if not await self._carry_out(output):
                        return None
                self._catching_up = self._catching_up and not isinstance(given, CatchUpWanted)
                if isinstance(given, Lost):
                    await self._flush()
                    return None
            await self._flush()
            self._note()

    async def _next(self) -> list[Input]:
        wake, given = self.client.wakes_at, list[Input]()
        try:
            async with asyncio.timeout_at(wake):
                given.append(await self._inputs.get())
        except TimeoutError:
            return [TimeCame()]
        while not self._inputs.empty() and len(given) < _BATCH:
            given.append(self._inputs.get_nowait())
        for one in given:
            if isinstance(one, Received):
                self._frames.release()
        if wake is not None and wake <= asyncio.get_running_loop().time():
            given.append(TimeCame())
        return given

    async def _carry_out(self, output: Output) -> bool:
        match output:
            case Send(text):
                return await self._send(text)
            case Ingest(events):
                self._fresh += events
            case CaughtUp():
                await self._flush()
                await self._put(output)
            case Record(marks):
                self._marks += marks
                self.published += sum(mark.state is MarkState.TAKEN for mark in marks)
                self._look.set()
            case SetFacts(facts):
                await self._learn(facts)
        return True

    async def _send(self, text: str) -> bool:
        try:
            async with asyncio.timeout(self._around.settings.answer_timeout):
                await self._socket.send(text)
        except PathError:
            # The reader finds out as well, and knows why.
            return True
        except TimeoutError:
            self.problem = "The relay does not answer."
            return False
        return True

    async def _flush(self) -> None:
        if self._fresh:
            events, self._fresh = tuple(self._fresh), []
            await self._put(Ingest(events))

    async def _put(self, output: Ingest | CaughtUp) -> None:
        self._taking += 1
        await self._to_take.put(output)

    async def _read(self) -> None:
        try:
            while True:
                await self._frames.acquire()
                self._tell(Received(await self._socket.receive()))
        except FrameTooBig:
            self._tell(Lost(too_big=True))
        except PathError:
            self._tell(Lost())

    async def _take(self) -> None:
        while True:
            output = await self._to_take.get()
            if isinstance(output, Ingest):
                forged = await self._around.intake.take(output.events)
                if forged:
                    self._tell(Ingested(forged))
            else:
                for inbox in output.inboxes:
                    await self._around.deliveries.set_cursor(self._url, inbox, output.until)
            self._taking -= 1
            self._to_take.task_done()
            self._note()

    async def _clerk(self) -> None:
        while True:
            await self._look.wait()
            self._look.clear()
            self._looked = False
            await self._write_marks()
            waiting = await self._fetch()
            found = await self._events(waiting)
            lost = [one for one in waiting if one.item not in found]
            self._marks += [Mark(one.item, self._url, MarkState.REFUSED, "missing") for one in lost]
            self._offered |= {one.item for one in waiting}
            if lost:
                self._look.set()
            if found:
                self._tell(
                    Offered(
                        tuple(
                            _outbound(one, found[one.item]) for one in waiting if one.item in found
                        )
                    )
                )
            self._looked = True
            self._note()

    async def _write_marks(self) -> None:
        if self._marks:
            marks, self._marks = self._marks, []
            await self._around.deliveries.mark(marks)
            self._offered -= {mark.item for mark in marks}

    async def _fetch(self) -> list[Delivery]:
        room = 2 * self._around.settings.window - len(self._offered)
        if room <= 0:
            return []
        waiting = await self._around.deliveries.pending(
            self._url, room + len(self._offered), ItemKind.EVENT
        )
        return [one for one in waiting if one.item not in self._offered][:room]

    async def _events(self, waiting: Sequence[Delivery]) -> dict[str, Event]:
        if not waiting:
            return {}
        wanted = Filter(ids=frozenset(one.item for one in waiting))
        now = int(self._around.now())
        entries = await self._around.store.query([wanted], len(waiting), now)
        return {entry.event.id: entry.event for entry in entries}

    async def _describe(self) -> None:
        """Fetch the NIP-11 document: the websocket's URL over HTTP."""
        url = self._url.replace("ws", "http", 1)
        with suppress(PathError, TimeoutError):
            async with (
                asyncio.timeout(self._around.settings.answer_timeout),
                self._around.path.request(
                    "GET", url, {"Accept": "application/nostr+json"}
                ) as response,
            ):
                data = await self._bounded(response)
                said = parse_document(data, self._ahead(response.headers.get("date", "")))
            self._tell(said)
            if said.max_content is not None:
                await self._learn(RelayFacts(self._url, max_content=said.max_content))

    async def _bounded(self, response: Response) -> bytes:
        data = bytearray()
        async for piece in response.body:
            data += piece
            if response.status != 200 or len(data) > self._around.settings.document_size:
                return b""
        return bytes(data)

    def _ahead(self, date: str) -> int:
        """How far the relay's clock is ahead; what NIP-42 tolerates anyway counts as nothing."""
        try:
            theirs = parsedate_to_datetime(date).replace(tzinfo=UTC).timestamp()
        except ValueError:
            return 0
        ahead = int(theirs - self._around.now())
        return ahead if abs(ahead) > _SKEW else 0

    async def _learn(self, facts: RelayFacts) -> None:
        await self._around.deliveries.set_facts(facts)
        self._around.learned(facts)

    async def _follow_inboxes(self) -> None:
        while True:
            await self._moved.wait()
            self._moved.clear()
            await self._set_inboxes()

    async def _set_inboxes(self) -> None:
        cursor = self._around.deliveries.cursor
        boxes = [Inbox(key, await cursor(self._url, key.public)) for key in self._inboxes()]
        self._tell(InboxesSet(tuple(boxes)))

    def _note(self) -> None:
        told = (self.in_step, self.client.problem)
        if told != self._told:
            self._told = told
            self._around.changed()

    def _moment(self) -> Moment:
        return Moment(asyncio.get_running_loop().time(), int(self._around.now()))


def _outbound(delivery: Delivery, event: Event) -> Outbound:
    text = EventMessage(event).to_text()
    return Outbound(delivery.number, delivery.item, len(event.content), text)
