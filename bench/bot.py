"""A bot in a process of its own: for each line `COUNT` on standard input it sends so many texts at
once, prints `sent`, and lives until its input ends. `python -m bench.bot HOME CONTACT BYTES`."""

from __future__ import annotations

import asyncio
import sys

import uvloop

import volok


async def main(home: str, contact: str, size: int) -> None:
    """Send what is asked for."""
    number = 0
    async with volok.Node(home) as node:
        print("ready", flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            numbers = range(number, number := number + int(line))
            texts = [f"{n} ".ljust(size, "x") for n in numbers]
            await asyncio.gather(*(node.send(contact, text) for text in texts))
            print("sent", flush=True)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
