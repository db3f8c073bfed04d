"""Blobs to and from the Blossom servers beside relays: which, from where, and when.

1. A few at once, apart from the websockets: a slow blob never delays a message. How one is moved is
   `volok.sync.exchange`.
2. What failed is tried again after a pause that grows for each relay.
3. Relays that answer are asked first. One that is silent for a moment holds up nobody: the blob is
   then carried by the next one as well.
4. A relay whose websocket works and whose HTTP does not has no Blossom. One that takes blobs only
   whole, on a network that cuts connections before, is given up after a few attempts: small files
   travel as messages then.
5. What a relay does not have (404) may still be on its way there: it is asked for again after
   pauses that grow, and only then left alone for long (`Deliveries.missing`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from volok.model.crypto import Signer
from volok.paths.live import LivePath, PathError
from volok.store.blobs import BlobError, BlobMismatch, BlobMissing, Blobs, BlobsFull, BlobTooLarge
from volok.store.deliveries import (
    Deliveries,
    ItemKind,
    Mark,
    MarkState,
    RelayFacts,
    WantedBlob,
)
from volok.store.vault import VaultError
from volok.sync.backoff import Backoff
from volok.sync.exchange import NOT_IN_PARTS, Busy, Exchange
from volok.sync.settings import SyncSettings

_GRACE = 60.0
_SILENCES = 3
_CUTS = 3
_NO_BLOSSOM = frozenset((404, 405, 501))
_NOT_ALLOWED = frozenset((401, 402, 403))
_BUSY = frozenset((408, 425, 429))


class _CutShort(Exception):
    """The network does not let a whole blob through, and the relay takes no part of one."""


@dataclass(slots=True)
class _Relay:
    backoff: Backoff
    not_before: float = 0.0
    silences: int = 0
    cuts: int = 0
    answered: bool = False
    problem: str = ""
    heard_at: float = 0.0


@dataclass(slots=True)
class _Absence:
    backoff: Backoff
    waited: float = 0.0
    not_before: float = 0.0


@dataclass(frozen=True, slots=True)
class _Job:
    name: str
    relay: str
    wanted: WantedBlob | None = field(default=None, compare=False)

    @property
    def subject(self) -> tuple[str, bool]:
        """The blob, and whether it comes."""
        return self.name, self.wanted is not None


@dataclass(slots=True)
class _Active:
    task: asyncio.Task[None]
    began: float


class Transfers:
    """All transfers of a node. `connected` tells whether the websocket of a relay is open,
    `chance` is random in [0, 1); `changed` and `learned` as in `Surroundings`; `secret` as with
    `Exchange`."""

    def __init__(
        self,
        blobs: Blobs,
        deliveries: Deliveries,
        path: LivePath,
        signer: Signer,
        now: Callable[[], float],
        settings: SyncSettings,
        chance: Callable[[], float],
        connected: Callable[[str], bool],
        changed: Callable[[], None],
        learned: Callable[[RelayFacts], None],
        secret: bytes | None = None,
    ) -> None:
        self._blobs = blobs
        self._deliveries = deliveries
        self._exchange = Exchange(
            blobs, path, signer, now, secret or signer.random(32), self._heard
        )
        self._settings = settings
        self._chance = chance
        self._connected = connected
        self._changed = changed
        self._learned = learned
        self._relays: dict[str, _Relay] = {}
        self._absent: dict[_Job, _Absence] = {}
        self._active: dict[_Job, _Active] = {}
        self._poked = asyncio.Event()
        self.published = 0
        """Blobs that a relay took, or had."""
        self.idle = False
        """Whether nothing can be done at the moment."""

    @property
    def problems(self) -> dict[str, str]:
        """What stands in the way at a relay, in a sentence for the person."""
        return {url: relay.problem for url, relay in self._relays.items() if relay.problem}

    def poke(self) -> None:
        """Something may wait or be wanted."""
        self.idle = False
        self._poked.set()

    def hurry(self) -> None:
        """Try everything now."""
        for relay in self._relays.values():
            relay.not_before, relay.problem = 0.0, ""
            relay.backoff.reset()
        self.poke()

    async def run(self) -> None:
        """Carry blobs until cancelled. Raises VaultError."""
        with suppress(BlobError):
            await self._exchange.keep_only(await self._deliveries.wanted())
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._poked.clear()
                for job in await self._jobs():
                    if len(self._active) - len(self._silent) < self._settings.transfers:
                        task = tasks.create_task(self._do(job))
                        self._active[job] = _Active(task, _time())
                self.idle = not self._active and not self._poked.is_set()
                self._changed()
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(self._next_attempt()):
                        await self._poked.wait()

    async def _jobs(self) -> list[_Job]:
        """What could be started now, the best first; no blob twice at once."""
        room = self._settings.transfers + len(self._active)
        jobs: list[_Job] = []
        for relay in await self._deliveries.relays():
            for one in await self._deliveries.pending(relay, room, ItemKind.BLOB):
                jobs.append(_Job(one.item, relay))
        for blob in await self._deliveries.wanted():
            jobs += [_Job(blob.name, relay, blob) for relay in blob.relays]
        self._absent = {job: self._absent[job] for job in jobs if job in self._absent}
        silent = self._silent
        busy = {job.subject for job in self._active if job not in silent}
        slow = {job.relay for job in silent}
        chosen: list[_Job] = []
        for job in sorted(jobs, key=lambda one: self._rank(one.relay)):
            free = job not in self._active and job.relay not in slow and job.subject not in busy
            if free and self._may(job):
                busy.add(job.subject)
                chosen.append(job)
        return chosen

    @property
    def _silent(self) -> set[_Job]:
        """What was asked of relays that have been silent since, for too long to wait for alone."""
        since = _time() - self._settings.transfer_patience
        return {
            job
            for job, active in self._active.items()
            if active.began < since and self._relay(job.relay).heard_at < active.began
        }

    def _rank(self, url: str) -> tuple[bool, int]:
        return not self._connected(url), self._relay(url).silences

    def _may(self, job: _Job) -> bool:
        absence = self._absent.get(job)
        not_before = max(self._relay(job.relay).not_before, absence.not_before if absence else 0.0)
        return not_before <= _time()

    def _next_attempt(self) -> float | None:
        now = _time()
        times = [one.not_before for one in self._relays.values()]
        times += [one.not_before for one in self._absent.values()]
        patience = self._settings.transfer_patience + 0.01
        times += [one.began + patience for one in self._active.values()]
        return min((time for time in times if time > now), default=None)

    def _relay(self, url: str) -> _Relay:
        if url not in self._relays:
            first, longest = self._settings.retry_first, self._settings.retry_max
            self._relays[url] = _Relay(Backoff(first, longest))
        return self._relays[url]

    def _heard(self, url: str) -> None:
        relay = self._relay(url)
        relay.answered, relay.heard_at = True, _time()

    async def _do(self, job: _Job) -> None:
        relay = self._relay(job.relay)
        try:
            if job.wanted is None:
                await self._upload(job)
            else:
                await self._download(job, job.wanted)
        except (BlobsFull, VaultError):
            self._failed(relay, "What was transferred could not be stored. Is the disk full?")
        except _CutShort:
            self._failed(
                relay,
                "This network cuts connections short, and this relay takes files only whole. Small "
                "files are sent as messages instead; for larger ones use another relay.",
            )
        except (PathError, TimeoutError, Busy, BlobError):
            await self._troubled(job, relay)
        else:
            relay.backoff.reset()
            relay.silences, relay.cuts, relay.problem = 0, 0, ""
        finally:
            self._active.pop(job, None)
            self._poked.set()

    async def _troubled(self, job: _Job, relay: _Relay) -> None:
        relay.silences += 1
        silent = relay.silences >= _SILENCES and not relay.answered
        if job.wanted is None and silent and self._connected(job.relay):
            await self._refuse(job, "no-blossom")
            await self._learn(job.relay, blossom=False)
            return
        self._failed(relay, "The relay cannot take or give files at the moment.")

    def _failed(self, relay: _Relay, problem: str) -> None:
        relay.problem = problem
        wait = relay.backoff.wait(self._chance())
        relay.not_before = _time() + wait

    async def _upload(self, job: _Job) -> None:
        try:
            size = await self._blobs.size(job.name)
            async with asyncio.timeout(self._patience(size)):
                status = await self._exchange.upload(job.relay, job.name)
        except BlobMissing:
            await self._refuse(job, "missing")
            return
        if 200 <= status < 300:
            self.published += 1
            await self._deliveries.mark([Mark(job.name, job.relay, MarkState.TAKEN)])
            await self._learn(job.relay, blossom=True)
        elif status == NOT_IN_PARTS:
            await self._cut_short(job)
        elif status in _NO_BLOSSOM:
            await self._refuse(job, "no-blossom")
            await self._learn(job.relay, blossom=False)
        elif status == 413:
            await self._refuse(job, "too-large")
        elif status in _NOT_ALLOWED:
            await self._refuse(job, "restricted")
        elif 400 <= status < 500 and status not in _BUSY:
            await self._refuse(job, "invalid")
        else:
            raise Busy

    async def _cut_short(self, job: _Job) -> None:
        relay = self._relay(job.relay)
        relay.cuts += 1
        if relay.cuts >= _CUTS:
            await self._refuse(job, "cut-short")
        raise _CutShort

    async def _download(self, job: _Job, wanted: WantedBlob) -> None:
        try:
            async with asyncio.timeout(self._patience(wanted.size)):
                status = await self._exchange.download(job.relay, wanted)
        except (BlobMismatch, BlobTooLarge):
            await self._deliveries.missing(job.name, job.relay)
            return
        if status == 200:
            await self._arrived(job)
        elif status == 404 and self._may_come(job):
            return
        elif 400 <= status < 500 and status not in _BUSY:
            await self._deliveries.missing(job.name, job.relay)
        else:
            raise Busy

    async def _arrived(self, job: _Job) -> None:
        await self._deliveries.arrived(job.name)
        for other, active in self._active.items():
            if other != job and other.subject == job.subject:
                active.task.cancel()

    def _may_come(self, job: _Job) -> bool:
        """Whether to ask for an absent blob again soon; sets when."""
        first, longest = self._settings.retry_first, self._settings.absence_limit
        absence = self._absent.setdefault(job, _Absence(Backoff(first, longest)))
        if absence.waited >= longest:
            return False
        # What is slow to come is not made slower by much.
        most = max(self._settings.absence_pause, absence.waited / 4)
        wait = min(absence.backoff.wait(self._chance()), most)
        absence.waited += wait
        absence.not_before = _time() + wait
        return True

    def _patience(self, size: int) -> float:
        return _GRACE + size / self._settings.transfer_rate

    async def _refuse(self, job: _Job, reason: str) -> None:
        await self._deliveries.mark([Mark(job.name, job.relay, MarkState.REFUSED, reason)])

    async def _learn(self, relay: str, *, blossom: bool) -> None:
        facts = RelayFacts(relay, blossom=blossom)
        await self._deliveries.set_facts(facts)
        self._learned(facts)


def _time() -> float:
    return asyncio.get_running_loop().time()
