"""The relay through nak, a Nostr client in Go that is not ours.

Runs where `nak` is installed (`go install github.com/fiatjaf/nak@latest`) or VOLOK_NAK names it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest

NAK = os.environ.get("VOLOK_NAK") or shutil.which("nak")
ANNA, BORIS = "01" * 32, "02" * 32
Nak = Callable[..., Awaitable[tuple[str, str]]]

pytestmark = pytest.mark.skipif(NAK is None, reason="nak is not installed")


@pytest.fixture
def nak(relay, tmp_path: Path) -> Nak:
    """Run nak; returns what it wrote to stdout and to stderr."""
    relay.clock.now = time.time()

    async def run(*arguments: str, stdin: str = "", secret: str = ANNA) -> tuple[str, str]:
        assert NAK is not None
        process = await asyncio.create_subprocess_exec(
            NAK,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=tmp_path,
            env={"HOME": str(tmp_path), "NOSTR_SECRET_KEY": secret},
        )
        try:
            async with asyncio.timeout(30):
                out, problem = await process.communicate(stdin.encode())
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return out.decode(), problem.decode()

    return run


def ids(lines: str) -> list[str]:
    return [json.loads(line)["id"] for line in lines.splitlines()]


async def test_nak_publishes_finds_counts_and_deletes(relay, nak):
    url = relay.address.websocket_url
    out, told = await nak(
        "event", "-k", "1", "-c", 'ёлка "quoted"', "-t", "t=boats", "--pow", "6", url
    )
    note = json.loads(out)
    assert "success" in told
    assert ids((await nak("req", "-k", "1", "-a", note["pubkey"], url))[0]) == [note["id"]]
    assert ids((await nak("req", "-t", "t=boats", "--limit", "1", url))[0]) == [note["id"]]
    assert ids((await nak("req", "--search", "елка", url))[0]) == [note["id"]]
    counted, told = await nak("count", "-k", "1", url)
    assert "1" in counted + told
    again = json.dumps(note)
    assert "success" in (await nak("event", url, stdin=again))[1]
    await nak("event", "-k", "5", "-e", note["id"], "-t", "k=1", url)
    assert (await nak("req", "-i", note["id"], url))[0] == ""
    assert "blocked" in (await nak("event", url, stdin=again))[1]


async def test_nak_authenticates(relay, nak):
    url = relay.address.websocket_url
    boris = (await nak("key", "public", stdin=BORIS))[0].strip()
    wrap = json.loads((await nak("event", "-k", "1059", "-c", "sealed", "-p", boris, url))[0])
    inbox = ("req", "-k", "1059", "-p", boris)
    assert (await nak(*inbox, url, secret=BORIS))[0] == ""
    found, _ = await nak(*inbox, "--auth", url, secret=BORIS)
    assert ids(found) == [wrap["id"]]
    assert (await nak(*inbox, "--auth", url, secret=ANNA))[0] == ""
    protected = ("event", "-c", "protected", "-t", "-")
    assert "auth-required" in (await nak(*protected, url))[1]
    assert "success" in (await nak(*protected, "--auth", url))[1]


async def test_nak_reconciles_ids(relay, nak):
    url = relay.address.websocket_url
    made = [json.loads((await nak("event", "-k", "7", "-c", str(n), url))[0]) for n in range(3)]
    out, told = await nak("req", "-k", "7", "--ids-only", url)
    assert set(out.split()) == {event["id"] for event in made}, told


async def test_nak_reads_the_relays_document(relay, nak):
    out, _ = await nak("relay", relay.address.websocket_url)
    assert {1, 11, 42, 77} <= set(json.loads(out)["supported_nips"])


async def test_nak_uploads_and_erases_blobs(relay, nak, tmp_path):
    content = b"a blob of nak"
    (tmp_path / "blob.txt").write_bytes(content)
    name = hashlib.sha256(content).hexdigest()
    server = ("blossom", "--server", relay.address.http_url)
    out, told = await nak(*server, "upload", "blob.txt")
    assert name in out, told
    assert name in (await nak(*server, "check", name))[0]
    async with httpx.AsyncClient(base_url=relay.address.http_url) as http:
        assert (await http.get(f"/{name}")).content == content
    await nak(*server, "delete", name)
    assert name not in (await nak(*server, "check", name))[0]
