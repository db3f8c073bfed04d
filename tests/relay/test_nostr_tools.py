"""The relay through a Nostr library in JavaScript that is not ours (nostr-tools)."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("nostr_tools.mjs")
ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(
    "nostr-tools" not in (ROOT / "package.json").read_text()
    and not (ROOT / "node_modules" / "nostr-tools").is_dir(),
    reason="package.json does not name nostr-tools",
)


async def test_nostr_tools_finds_everything_it_knows_of(relay):
    node = shutil.which("node")
    assert node, "Node.js is missing; tools/setup.sh test installs it"
    relay.clock.now = time.time()
    process = await asyncio.create_subprocess_exec(
        node,
        str(SCRIPT),
        relay.address.websocket_url,
        relay.address.http_url,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(60):
            out, problem = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, problem.decode()
    found = json.loads(out)
    assert {1, 9, 11, 13, 17, 42, 45, 50, 59, 70, 77} <= set(found.pop("nips"))
    assert "404" in found.pop("erased")
    refused = {
        "forged": "invalid",
        "unknown": "auth-required",
        "stranger": "auth-required",
        "protected": "auth-required",
        "again": "blocked",
    }
    for name, prefix in refused.items():
        assert found.pop(name).startswith(f"{prefix}: "), name
    assert found == {
        "published": "",
        "same": True,
        "live": "live",
        "count": 1,
        "searched": 1,
        "mined": "",
        "auth": "",
        "private": "private",
        "own": "",
        "deleted": 0,
        "reconciled": True,
        "blob": True,
    }
