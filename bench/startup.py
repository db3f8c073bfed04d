"""How long `volok up` takes to a usable page, and what an idle node takes of memory."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import httpx
from bench.messages import pid
from bench.proc import memory_mb
from tests.end_to_end.processes import NodeProcess, RelayProcess


async def startup(folder: Path, times: int, idle: float) -> tuple[list[float], dict[str, float]]:
    """Start a set-up node `times` times; leave the last one alone for `idle` seconds.

    Returns the seconds from the command to the first whole page (HTML, status 200) behind its link,
    and the megabytes of `bench.proc.memory_mb` of the node with one relay connected.
    """
    relay = await RelayProcess.on(folder / "relay")
    node = await NodeProcess.of(folder, "Alice", relay.url)
    passed = []
    try:
        for _ in range(times):
            await node.stop()
            start = time.perf_counter()
            url = json.loads(await node.start())["url"]
            async with httpx.AsyncClient(follow_redirects=True, trust_env=False) as browser:
                page = await browser.get(url)
            passed.append(time.perf_counter() - start)
            assert page.status_code == 200
            assert page.headers["content-type"].startswith("text/html")
        await asyncio.sleep(idle)
        return passed, memory_mb(pid(node))
    finally:
        await node.stop()
        await relay.stop()
