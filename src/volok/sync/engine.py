"""All relays of a node at once: which connections there should be, and how things stand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace

from volok.model.crypto import Signer
from volok.paths.live import LivePath
from volok.store.blobs import Blobs
from volok.store.deliveries import Deliveries, RelayFacts
from volok.store.store import Store
from volok.sync.dialogue import InboxKey
from volok.sync.intake import Intake
from volok.sync.session import Session
from volok.sync.settings import SyncSettings
from volok.sync.status import RelayProblem, RelayState, RelayStatus, RoundReport, merge
from volok.sync.surroundings import Surroundings
from volok.sync.transfer import Transfers


@dataclass(frozen=True, slots=True)
class RelayScope:
    """A relay and the inboxes of ours that are read from it."""

    url: str
    inboxes: tuple[InboxKey, ...] = ()


@dataclass(frozen=True, slots=True)
class _Slot:
    """One connection: that of a relay, or that of one inbox where a relay knows one key only or
    must not learn which inboxes belong together."""

    url: str
    inbox: str = ""
    separate: bool = False
    """Whether the relay must not learn what belongs together (`LivePath.separates`)."""


@dataclass(slots=True)
class _Entry:
    session: Session
    task: asyncio.Task[None]
    leave_at: float | None = None
    was_idle: bool = False


class Engine:
    """Keeps the inboxes of a node in step with its relays and publishes what waits.

    `now` gives Unix seconds; `upload_secret` (32 bytes) lets uploads go on after a restart where it
    stays the same. Runs in one event loop; nothing is contacted before `run` or `round`.
    """

    def __init__(
        self,
        store: Store,
        blobs: Blobs,
        deliveries: Deliveries,
        path: LivePath,
        signer: Signer,
        now: Callable[[], float],
        settings: SyncSettings | None = None,
        upload_secret: bytes | None = None,
    ) -> None:
        self._settings = settings or SyncSettings()
        self._deliveries = deliveries
        self._signer = signer
        self._intake = Intake(store, signer, now, self._settings.seen)
        self._around = Surroundings(
            path=path,
            store=store,
            deliveries=deliveries,
            intake=self._intake,
            signer=signer,
            settings=self._settings,
            now=now,
            handshakes=asyncio.Semaphore(self._settings.handshakes),
            changed=self._note,
            learned=self._learned,
        )
        self._transfers = Transfers(
            blobs,
            deliveries,
            path,
            signer,
            now,
            self._settings,
            self._chance,
            self._connected,
            self._transferred,
            self._learned,
            upload_secret,
        )
        self._scopes: dict[str, tuple[InboxKey, ...]] = {}
        self._facts: dict[str, RelayFacts] = {}
        self._entries: dict[_Slot, _Entry] = {}
        self._published = 0
        self._replan = asyncio.Event()
        self._arranged = 0
        self._change = asyncio.Event()
        self._running = asyncio.Lock()

    def set_scopes(self, scopes: Sequence[RelayScope]) -> None:
        """These relays and inboxes are read from now on. Connections that stay are not dropped."""
        merged: dict[str, dict[str, InboxKey]] = {}
        for scope in scopes:
            merged.setdefault(scope.url, {}).update({key.public: key for key in scope.inboxes})
        self._scopes = {url: tuple(keys.values()) for url, keys in merged.items()}
        self._replan.set()

    def status(self) -> tuple[RelayStatus, ...]:
        """How things stand with each relay, by URL."""
        parts: dict[str, list[RelayStatus]] = {}
        for slot, entry in self._entries.items():
            parts.setdefault(slot.url, []).append(entry.session.status)
        return tuple(merge(parts[url]) for url in sorted(parts))

    def replan(self) -> None:
        """What the paths can do may have changed."""
        self._replan.set()

    async def changed(self) -> None:
        """Return at the next change of a status."""
        await self._change.wait()

    async def run(self) -> None:
        """Stay in step until cancelled. Ends with an ExceptionGroup of VaultError when the delivery
        log cannot be read; start it again later. A second call waits for the first to end."""
        async with self._running:
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._watch())
                    tasks.create_task(self._transfers.run())
                    await self._plan(tasks)
            finally:
                self._published = self._all_published() - self._transfers.published
                self._entries.clear()
                self._note()

    async def round(self, seconds: float) -> RoundReport:
        """One full round in both directions with every relay, or as much of it as so many
        seconds allow; works beside `run` and without it."""
        runner = None if self._running.locked() else asyncio.create_task(self.run())
        try:
            return await self._round(seconds, runner)
        finally:
            if runner is not None:
                runner.cancel()
                await asyncio.gather(runner, return_exceptions=True)

    async def _round(self, seconds: float, runner: asyncio.Task[None] | None) -> RoundReport:
        received, published = self._intake.received, self._all_published()
        arranged = self._arranged
        self._replan.set()
        failures: dict[Session, int] = {}
        hurried = False
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while runner is None or not runner.done():
                    change = self._change
                    if self._arranged > arranged and not hurried:
                        hurried = True
                        for entry in self._entries.values():
                            failures[entry.session] = entry.session.failures
                            entry.session.hurry()
                        self._transfers.hurry()
                    if hurried and self._settled(failures):
                        break
                    await change.wait()
        if runner is not None and runner.done():
            runner.result()
        return RoundReport(
            received=self._intake.received - received,
            published=self._all_published() - published,
            problems=self._problems(),
        )

    def _settled(self, failures: dict[Session, int]) -> bool:
        sessions = [entry.session for entry in self._entries.values()]
        return (
            not self._replan.is_set()
            and self._transfers.idle
            and all(
                one.status.in_step
                or one.status.state is RelayState.REFUSED
                or one.failures > failures.get(one, 0)
                for one in sessions
            )
        )

    def _problems(self) -> tuple[RelayProblem, ...]:
        found = {
            status.url: status.problem or "The relay did not finish in time."
            for status in self.status()
            if not status.in_step
        }
        return tuple(
            RelayProblem(url, problem)
            for url, problem in sorted({**self._transfers.problems, **found}.items())
        )

    async def _plan(self, tasks: asyncio.TaskGroup) -> None:
        while True:
            self._replan.clear()
            await self._arrange(tasks)
            self._arranged += 1
            self._note()
            times = [one.leave_at for one in self._entries.values() if one.leave_at is not None]
            with suppress(TimeoutError):
                async with asyncio.timeout_at(min(times, default=None)):
                    await self._replan.wait()

    async def _arrange(self, tasks: asyncio.TaskGroup) -> None:
        """Make the connections what they should be."""
        waiting = await self._deliveries.relays()
        for url in {*self._scopes, *waiting} - self._facts.keys():
            self._facts[url] = await self._deliveries.facts(url)
        wanted = self._wanted(waiting)
        now = asyncio.get_running_loop().time()
        for slot, entry in list(self._entries.items()):
            if slot not in wanted:
                if entry.leave_at is None:
                    # A relay that is no longer named is left at once, and so is one that is now
                    # to be dealt with in another way.
                    changed = any(
                        one.url == slot.url and one.separate != slot.separate for one in wanted
                    )
                    stays = not (entry.session.inboxes or changed)
                    grace = self._settings.idle_timeout if stays else 0.0
                    entry.leave_at = now + grace
                if entry.leave_at <= now:
                    entry.task.cancel()
                    self._published += entry.session.published
                    del self._entries[slot]
        for slot, inboxes in wanted.items():
            known = self._entries.get(slot)
            if known is not None:
                known.leave_at = None
                known.session.set_inboxes(inboxes)
                continue
            session = Session(
                slot.url, self._around, inboxes, not slot.inbox, self._chance, slot.separate
            )
            self._entries[slot] = _Entry(session, tasks.create_task(session.run()))

    def _wanted(self, waiting: Sequence[str]) -> dict[_Slot, tuple[InboxKey, ...]]:
        separates = self._around.path.separates
        apart = {url: separates(url) for url in {*waiting, *self._scopes}}
        wanted: dict[_Slot, tuple[InboxKey, ...]] = {
            _Slot(url, "", apart[url]): () for url in waiting
        }
        for url, inboxes in self._scopes.items():
            if inboxes and (apart[url] or self._facts[url].keys_per_connection == 1):
                wanted.update({_Slot(url, key.public, apart[url]): (key,) for key in inboxes})
            else:
                wanted[_Slot(url, "", apart[url])] = inboxes
        return wanted

    async def _watch(self) -> None:
        while True:
            await self._deliveries.changed()
            for entry in self._entries.values():
                entry.session.poke()
            self._transfers.poke()
            self._replan.set()

    def _learned(self, facts: RelayFacts) -> None:
        known = self._facts.get(facts.url, RelayFacts(facts.url))
        news = {name: value for name, value in asdict(facts).items() if value is not None}
        self._facts[facts.url] = replace(known, **news)
        for slot, entry in self._entries.items():
            if slot.url == facts.url:
                entry.session.learned(facts)
        if self._facts[facts.url].keys_per_connection != known.keys_per_connection:
            self._replan.set()
        self._note()

    def _connected(self, url: str) -> bool:
        return any(
            slot.url == url and entry.session.connected for slot, entry in self._entries.items()
        )

    def _all_published(self) -> int:
        live = sum(entry.session.published for entry in self._entries.values())
        return self._published + live + self._transfers.published

    def _chance(self) -> float:
        return int.from_bytes(self._signer.random(4)) / 2**32

    def _transferred(self) -> None:
        if self._transfers.idle:
            self._replan.set()
        self._note()

    def _note(self) -> None:
        for entry in self._entries.values():
            idle = entry.session.idle
            if idle and not entry.was_idle:
                self._replan.set()
            entry.was_idle = idle
        change, self._change = self._change, asyncio.Event()
        change.set()
