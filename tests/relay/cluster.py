"""A cluster on this computer: real relays, PostgreSQL and NATS, and clients that come back."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import shutil
import socket
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import websockets
from tests.end_to_end.processes import Process
from tests.store.cluster_servers import Nats, Postgres

from volok.model.event import sign_event
from volok.native import NativeCrypto
from volok.store.key_file import KEY_FILE

CRYPTO = NativeCrypto()
SECRET = b"\x05" * 32
KIND = 1
PAUSE = 0.02
"""Seconds between two events of one publisher."""


@dataclass
class RelayProcess(Process):
    """A relay of a cluster, at a port that stays the same."""

    folder: Path = Path()
    store: str = ""
    port: int = 0

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    async def start(self) -> str:
        """Start it; returns its first line."""
        line = await super().start()
        assert json.loads(line)["port"] == self.port
        return line


def new_relay(folder: Path, store: str, bus: str, key_of: Path | None = None) -> RelayProcess:
    """A relay that is not started yet, with the key file of another one."""
    folder.mkdir()
    if key_of is not None:
        shutil.copy(key_of / KEY_FILE, folder)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    shared = ("--store", store, "--bus", bus)
    arguments = ("relay", "--json", "--port", str(port), "--data", str(folder), *shared)
    return RelayProcess(arguments, folder=folder, store=store, port=port)


@dataclass
class Publisher:
    """Sends one event after the other to a relay, each until it is taken."""

    url: str
    acked: list[str]
    """Ids that got OK true, of all publishers."""
    refusals: set[str] = field(default_factory=set)
    """What OK false said."""
    own: int = 0
    """How many of its events were taken."""

    async def run(self) -> None:
        """Work until cancelled."""
        waiting: dict[str, Any] | None = None
        while True:
            try:
                async with websockets.connect(self.url, open_timeout=5) as connection:
                    while True:
                        waiting = waiting or _new_event()
                        await connection.send(json.dumps(["EVENT", waiting]))
                        if await self._is_taken(connection, waiting["id"]):
                            self.acked.append(waiting["id"])
                            self.own += 1
                            waiting = None
                        await asyncio.sleep(PAUSE)
            except (OSError, websockets.WebSocketException, TimeoutError):
                await asyncio.sleep(0.05)

    async def _is_taken(self, connection: websockets.ClientConnection, name: str) -> bool:
        while True:
            message = json.loads(await asyncio.wait_for(connection.recv(), 30))
            if message[0] == "OK" and message[1] == name:
                if not message[2]:
                    self.refusals.add(message[3])
                return bool(message[2])


@dataclass
class Subscriber:
    """Subscribes at a relay; connects again when the connection ends."""

    url: str
    seen: list[str] = field(default_factory=list)
    connections: int = 0
    ready: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            with contextlib.suppress(OSError, websockets.WebSocketException, TimeoutError):
                async with websockets.connect(self.url, open_timeout=5) as connection:
                    self.connections += 1
                    await connection.send(json.dumps(["REQ", "all", {"kinds": [KIND]}]))
                    async for text in connection:
                        message = json.loads(text)
                        if message[0] == "EVENT":
                            self.seen.append(message[2]["id"])
                        elif message[0] == "EOSE":
                            self.ready.set()
                        elif message[0] == "CLOSED":
                            assert message[2].startswith("error: ")
                            break
            await asyncio.sleep(0.05)

    async def saw(self, names: list[str], seconds: float = 30) -> None:
        """Wait until it has seen all of these."""
        async with asyncio.timeout(seconds):
            while not set(names) <= set(self.seen):
                await asyncio.sleep(0.02)


async def answer(url: str, *message: Any) -> list[Any]:
    """The first answer of a relay to one message that is no event and no challenge."""
    async with websockets.connect(url, open_timeout=5) as connection:
        await connection.send(json.dumps(message))
        while True:
            found = json.loads(await asyncio.wait_for(connection.recv(), 20))
            if found[0] not in ("AUTH", "EVENT"):
                return found


async def stored(url: str, names: list[str]) -> set[str]:
    """Which of these a relay serves."""
    found = set()
    async with websockets.connect(url, open_timeout=5) as connection:
        for start in range(0, len(names), 400):
            await connection.send(json.dumps(["REQ", "q", {"ids": names[start : start + 400]}]))
            while (message := json.loads(await connection.recv()))[0] != "EOSE":
                if message[0] == "EVENT":
                    found.add(message[2]["id"])
    return found


async def more(acked: list[str], count: int, seconds: float = 30) -> None:
    """Wait until so many more events were taken."""
    goal = len(acked) + count
    async with asyncio.timeout(seconds):
        while len(acked) < goal:
            await asyncio.sleep(0.02)


async def kill_at_random(
    relays: list[RelayProcess], postgres: Postgres, nats: Nats, kills: int, dice: random.Random
) -> None:
    """SIGKILL one part after the other, and start it again after a moment."""
    for _ in range(kills):
        await asyncio.sleep(dice.uniform(0.1, 0.6))
        match dice.randrange(4):
            case 0:
                nats.kill()
                await asyncio.sleep(dice.uniform(0, 0.5))
                await asyncio.to_thread(nats.start)
            case 1:
                await asyncio.to_thread(postgres.kill)
                await asyncio.sleep(dice.uniform(0, 0.5))
                await asyncio.to_thread(postgres.start)
            case number:
                relay = relays[number - 2]
                await relay.kill()
                await relay.start()


def _new_event() -> dict[str, Any]:
    event = sign_event(CRYPTO, SECRET, int(time.time()), KIND, [["t", "load"]], os.urandom(8).hex())
    return json.loads(event.to_json())
