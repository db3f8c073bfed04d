"""One websocket: carries out what `volok.relay.protocol` says. All its I/O is here."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import orjson
from starlette.websockets import WebSocket, WebSocketDisconnect

from volok.model.auth import InvalidAuth, check_auth
from volok.model.crypto import Verifier
from volok.model.event import Event
from volok.relay.fanout import Fanout
from volok.relay.ingest import Ingest
from volok.relay.metrics import Metrics
from volok.relay.outbox import Outbox
from volok.relay.outputs import (
    CheckAuth,
    Output,
    Query,
    Rejection,
    SendEntry,
    SendText,
    Subscribe,
    TakeIn,
    Tally,
    Unsubscribe,
)
from volok.relay.protocol import Connection
from volok.relay.query import visible_entries
from volok.relay.settings import RelaySettings
from volok.store.store import Entry, Outcome, Store, StoreError
from volok.sync.messages import Notice

_FAREWELL_SECONDS = 5.0
"""How long a slow reader has to hear why it is disconnected."""
_TRY_AGAIN_LATER = 1013
"""Websocket close code (IANA registry of RFC 6455)."""


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


class Session:
    """One connected client."""

    def __init__(self, services: Services, websocket: WebSocket, hosts: Collection[str]) -> None:
        """`websocket` is accepted already; `hosts` are the names that an AUTH may give us."""
        settings = services.settings
        self._services = services
        self._websocket = websocket
        self._hosts = hosts
        self._connection = Connection(settings, services.challenge())
        self._outbox = Outbox(settings.max_queue_messages, settings.max_queue_characters)
        self._room = asyncio.Semaphore(settings.max_pending)

    async def run(self) -> None:
        """Serve the client until it is gone or too slow."""
        self._send(self._connection.opened())
        tasks = [
            asyncio.create_task(work)
            for work in (self._read(), self._write(), self._outbox.overflowed.wait())
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            unforeseen = [result for result in results if isinstance(result, Exception)]
            self._services.metrics.failures += len(unforeseen)
            for output in self._connection.closed():
                await self._carry_out(output)
        if self._outbox.overflowed.is_set():
            self._services.metrics.slow_readers += 1
            await self._dismiss()

    def entry_appeared(self, subscriptions: Sequence[str], entry: Entry) -> None:
        """A new entry matches these subscriptions (see `volok.relay.fanout.Listener`)."""
        self._send(self._connection.entry_appeared(subscriptions, entry))

    async def _read(self) -> None:
        metrics = self._services.metrics
        while True:
            message = await self._websocket.receive()
            if message["type"] == "websocket.disconnect":
                return
            try:
                frame = message["text"].encode()
                value = orjson.loads(frame)
            except (orjson.JSONDecodeError, KeyError, AttributeError, UnicodeEncodeError):
                metrics.malformed += 1
                self._send(self._connection.frame_malformed())
                continue
            now, head = self._services.now(), self._services.store.head
            for output in self._connection.frame_received(value, len(frame), now, head):
                await self._carry_out(output)

    async def _write(self) -> None:
        with contextlib.suppress(WebSocketDisconnect):
            while True:
                await self._websocket.send_text(await self._outbox.take())

    async def _dismiss(self) -> None:
        with contextlib.suppress(WebSocketDisconnect, RuntimeError, TimeoutError):
            async with asyncio.timeout(_FAREWELL_SECONDS):
                text = Notice("error: you read too slowly, connect again").to_text()
                await self._websocket.send_text(text)
                await self._websocket.close(_TRY_AGAIN_LATER, "too slow")

    def _send(self, outputs: Iterable[Output]) -> None:
        for output in outputs:
            match output:
                case SendText(text):
                    self._outbox.put(text)
                case SendEntry(head, entry):
                    self._services.metrics.events_sent += 1
                    self._outbox.put(f"{head}{entry.raw.decode()}]")

    async def _carry_out(self, output: Output) -> None:
        index = self._services.fanout.index
        match output:
            case SendText() | SendEntry():
                self._send([output])
            case TakeIn(event):
                await self._room.acquire()
                self._services.metrics.events_received += 1
                self._services.ingest.submit(event, partial(self._settled, event))
            case CheckAuth(event, challenge):
                problem = await self._problem_of_auth(event, challenge)
                self._send(self._connection.auth_checked(event, problem))
            case Subscribe(subscription, filters):
                index.add(self, subscription, filters)
                self._services.metrics.subscriptions = len(index)
            case Unsubscribe(subscription):
                index.remove(self, subscription)
                self._services.metrics.subscriptions = len(index)
            case Query():
                await self._answer(output)
            case Tally(subscription, filters):
                try:
                    count = await self._services.store.count(filters, self._services.now())
                except StoreError:
                    count = None
                self._send(self._connection.tallied(subscription, count))

    async def _answer(self, query: Query) -> None:
        services, entries = self._services, None
        services.metrics.queries += 1
        # A store's failure is one answer less, not the end of the connection.
        with contextlib.suppress(StoreError):
            entries = await visible_entries(
                services.store, query.filters, query.limit, self._connection.reader, services.now()
            )
        for output in self._connection.query_answered(query, entries):
            if isinstance(output, Unsubscribe):
                await self._carry_out(output)
            await self._outbox.room()
            self._send([output])

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

    def _settled(self, event: Event, result: Outcome | Rejection) -> None:
        metrics = self._services.metrics
        match result:
            case Outcome.ADDED:
                metrics.events_added += 1
            case Outcome.DUPLICATE:
                metrics.events_duplicate += 1
            case _:
                metrics.events_refused += 1
        self._room.release()
        self._send(self._connection.event_settled(event, result))
