"""The prober: what it is told, what it answers."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from asyncio.subprocess import PIPE

from lab.prober import look

SUSPICION = {"address": "203.0.113.11", "port": 443, "seen": "1603"}


async def test_what_was_seen_is_handed_to_the_probe_and_back() -> None:
    asked: list[tuple[str, int, bytes]] = []

    async def probe(address: str, port: int, seen: bytes) -> bool:
        asked.append((address, port, seen))
        return True

    assert await look(SUSPICION, probe) == {**SUSPICION, "revealed": True}
    assert asked == [("203.0.113.11", 443, b"\x16\x03")]


async def test_a_server_that_cannot_be_reached_reveals_nothing() -> None:
    async def probe(address: str, port: int, seen: bytes) -> bool:
        raise ConnectionRefusedError

    assert await look(SUSPICION, probe) == {**SUSPICION, "revealed": False}


async def test_the_process_answers_each_line_and_ends_with_its_input() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    closed = json.dumps({"address": "127.0.0.1", "port": port, "seen": ""}).encode() + b"\n"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "lab.prober"), stdin=PIPE, stdout=PIPE
    )
    async with asyncio.timeout(30):
        out, _ = await process.communicate(closed * 2)
    found = [json.loads(line) for line in out.splitlines()]
    assert [(one["port"], one["revealed"]) for one in found] == [(port, False)] * 2
    assert process.returncode == 0
