"""A relay that we stay connected to: attempts, waits, and what is to be told of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, replace

from volok.paths.live import PathError
from volok.store.deliveries import RelayFacts
from volok.sync.backlog import Progress
from volok.sync.backoff import Backoff
from volok.sync.client import Client
from volok.sync.conversation import Conversation
from volok.sync.dialogue import Described, InboxKey
from volok.sync.held import Held
from volok.sync.status import RelayState, RelayStatus
from volok.sync.surroundings import Surroundings


class Session:
    """Keeps one connection to one relay, again and again, until cancelled.

    `publishes`: whether the deliveries for this relay go over it. `chance` is random in [0, 1).
    `single`: whether each connection is for one event alone, or for one inbox that the relay must
    not put together with others. Such an inbox is read on a rota: at random moments, so that the
    connections of one person neither begin nor end together.
    """

    def __init__(
        self,
        url: str,
        around: Surroundings,
        inboxes: Sequence[InboxKey],
        publishes: bool,
        chance: Callable[[], float],
        single: bool = False,
    ) -> None:
        self.url = url
        self._around = around
        self._settings = around.settings
        self._inboxes = tuple(inboxes)
        self._publishes = publishes
        self._chance = chance
        self._single = single
        self._on_rota = single and not publishes
        self._backoff = Backoff(self._settings.retry_first, self._settings.retry_max)
        self._talk: Conversation | None = None
        self._hurry = asyncio.Event()
        self._facts = RelayFacts(url)
        self._state = RelayState.CONNECTING
        self._since = around.now()
        self._problem = ""
        self._careful = False
        self._held = Held(self._settings.seen)
        self._progress: Progress | None = None
        self._said: Described | None = None
        self._publish_first = False
        self._published = 0
        self.failures = 0
        """Attempts and connections that came to a bad end."""

    @property
    def inboxes(self) -> tuple[InboxKey, ...]:
        """The inboxes read over this session."""
        return self._inboxes

    @property
    def published(self) -> int:
        """Events that the relay took over this session."""
        return self._published + (self._talk.published if self._talk else 0)

    @property
    def connected(self) -> bool:
        """Whether the websocket is open."""
        return self._talk is not None

    @property
    def idle(self) -> bool:
        """Whether nothing keeps this connection: no inbox of ours and nothing to publish."""
        return not self._inboxes and self._talk is not None and self._talk.idle

    @property
    def status(self) -> RelayStatus:
        """How things stand."""
        talk = self._talk
        problem = talk.client.problem if talk else self._problem
        state = RelayState.REFUSED if talk and problem else self._state
        return RelayStatus(
            self.url, state, self._since, problem, self._facts, talk is not None and talk.in_step
        )

    def set_inboxes(self, inboxes: Sequence[InboxKey]) -> None:
        """These are the inboxes now; a live connection stays."""
        if tuple(inboxes) != self._inboxes:
            self._inboxes = tuple(inboxes)
            if self._talk:
                self._talk.inboxes_changed()

    def poke(self) -> None:
        """Something may wait for this relay."""
        if self._talk and self._publishes:
            self._talk.look()

    def hurry(self) -> None:
        """Do not wait for the next attempt; look again for what the relay holds."""
        self._backoff.reset()
        self._hurry.set()
        if self._talk:
            self._talk.catch_up()
            self.poke()

    def learned(self, facts: RelayFacts) -> None:
        """Remember new facts; None fields leave what was known."""
        known = {name: value for name, value in asdict(facts).items() if value is not None}
        self._facts = replace(self._facts, **known)

    async def run(self) -> None:
        """Connect and stay connected until cancelled."""
        await self._rest(self._spread())
        while True:
            self._enter(RelayState.CONNECTING)
            self._hurry.clear()
            try:
                async with asyncio.timeout(self._stay()):
                    pause, self._problem = await self._attempt()
            except TimeoutError:
                # Its turn is over, and all is well.
                self._enter(RelayState.CONNECTED)
                await self._rest(self._chance() * self._settings.rota_rest)
                continue
            if pause != 0.0:
                self.failures += 1
                self._enter(RelayState.WAITING)
            wait = self._backoff.wait(self._chance()) if pause is None else pause
            await self._rest(wait + self._spread())

    async def _rest(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._hurry.wait()

    def _spread(self) -> float:
        return self._chance() * self._settings.rota_spread if self._on_rota else 0.0

    def _stay(self) -> float | None:
        if not self._on_rota:
            return None
        return (0.5 + self._chance()) * self._settings.rota_stay

    async def _attempt(self) -> tuple[float | None, str]:
        """One connection from its beginning to its end; the pause wanted and what went wrong."""
        self._facts = await self._around.deliveries.facts(self.url)
        try:
            async with self._around.handshakes:
                socket = await self._around.path.websocket(self.url)
        except PathError as error:
            return None, str(error)
        clock = asyncio.get_running_loop().time
        started, received = clock(), self._around.intake.received
        client = Client(
            self._facts,
            self._around.signer,
            self._settings,
            self._careful,
            self._progress,
            self._held,
        )
        self._talk = Conversation(
            self.url,
            self._around,
            socket,
            client,
            lambda: self._inboxes,
            self._publishes,
            self._said,
            self._publish_first,
            self._single,
        )
        self._enter(RelayState.CONNECTED)
        try:
            pause = await self._talk.run()
            problem = self._talk.problem or client.problem or "The connection was lost."
            renew, published = self._talk.renew, self._talk.published
            reads = self._talk.reads
            # Where connections are short, none is spent on asking again.
            self._said = self._talk.said if renew else None
        finally:
            self._published += self._talk.published
            self._talk = None
            await socket.close()
        if clock() - started >= self._settings.stable_after:
            self._backoff.reset()
        self._careful = client.in_flight > 0 and not renew
        before = self._progress
        if reads:
            self._progress = client.progress if renew else None
        moved = self._progress is not None and self._progress != before
        # Connections that end early read and publish by turns: both would starve each other.
        self._publish_first = renew and not self._publish_first
        # What comes here may have come from another relay before.
        if renew and (published or moved or self._around.intake.received > received):
            # Without any progress the waits must grow, or this would spin.
            self._backoff.reset()
            return 0.0, problem
        return pause, problem

    def _enter(self, state: RelayState) -> None:
        self._state, self._since = state, self._around.now()
        self._around.changed()
