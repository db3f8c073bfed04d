"""Blobs to and from the Blossom servers beside relays (BUD-01, BUD-02, BUD-11).

1. A few at once, apart from the websockets: a slow blob never delays a message.
2. A blob goes whole or not at all; what failed is tried again after a pause that grows for each
   relay. What is there already (HEAD) is not sent.
3. A relay whose websocket works and whose HTTP does not has no Blossom.
4. Upload tokens are signed by a key that is used once.
5. What a relay does not have (404) may still be on its way there: it is asked for again after
   pauses that grow, and only then left alone for long (`Deliveries.missing`).
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from volok.model.crypto import Signer
from volok.model.event import sign_event
from volok.model.keys import KeyPair
from volok.model.urls import blossom_url
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
from volok.sync.settings import SyncSettings

AUTHORIZATION = 24242
"""Kind of an authorization token (BUD-11)."""

_TOKEN_LIFE = 12 * 3600
"""Seconds before and after our time in which a token holds: our clock may be hours off."""
_GRACE = 60.0
_SILENCES = 3
_NO_BLOSSOM = frozenset((404, 405, 501))
_NOT_ALLOWED = frozenset((401, 402, 403))
_BUSY = frozenset((408, 425, 429))


class _Busy(Exception):
    """The relay cannot do it at the moment."""


@dataclass(slots=True)
class _Relay:
    backoff: Backoff
    not_before: float = 0.0
    silences: int = 0
    answered: bool = False
    problem: str = ""


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


class Transfers:
    """All transfers of a node. `connected` tells whether the websocket of a relay is open,
    `chance` is random in [0, 1); `changed` and `learned` as in `Surroundings`."""

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
    ) -> None:
        self._blobs = blobs
        self._deliveries = deliveries
        self._path = path
        self._signer = signer
        self._now = now
        self._settings = settings
        self._chance = chance
        self._connected = connected
        self._changed = changed
        self._learned = learned
        self._relays: dict[str, _Relay] = {}
        self._absent: dict[_Job, _Absence] = {}
        self._active: dict[_Job, asyncio.Task[None]] = {}
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
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._poked.clear()
                for job in await self._jobs():
                    if len(self._active) < self._settings.transfers:
                        self._active[job] = tasks.create_task(self._do(job))
                self.idle = not self._active and not self._poked.is_set()
                self._changed()
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(self._next_attempt()):
                        await self._poked.wait()

    async def _jobs(self) -> list[_Job]:
        """What could be started now, no blob twice at once."""
        room = self._settings.transfers + len(self._active)
        jobs: list[_Job] = []
        for relay in await self._deliveries.relays():
            for one in await self._deliveries.pending(relay, room, ItemKind.BLOB):
                jobs.append(_Job(one.item, relay))
        for blob in await self._deliveries.wanted():
            jobs += [_Job(blob.name, relay, blob) for relay in blob.relays]
        self._absent = {job: self._absent[job] for job in jobs if job in self._absent}
        busy = {(job.name, job.wanted is not None) for job in self._active}
        chosen: list[_Job] = []
        for job in jobs:
            if (job.name, job.wanted is not None) not in busy and self._may(job):
                busy.add((job.name, job.wanted is not None))
                chosen.append(job)
        return chosen

    def _may(self, job: _Job) -> bool:
        absence = self._absent.get(job)
        not_before = max(self._relay(job.relay).not_before, absence.not_before if absence else 0.0)
        return not_before <= asyncio.get_running_loop().time()

    def _next_attempt(self) -> float | None:
        now = asyncio.get_running_loop().time()
        times = [one.not_before for one in self._relays.values()]
        times += [one.not_before for one in self._absent.values()]
        return min((time for time in times if time > now), default=None)

    def _relay(self, url: str) -> _Relay:
        if url not in self._relays:
            first, longest = self._settings.retry_first, self._settings.retry_max
            self._relays[url] = _Relay(Backoff(first, longest))
        return self._relays[url]

    async def _do(self, job: _Job) -> None:
        relay = self._relay(job.relay)
        try:
            if job.wanted is None:
                await self._upload(job)
            else:
                await self._download(job, job.wanted)
        except (BlobsFull, VaultError):
            self._failed(relay, "What was transferred could not be stored. Is the disk full?")
        except (PathError, TimeoutError, _Busy, BlobError):
            await self._troubled(job, relay)
        else:
            relay.backoff.reset()
            relay.silences, relay.problem = 0, ""
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
        relay.not_before = asyncio.get_running_loop().time() + wait

    async def _upload(self, job: _Job) -> None:
        try:
            size = await self._blobs.size(job.name)
            async with asyncio.timeout(self._patience(size)):
                there = blossom_url(job.relay, job.name)
                status = await self._status(job.relay, "HEAD", there, {}, None)
                if status != 200:
                    status = await self._put(job, blossom_url(job.relay, "upload"), size)
        except BlobMissing:
            await self._refuse(job, "missing")
            return
        if 200 <= status < 300:
            self.published += 1
            await self._deliveries.mark([Mark(job.name, job.relay, MarkState.TAKEN)])
            await self._learn(job.relay, blossom=True)
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
            raise _Busy

    async def _put(self, job: _Job, url: str, size: int) -> int:
        headers = {
            "authorization": self._token("upload", job.name),
            "content-type": "application/octet-stream",
            "content-length": str(size),
            "x-sha-256": job.name,
        }
        return await self._status(job.relay, "PUT", url, headers, self._blobs.read(job.name))

    async def _status(
        self,
        relay: str,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: AsyncIterator[bytes] | None,
    ) -> int:
        async with self._path.request(method, url, headers, body) as response:
            self._relay(relay).answered = True
            return response.status

    async def _download(self, job: _Job, wanted: WantedBlob) -> None:
        url = blossom_url(job.relay, job.name)
        try:
            async with asyncio.timeout(self._patience(wanted.size)):
                status = await self._get(job, wanted, url, {})
                if status == 401:
                    token = {"authorization": self._token("get", job.name)}
                    status = await self._get(job, wanted, url, token)
        except (BlobMismatch, BlobTooLarge):
            await self._deliveries.missing(job.name, job.relay)
            return
        if status == 200:
            await self._deliveries.arrived(job.name)
        elif status == 404 and self._may_come(job):
            return
        elif 400 <= status < 500 and status not in _BUSY:
            await self._deliveries.missing(job.name, job.relay)
        else:
            raise _Busy

    def _may_come(self, job: _Job) -> bool:
        """Whether to ask for an absent blob again soon; sets when."""
        first, longest = self._settings.retry_first, self._settings.absence_limit
        absence = self._absent.setdefault(job, _Absence(Backoff(first, longest)))
        if absence.waited >= longest:
            return False
        wait = absence.backoff.wait(self._chance())
        absence.waited += wait
        absence.not_before = asyncio.get_running_loop().time() + wait
        return True

    async def _get(
        self, job: _Job, wanted: WantedBlob, url: str, headers: Mapping[str, str]
    ) -> int:
        async with self._path.request("GET", url, headers) as response:
            self._relay(job.relay).answered = True
            if response.status == 200:
                await self._blobs.put(response.body, job.name, wanted.size)
            return response.status

    def _patience(self, size: int) -> float:
        return _GRACE + size / self._settings.transfer_rate

    def _token(self, verb: str, name: str) -> str:
        now = int(self._now())
        tags = [("t", verb), ("x", name), ("expiration", str(now + _TOKEN_LIFE))]
        secret = KeyPair.generate(self._signer).secret
        event = sign_event(self._signer, secret, now - _TOKEN_LIFE, AUTHORIZATION, tags, "")
        return f"Nostr {base64.b64encode(event.to_json()).decode()}"

    async def _refuse(self, job: _Job, reason: str) -> None:
        await self._deliveries.mark([Mark(job.name, job.relay, MarkState.REFUSED, reason)])

    async def _learn(self, relay: str, *, blossom: bool) -> None:
        facts = RelayFacts(relay, blossom=blossom)
        await self._deliveries.set_facts(facts)
        self._learned(facts)
