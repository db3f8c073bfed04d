"""Says everything back. Set a home up first: volok --home bot init --name Echo --no-passphrase"""

import asyncio
import sys
from contextlib import suppress

import volok


async def main(home: str) -> None:
    async with volok.Node(home) as node:
        print(await node.invite(multiple=True), flush=True)
        async for message in node.messages():
            await node.send(message.contact, message.text)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main(sys.argv[1]))
