"""One relay follows another under load: nothing acknowledged is lost, no subscription misses
anything, and nobody is refused while neither of them runs."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
import websockets

from volok.relay.errors import RelayError
from volok.relay.run import run_relay
from volok.relay.settings import RelaySettings

from .conftest import CRYPTO, Person

RESTART = 1012
"""Websocket close code "Service Restart" (IANA registry of RFC 6455)."""

START = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
os.execv(sys.executable, [sys.executable, "-m", "volok", "relay", *sys.argv[2:]])
"""


async def relay_on(listener: socket.socket, folder: Path) -> asyncio.subprocess.Process:
    """`volok relay` as systemd starts it with a socket unit."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        START,
        str(listener.fileno()),
        *("--data", str(folder), "--wait", "20", "--json"),
        pass_fds=[listener.fileno()],
        stdout=asyncio.subprocess.PIPE,
    )
    return process


async def ready(process: asyncio.subprocess.Process) -> None:
    assert process.stdout is not None
    async with asyncio.timeout(30):
        assert json.loads(await process.stdout.readline())["port"]


class Subscriber:
    """Reads kind 1 for ever; after a pause it asks again for what it may have missed."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.ids: set[str] = set()
        self.codes: list[int] = []
        self.live = asyncio.Event()

    async def run(self) -> None:
        since = 0
        while True:
            async with websockets.connect(self.url) as client:
                await client.recv()
                await client.send(json.dumps(["REQ", "all", {"kinds": [1], "since": since}]))
                with contextlib.suppress(websockets.ConnectionClosed):
                    async for frame in client:
                        message = json.loads(frame)
                        if message[0] == "EVENT":
                            self.ids.add(message[2]["id"])
                            since = max(since, message[2]["created_at"] - 5)
                        self.live.set()
                self.codes.append(client.close_code or 0)


class Publisher:
    """Publishes one event after the other; what got no answer is sent again."""

    def __init__(self, url: str, person: Person) -> None:
        self.url = url
        self.person = person
        self.confirmed: set[str] = set()
        self.codes: list[int] = []

    async def run(self) -> None:
        number = 0
        while True:
            async with websockets.connect(self.url) as client:
                await client.recv()
                with contextlib.suppress(websockets.ConnectionClosed):
                    while True:
                        event = self.person.event(1, str(number), at=int(time.time()))
                        await client.send(f'["EVENT",{event.to_json().decode()}]')
                        answer = json.loads(await client.recv())
                        assert answer[:3] == ["OK", event.id, True], answer
                        self.confirmed.add(event.id)
                        number += 1
                self.codes.append(client.close_code or 0)


@contextlib.asynccontextmanager
async def running(*workers) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(worker.run()) for worker in workers]
    try:
        yield
        for task in tasks:  # an assertion of a worker is one of the test
            assert not task.done(), task.exception()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def until(condition) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("restarts", [1, pytest.param(10, marks=pytest.mark.full)])
async def test_a_restart_under_load_loses_nothing_and_refuses_nobody(
    restarts: int, tmp_path, people
) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        url = f"ws://127.0.0.1:{listener.getsockname()[1]}"
        processes = [await relay_on(listener, tmp_path)]
        subscriber = Subscriber(url)
        publishers = [Publisher(url, person) for person in people]
        try:
            await ready(processes[0])
            async with running(subscriber):
                await subscriber.live.wait()
                async with running(*publishers):
                    await until(lambda: grown(publishers, {}))
                    for _ in range(restarts):
                        old = processes[-1]
                        processes.append(await relay_on(listener, tmp_path))  # waits
                        old.send_signal(signal.SIGTERM)
                        assert await asyncio.wait_for(old.wait(), 20) == 0
                        before = {one: len(one.confirmed) for one in publishers}
                        await ready(processes[-1])
                        await until(partial(grown, publishers, before))
                confirmed = set().union(*(one.confirmed for one in publishers))
                await until(lambda: confirmed <= subscriber.ids)
            assert subscriber.codes == [RESTART] * restarts
            assert [one.codes for one in publishers] == [[RESTART] * restarts] * len(publishers)
        finally:
            for process in processes:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()


def grown(publishers: list[Publisher], before: dict[Publisher, int]) -> bool:
    return all(len(one.confirmed) > before.get(one, 0) + 20 for one in publishers)


async def test_a_folder_that_is_not_let_go_of_in_time(tmp_path) -> None:
    def run(wait: float):
        return run_relay("127.0.0.1", 0, tmp_path, RelaySettings(), CRYPTO, wait=wait)

    async with run(0):
        with pytest.raises(RelayError, match="Another relay"):
            async with run(0.1):
                pass
    async with run(0) as address:
        assert address.port
