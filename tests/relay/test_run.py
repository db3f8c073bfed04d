"""A relay over a folder: killed at any moment, started twice, exported."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sys
import time
from pathlib import Path

import pytest
import websockets

from volok.native import NativeCrypto
from volok.relay.errors import PortInUse, RelayError
from volok.relay.export import export_events, export_folder
from volok.relay.run import run_relay
from volok.relay.settings import RelaySettings

PROCESS = Path(__file__).with_name("relay_process.py")


@contextlib.asynccontextmanager
async def relay_process(folder):
    process = await asyncio.create_subprocess_exec(
        sys.executable, PROCESS, folder, stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(20):
            port = int(await process.stdout.readline())
        yield process, f"ws://127.0.0.1:{port}"
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def run(folder, **changes):
    return run_relay("127.0.0.1", 0, folder, RelaySettings(**changes), NativeCrypto())


async def ids_at(url):
    async with websockets.connect(url) as socket_:
        await socket_.recv()
        await socket_.send('["REQ","all",{"kinds":[1]}]')
        ids = set()
        while (message := json.loads(await socket_.recv()))[0] == "EVENT":
            ids.add(message[2]["id"])
        return ids


@pytest.mark.parametrize("oks_before_kill", [1, 40, 100])
async def test_what_got_an_ok_survives_sigkill(tmp_path, people, oks_before_kill):
    now = int(time.time())
    events = [people[0].event(content=str(number), at=now) for number in range(200)]
    confirmed = set()
    async with relay_process(tmp_path) as (process, url), websockets.connect(url) as client:
        await client.recv()

        async def publish():
            for event in events:
                await client.send(f'["EVENT",{event.to_json().decode()}]')

        publishing = asyncio.create_task(publish())
        with contextlib.suppress(websockets.ConnectionClosed):
            async for frame in client:
                name, event_id, accepted, _ = json.loads(frame)
                assert (name, accepted) == ("OK", True)
                confirmed.add(event_id)
                if len(confirmed) == oks_before_kill:
                    process.kill()
        await asyncio.gather(publishing, return_exceptions=True)
    assert len(confirmed) >= oks_before_kill
    async with relay_process(tmp_path) as (_, url):
        assert confirmed <= await ids_at(url)


async def test_everything_is_exported_also_while_it_runs(tmp_path, people):
    now = int(time.time())
    events = [
        people[0].event(1, "public", at=now),
        people[0].event(1059, "sealed", [["p", people[1].pubkey]], at=now),
    ]
    async with run(tmp_path) as address, websockets.connect(address.websocket_url) as client:
        await client.recv()
        for event in events:
            await client.send(f'["EVENT",{event.to_json().decode()}]')
            await client.recv()
        running = await asyncio.to_thread(lambda: list(export_folder(tmp_path)))
    assert running == [event.to_json() + b"\n" for event in events]
    assert list(export_folder(tmp_path)) == running


async def test_an_open_store_is_exported(relay, people):
    client = await relay.connect()
    events = [people[0].event(1059, str(n), [["p", people[1].pubkey]]) for n in range(3)]
    for event in events:
        await client.publish(event)
    lines = [line async for line in export_events(relay.store, int(relay.clock.now))]
    assert lines == [event.to_json() + b"\n" for event in events]


def test_a_folder_without_a_relay_is_said_so_and_left_alone(tmp_path):
    with pytest.raises(RelayError, match="no relay's data"):
        list(export_folder(tmp_path))
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "events.db").write_bytes(b"something else entirely" * 100)
    with pytest.raises(RelayError, match="cannot be read"):
        list(export_folder(tmp_path))


async def test_one_relay_for_one_folder(tmp_path):
    async with run(tmp_path):
        with pytest.raises(RelayError, match="Another relay"):
            async with run(tmp_path):
                pass
    async with run(tmp_path) as address:
        assert address.port


async def test_a_port_in_use_leaves_the_folder_free(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PortInUse, match=str(port)):
            async with run_relay("127.0.0.1", port, tmp_path, RelaySettings(), NativeCrypto()):
                pass
    async with run(tmp_path):
        pass


async def test_folders_that_cannot_be_used(tmp_path):
    file = tmp_path / "file"
    file.write_text("not a folder")
    with pytest.raises(RelayError, match="Choose another folder"):
        async with run(file):
            pass
    other = tmp_path / "other"
    other.mkdir()
    (other / "events.db").write_bytes(b"something else entirely" * 100)
    with pytest.raises(RelayError, match="no relay's"):
        async with run(other):
            pass
