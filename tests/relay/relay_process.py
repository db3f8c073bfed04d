"""A relay in a process of its own, to be killed: `relay_process.py FOLDER` prints its port."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from volok.native import NativeCrypto
from volok.relay.run import run_relay
from volok.relay.settings import RelaySettings


async def main() -> None:
    settings, folder = RelaySettings(), Path(sys.argv[1])
    async with run_relay("127.0.0.1", 0, folder, settings, NativeCrypto()) as address:
        print(address.port, flush=True)
        await asyncio.Event().wait()


asyncio.run(main())
