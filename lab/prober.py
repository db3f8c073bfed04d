"""The censor's own eyes: a process in its host that looks at the servers it is told to suspect.

It reads suspicions from its standard input, one JSON object a line, and writes each back with
`revealed`: whether the server showed that it is a relay. Several are looked at at once.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from lab.probes import probe

Probe = Callable[[str, int, bytes], Awaitable[bool]]


async def look(suspicion: dict[str, Any], looking: Probe = probe) -> dict[str, Any]:
    """Probe one suspected server; one that cannot be reached has revealed nothing."""
    seen = bytes.fromhex(suspicion["seen"])
    try:
        revealed = await looking(suspicion["address"], suspicion["port"], seen)
    except OSError:
        revealed = False
    return {**suspicion, "revealed": revealed}


async def main() -> None:
    """Serve until the input ends."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin.buffer)

    async def answer(line: bytes) -> None:
        found = await look(json.loads(line))
        sys.stdout.write(json.dumps(found) + "\n")
        sys.stdout.flush()

    async with asyncio.TaskGroup() as tasks:
        while line := await reader.readline():
            tasks.create_task(answer(line))


if __name__ == "__main__":
    asyncio.run(main())
