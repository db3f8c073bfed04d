"""Blobs and the management API through clients that are not ours: blossom-client-sdk (npm) where it
is installed (or VOLOK_NODE_MODULES names where), nak where it is (or VOLOK_NAK names it)."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import shutil
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = Path(os.environ.get("VOLOK_NODE_MODULES", ROOT / "node_modules"))
SECRET = bytes([4]) * 32
NAK = os.environ.get("VOLOK_NAK") or shutil.which("nak")


@contextlib.asynccontextmanager
async def two_relays(start, tmp_path, people):
    other = tmp_path / "other"
    other.mkdir()
    settings = {"mirror_hosts": ("*",), "mirror_private": True, "admins": (people[3].pubkey,)}
    async with start(**settings) as first, start(folder=other, **settings) as second:
        for relay in (first, second):
            relay.clock.now = time.time()
        yield first, second


async def run(*arguments, **options):
    process = await asyncio.create_subprocess_exec(
        *map(str, arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        **options,
    )
    try:
        async with asyncio.timeout(60):
            output, errors = await process.communicate()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    return process.returncode, output, errors


@pytest.mark.skipif(
    not (MODULES / "blossom-client-sdk").exists() or not (MODULES / "nostr-tools").exists(),
    reason="blossom-client-sdk and nostr-tools are not installed (npm install)",
)
async def test_blossom_client_sdk(start, tmp_path, people):
    script = tmp_path / "client.mjs"  # node looks for modules beside the script
    script.write_text((Path(__file__).parent / "blossom_client.mjs").read_text())
    (tmp_path / "node_modules").symlink_to(MODULES)
    async with two_relays(start, tmp_path, people) as (first, second):
        urls = first.address.http_url, second.address.http_url
        status, output, errors = await run("node", script, *urls)
        assert status == 0, errors.decode()
        data = bytes(index % 256 for index in range(100_000))
        name = hashlib.sha256(data).hexdigest()
        assert json.loads(output) == {
            "uploaded": name,
            "downloaded": True,
            "mirrored": name,
            "reported": [True],
            "before": True,
            "deleted": True,
            "after": False,
            "elsewhere": True,
        }
        assert await second.blobs.get(name) == data


@pytest.mark.skipif(NAK is None, reason="nak is not installed")
async def test_nak(start, tmp_path, people):
    data = os.urandom(200_000)
    name = hashlib.sha256(data).hexdigest()
    (tmp_path / "blob.bin").write_bytes(data)
    async with two_relays(start, tmp_path, people) as (first, _):

        async def blossom(*arguments):
            server = ("--server", first.address.http_url, "--sec", SECRET.hex())
            return await run(NAK, "blossom", *server, *arguments)

        async def manage(method, *arguments):
            url = first.address.websocket_url
            signed = ("--sec", SECRET.hex(), *arguments, url)
            _, output, _ = await run(NAK, "relay", method, *signed)
            return json.loads(output)

        status, output, _ = await blossom("upload", tmp_path / "blob.bin")
        assert (status, json.loads(output)["sha256"]) == (0, name)
        assert (await blossom("check", name))[0] == 0
        assert (await blossom("download", name))[1] == data
        assert (await blossom("delete", name))[0] == 0
        assert (await blossom("check", name))[0] != 0

        banned = ("--pubkey", people[0].pubkey, "--reason", "spam")
        assert await manage("banpubkey", *banned) == {"result": True}
        client = await first.connect()
        now = int(time.time())
        assert not (await client.publish(people[0].event(at=now)))[2]
        assert await manage("allowkind", "--kind", "1") == {"result": True}
        assert await manage("listallowedkinds") == {"result": [1]}
        assert await manage("changerelayname", "--name", "Лодка") == {"result": True}
        assert "error" in await manage("blockip", "--ip", "192.0.2.1")
