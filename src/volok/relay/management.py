"""The management API of a relay (NIP-86): POST to its URL, authorized by NIP-98.

1. Only keys in the setting `admins` may call; without one there is no such endpoint.
2. An authorization is taken once. Those of changes are kept with the state for as long as they
   could be used again, so that neither a restart nor another process takes them a second time.
3. The URL that an authorization names has to be one of `public_urls`, or of the loopback address
   where there are none: else whoever got one for another relay could use it here.
4. Nothing about calls is written but what they change.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from volok.model.crypto import Verifier
from volok.model.event import Event
from volok.model.filters import Filter
from volok.relay.errors import RelayError
from volok.relay.http_auth import Used, check_http_auth
from volok.relay.lists import Lists
from volok.relay.management_calls import (
    MAX_BODY,
    METHODS,
    Call,
    Effects,
    InvalidCall,
    answer,
    apply,
    changes,
    parse_call,
    reads,
)
from volok.relay.management_state import State, StateFile
from volok.relay.metrics import Metrics
from volok.relay.reading import BodyTooLong, read_body
from volok.relay.reports import REPORT_KIND, Reports
from volok.relay.tokens import InvalidToken, parse_token
from volok.store.blobs import BlobError
from volok.store.store import Store, StoreError

MEDIA_TYPE = "application/nostr+json+rpc"

_AT_ONCE = 500
_MOST_REPORTS = 2_000


class _Replayed(Exception):
    pass


@dataclass(slots=True)
class Management:
    """The endpoint of one relay, and the lists that follow it."""

    file: StateFile
    admins: Collection[str]
    """Public keys, hexadecimal."""
    verifier: Verifier
    store: Store
    now: Callable[[], int]
    """Unix seconds."""
    places: Callable[[Request], Collection[str]]
    """Where this relay is, each as `http_auth.same_place` has it."""
    reports: Reports
    metrics: Metrics
    erase_blob: Callable[[str], Awaitable[None]] | None = None
    """Erases a blob, whoever brought it; None where there are no blobs."""
    _used: Used = field(default_factory=Used, init=False)
    _looked: int = field(default=-1, init=False)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    def state(self) -> State:
        """What holds now, with changes by other processes of a second ago at the latest."""
        now = self.now()
        if now != self._looked:
            self._looked = now
            try:
                return self.file.refresh()
            except (RelayError, OSError):
                self.metrics.store_failures += 1
        return self.file.state

    def lists(self) -> Lists:
        """What is banned and allowed now."""
        return self.state().lists

    async def serve(self, request: Request) -> Response:
        """POST / with the media type of NIP-86."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != MEDIA_TYPE:
            return _error(415, f"Calls have the media type {MEDIA_TYPE}.")
        try:
            token = parse_token(request.headers.get("authorization"))
            body = await read_body(request, MAX_BODY)
            await self._check(request, token, body)
        except InvalidToken as error:
            self.metrics.management_refused += 1
            return _error(401, str(error))
        except BodyTooLong:
            return _error(413, f"A call has at most {MAX_BODY} bytes.")
        except (ClientDisconnect, TimeoutError):
            return _error(400, "The call was cut off.")
        if token.pubkey not in self.admins:
            self.metrics.management_refused += 1
            return _error(403, "This key does not manage this relay.")
        return await self._answer(token, body)

    async def _check(self, request: Request, token: Event, body: bytes) -> None:
        check = partial(check_http_auth, token, self.verifier, body=body, now=self.now())
        await asyncio.to_thread(check, places=self.places(request), method=request.method)

    async def _answer(self, token: Event, body: bytes) -> Response:
        try:
            call = parse_call(body)
        except InvalidCall as error:
            return _error(400, str(error))
        try:
            async with self._lock:
                result = await self._carry_out(token, call)
        except InvalidCall as error:
            return _error(200, str(error))
        except _Replayed:
            self.metrics.management_refused += 1
            return _error(401, "This authorization was used before.")
        except (RelayError, OSError, StoreError, BlobError):
            self.metrics.store_failures += 1
            return _error(503, "The call could not be carried out; try again.")
        self.metrics.management_calls += 1
        return JSONResponse({"result": result}, headers={"Cache-Control": "no-store"})

    async def _carry_out(self, token: Event, call: Call) -> object:
        if changes(call):
            effects = await asyncio.to_thread(
                self.file.change, partial(self._changed, token=token, call=call)
            )
            await self._erase(effects)
            return True
        self._use(token, self.file.state)
        if call.method == "supportedmethods":
            return [*METHODS, *self._own_methods()]
        if reads(call):
            return answer(call, self.state())
        if call.method in self._own_methods():
            return await self._own_methods()[call.method]()
        raise InvalidCall("There is no such method here; supportedmethods lists them.")

    def _changed(self, state: State, *, token: Event, call: Call) -> tuple[State, Effects]:
        # Under the lock of the file: of two processes that get the same call one carries it out.
        self._use(token, state)
        state, effects = apply(call, state)
        return replace(state, used=self._used.recent(self.now())), effects

    def _use(self, token: Event, state: State) -> None:
        self._used.note(dict(state.used))
        if not self._used.use(token, self.now()):
            raise _Replayed

    async def _erase(self, effects: Effects) -> None:
        if effects.event:
            await self.store.delete([effects.event])
        if effects.blob:
            self.reports.settle(effects.blob)
            if self.erase_blob is not None:
                await self.erase_blob(effects.blob)
        if effects.author:
            wanted = Filter(authors=frozenset({effects.author}))
            while entries := await self.store.query([wanted], _AT_ONCE, self.now()):
                await self.store.delete([entry.event.id for entry in entries])

    def _own_methods(self) -> Mapping[str, Callable[[], Awaitable[object]]]:
        return {
            "listeventsneedingmoderation": self._reported_events,
            "listreportedblobs": self._reported_blobs,
        }

    async def _reported_blobs(self) -> object:
        return self.reports.listed()

    async def _reported_events(self) -> object:
        """Stored events that a report (NIP-56) names, unless a moderator let them stand."""
        now = self.now()
        asked = Filter(kinds=frozenset({REPORT_KIND}))
        reports = await self.store.query([asked], _MOST_REPORTS, now)
        reasons: dict[str, set[str]] = {}
        for entry in reports:
            for tag in entry.event.tags:
                if tag[0] == "e" and len(tag) > 1:
                    reasons.setdefault(tag[1], set()).add(tag[2] if len(tag) > 2 else "other")
        for reviewed in self.lists().reviewed_events:
            reasons.pop(reviewed, None)
        if not reasons:
            return []
        wanted = Filter(ids=frozenset(reasons))
        entries = await self.store.query([wanted], len(reasons), now)
        return [
            {"id": entry.event.id, "reason": ", ".join(sorted(reasons[entry.event.id]))}
            for entry in entries
        ]


def _error(status: int, reason: str) -> Response:
    headers = {"X-Reason": reason, "Cache-Control": "no-store"}
    return JSONResponse({"error": reason}, status, headers)
