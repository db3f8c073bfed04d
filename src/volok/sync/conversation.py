"""The I/O of one connection to one relay: a socket, the protocol core, the store and the log.

One task turns inputs into outputs. Beside it: a reader of the socket; an intake that verifies and
stores and then moves cursors, in order; a clerk who writes marks and fetches what waits. Queues
between them are bounded, so a relay that sends faster than we store is read more slowly.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from volok.model.event import Event
from volok.paths.live import FrameTooBig, PathError, Resumable, Socket
from volok.store.deliveries import RelayFacts
from volok.store.store import StoreError, StoreFull
from volok.store.vault import VaultError, VaultFull
from volok.sync.clerk import Clerk
from volok.sync.client import Client
from volok.sync.describe import describe
from volok.sync.dialogue import (
    CatchUpWanted,
    CaughtUp,
    Connected,
    Described,
    Disconnect,
    Inbox,
    InboxesSet,
    InboxKey,
    Ingest,
    Ingested,
    Input,
    Lost,
    Moment,
    Output,
    Received,
    Record,
    Send,
    SetFacts,
    TimeCame,
)
from volok.sync.surroundings import Surroundings

_BATCH = 200
_SKEW = 60


class Conversation:
    """One connection, from open to closed. `inboxes` gives those of the moment; `publishes`:
    whether the deliveries for this relay go over it; `publishes_first`: whether reading waits until
    nothing is left to publish, for connections that are too short for both; `single`: whether
    the connection is for one event, so that the relay cannot tell which ones belong together."""

    def __init__(
        self,
        url: str,
        around: Surroundings,
        socket: Socket,
        client: Client,
        inboxes: Callable[[], Sequence[InboxKey]],
        publishes: bool,
        said: Described | None = None,
        publishes_first: bool = False,
        single: bool = False,
    ) -> None:
        self.said = said
        """What the relay says of itself; asked for unless it was given."""
        self._url = url
        self._around = around
        self._socket = socket
        self._inboxes = inboxes
        self._inputs: asyncio.Queue[Input] = asyncio.Queue()
        self._frames = asyncio.Semaphore(_BATCH)
        self._to_take: asyncio.Queue[Ingest | CaughtUp] = asyncio.Queue(_BATCH)
        self._taking = 0
        self._fresh: list[Event] = []
        self._single = single
        most = 1 if single else None
        self._clerk = Clerk(url, around, self._tell, self._note, most) if publishes else None
        self._moved = asyncio.Event()
        self._catching_up = False
        self._told: tuple[bool, str] | None = None
        self.reads = not (publishes and publishes_first)
        """Whether reading has begun."""
        self.client = client
        self.problem = ""
        """Why the connection ended, where it was not the relay."""
        self.renew = False
        """Whether the path ended it on purpose, to go on over a new one at once."""

    @property
    def in_step(self) -> bool:
        """Whether everything read is stored and everything that waits is published."""
        reading = (
            not self.reads
            or self._catching_up
            or self._taking
            or self._fresh
            or not self.client.in_step
        )
        return not reading and self.idle

    @property
    def published(self) -> int:
        """Events that the relay took."""
        return self._clerk.published if self._clerk else 0

    @property
    def idle(self) -> bool:
        """Whether nothing waits to be published."""
        return self._clerk is None or self._clerk.idle

    def catch_up(self) -> None:
        """Look again for what the relay holds."""
        self._catching_up = True
        self._tell(CatchUpWanted())

    def look(self) -> None:
        """Something may wait for this relay."""
        if self._clerk:
            self._clerk.look()

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
                helpers = [self._read(), self._take(), self._follow_inboxes(), self._describe()]
                if self._clerk:
                    helpers.append(self._clerk.run())
                running = [tasks.create_task(helper) for helper in helpers]
                pause = await self._turn()
                await self._to_take.join()
                if self._clerk:
                    await self._clerk.write()
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
                    if self._single and isinstance(output, Record):
                        await self._flush()
                        self.renew = True
                        return 0.0
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
            case Record(marks) if self._clerk:
                self._clerk.record(marks)
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
        except Resumable:
            self.renew = True
            self._tell(Lost())
        except PathError:
            self._tell(Lost())

    async def _take(self) -> None:
        events: list[Event] = []
        while True:
            outputs = [await self._to_take.get()]
            while not self._to_take.empty():
                outputs.append(self._to_take.get_nowait())
            # Whoever is behind takes more at a time.
            for output in outputs:
                if isinstance(output, Ingest):
                    events += output.events
                else:
                    await self._store(events)
                    for inbox in output.inboxes:
                        await self._around.deliveries.set_cursor(self._url, inbox, output.until)
            await self._store(events)
            self._taking -= len(outputs)
            for _ in outputs:
                self._to_take.task_done()
            self._note()

    async def _store(self, events: list[Event]) -> None:
        taken = tuple(events)
        events.clear()
        if forged := await self._around.intake.take(taken):
            self._tell(Ingested(forged))
        else:
            self.client.held.add(taken)

    async def _describe(self) -> None:
        around = self._around
        said = self.said or await describe(self._url, around.path, around.now, around.settings)
        self.said = said
        self._tell(said)
        if said.max_content is not None:
            # What experience has shown to be too long stays too long.
            known = (await self._around.deliveries.facts(self._url)).max_content
            longest = min(said.max_content, known or said.max_content)
            await self._learn(RelayFacts(self._url, max_content=longest))

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
        begins = not self.reads and self.idle
        keys = self._inboxes() if self.reads or begins else ()
        boxes = [Inbox(key, await cursor(self._url, key.public)) for key in keys]
        self._tell(InboxesSet(tuple(boxes)))
        if begins:
            self.reads = True
            self.catch_up()

    def _note(self) -> None:
        if not self.reads and self.idle:
            self._moved.set()
        told = (self.in_step, self.client.problem)
        if told != self._told:
            self._told = told
            self._around.changed()

    def _moment(self) -> Moment:
        return Moment(asyncio.get_running_loop().time(), int(self._around.now()))
