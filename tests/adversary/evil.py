"""A relay that does what it likes: a plain one, and subclasses that misbehave in one way each."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import time
from collections.abc import AsyncIterator, Iterable
from random import Random
from typing import Any

from tests.adversary.world import CRYPTO
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from volok.model.envelope import BUCKETS, content_length
from volok.model.event import sign_event

Event = dict[str, Any]


class PlainRelay:
    """Takes everything, gives every inbox to whoever asks, keeps it all in memory."""

    def __init__(self) -> None:
        self.random = Random(7)
        self.events: list[Event] = []
        self.readers: dict[tuple[ServerConnection, str], set[str]] = {}
        self.frames_sent = 0

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        """Listen on a port of loopback until the block is left; gives the URL."""
        async with serve(self.talk, "127.0.0.1", 0, compression=None, close_timeout=0.1) as server:
            yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def talk(self, socket: ServerConnection) -> None:
        """One client, until it is gone."""
        with contextlib.suppress(ConnectionClosed):
            async for text in socket:
                name, *rest = json.loads(text)
                await getattr(self, f"on_{name.lower()}")(socket, *rest)

    async def on_event(self, socket: ServerConnection, event: Event) -> None:
        await self.say(socket, "OK", event["id"], True, "")
        if event["kind"] == 1059:
            self.events.append(event)
            await self.deliver(event)

    async def on_req(self, socket: ServerConnection, name: str, *filters: dict[str, Any]) -> None:
        inboxes = {inbox for asked in filters for inbox in asked.get("#p", ())}
        self.readers[socket, name] = inboxes
        await self.serve_stored(socket, name, inboxes)
        await self.say(socket, "EOSE", name)

    async def on_close(self, socket: ServerConnection, name: str) -> None:
        self.readers.pop((socket, name), None)

    async def on_auth(self, socket: ServerConnection, event: Event) -> None:
        await self.say(socket, "OK", event["id"], True, "")

    async def serve_stored(self, socket: ServerConnection, name: str, inboxes: set[str]) -> None:
        """What is held for these inboxes."""
        for event in self.events:
            if addressee(event) in inboxes:
                await self.say(socket, "EVENT", name, event)

    async def deliver(self, event: Event) -> None:
        """What has just come, to who waits for it."""
        await self.give([event])

    async def give(self, events: Iterable[Event]) -> None:
        """Events to whoever reads their inbox."""
        for event in events:
            for (socket, name), inboxes in list(self.readers.items()):
                if addressee(event) in inboxes:
                    with contextlib.suppress(ConnectionClosed):
                        await self.say(socket, "EVENT", name, event)

    async def say(self, socket: ServerConnection, *message: Any) -> None:
        """One frame."""
        self.frames_sent += 1
        await socket.send(json.dumps(message))


def addressee(event: Event) -> str:
    """The inbox that an envelope is for."""
    return next((tag[1] for tag in event["tags"] if tag[0] == "p"), "")


def junk(inbox: str, count: int, bucket: int) -> list[Event]:
    """Envelopes with true ids and signatures that hold nothing."""
    now, content = int(time.time()), "A" * content_length(bucket)
    return [
        json.loads(
            sign_event(CRYPTO, CRYPTO.random(32), now, 1059, [("p", inbox)], content).to_json()
        )
        for _ in range(count)
    ]


class Replays(PlainRelay):
    """Gives everything that it ever had with each new event, and everything twice."""

    async def deliver(self, event: Event) -> None:
        await self.give([*self.events, *reversed(self.events)])


class Reorders(PlainRelay):
    """Holds back, then gives what it has in any order."""

    async def deliver(self, event: Event) -> None:
        if len(self.events) % 5 == 0:
            await self.give(self.random.sample(self.events, len(self.events)))


class Withholds(PlainRelay):
    """Takes everything and shows nothing."""

    async def serve_stored(self, socket: ServerConnection, name: str, inboxes: set[str]) -> None:
        return

    async def deliver(self, event: Event) -> None:
        return


class Forges(PlainRelay):
    """Changes what passes, before the true one can arrive by another way."""

    async def deliver(self, event: Event) -> None:
        content = bytearray(base64.b64decode(event["content"]))
        content[-1] ^= 1
        altered = base64.b64encode(content).decode()
        stranger = [("p", addressee(event)), ("expiration", str(int(time.time()) + 10**6))]
        signed = sign_event(CRYPTO, CRYPTO.random(32), event["created_at"], 1059, stranger, altered)
        await self.give(
            [
                {**event, "content": altered},
                {**event, "sig": "0" * 128},
                {**event, "id": "f" * 64},
                {**event, "pubkey": "e" * 64},
                json.loads(signed.to_json()),
            ]
        )


class TalksNonsense(PlainRelay):
    """Answers everything with frames that are no messages, or no JSON, or no text."""

    NONSENSE: tuple[str | bytes, ...] = (
        "",
        "{",
        "[]",
        "[" * 5000,
        "null",
        '["EVENT"]',
        '["EVENT","i1",{}]',
        '["EVENT","i1",{"id":7}]',
        '["OK",1,2,3]',
        '["OK","",false]',
        '["EOSE","never asked"]',
        '["CLOSED","i1"]',
        '["CLOSED","i1","auth-required: again"]',
        '["AUTH",{}]',
        '["AUTH","\\ud800"]',
        '["NOTICE","' + "x" * 10_000 + '"]',
        '["COUNT","i1",{"count":-1}]',
        '["EVENT","i1",' + '{"a":' * 3000 + "1" + "}" * 3001,
        "1e999999",
        b"\x00\xff\xfe",
    )

    async def talk(self, socket: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for _ in socket:
                for frame in self.NONSENSE:
                    self.frames_sent += 1
                    await socket.send(frame)


class LiesInOk(PlainRelay):
    """Answers for other events, both ways, with every reason that there is; keeps nothing."""

    REASONS = (
        "",
        "duplicate: had it",
        "invalid: event too large",
        "blocked: never",
        "pow: 60 bits",
        "rate-limited: slow",
        "restricted: no",
        "auth-required: who are you",
        "error: oops",
        "\u0000",
    )

    async def on_event(self, socket: ServerConnection, event: Event) -> None:
        self.events.append(event)
        reason = self.random.choice(self.REASONS)
        await self.say(socket, "OK", self.random.choice(self.events)["id"], False, reason)
        await self.say(socket, "OK", "a" * 64, True, reason)
        await self.say(socket, "OK", event["id"], self.random.random() < 0.5, reason)
        await self.say(socket, "OK", event["id"], self.random.random() < 0.5, reason)

    async def on_auth(self, socket: ServerConnection, event: Event) -> None:
        await self.say(socket, "OK", event["id"], False, "restricted: no")


class HangsUp(PlainRelay):
    """Ends the connection in the middle of everything."""

    async def on_event(self, socket: ServerConnection, event: Event) -> None:
        await socket.close()


class Stalls(PlainRelay):
    """Takes the connection, then neither reads nor answers."""

    async def talk(self, socket: ServerConnection) -> None:
        await socket.wait_closed()


class Floods(PlainRelay):
    """Sends as fast as it is read: junk with true signatures, then some of it for ever."""

    DISTINCT = 1000

    def __init__(self) -> None:
        super().__init__()
        self._floods: dict[ServerConnection, asyncio.Task[None]] = {}
        self._bytes = 0
        self._sent = asyncio.Condition()

    async def flooded(self, more: int) -> None:
        """Return when so many more bytes were read."""
        goal = self._bytes + more
        async with self._sent:
            await self._sent.wait_for(lambda: self._bytes >= goal)

    async def on_req(self, socket: ServerConnection, name: str, *filters: dict[str, Any]) -> None:
        await super().on_req(socket, name, *filters)
        inboxes = [inbox for asked in filters for inbox in asked.get("#p", ())]
        if socket not in self._floods:
            self._floods[socket] = asyncio.create_task(self._flood(socket, name, inboxes[0]))

    async def _flood(self, socket: ServerConnection, name: str, inbox: str) -> None:
        distinct = junk(inbox, self.DISTINCT, BUCKETS[0])
        large = junk(inbox, 20, BUCKETS[-1])
        with contextlib.suppress(ConnectionClosed):
            for event in itertools.chain(distinct, itertools.cycle(large)):
                frame = json.dumps(["EVENT", name, event])
                await socket.send(frame)
                self.frames_sent += 1
                self._bytes += len(frame)
                async with self._sent:
                    self._sent.notify_all()
