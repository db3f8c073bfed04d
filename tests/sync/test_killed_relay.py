"""A relay killed with SIGKILL in the middle of things: nothing is lost, nothing comes twice."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from tests.sync.world import envelope, free_port, inbox_key

from volok.store.deliveries import MarkState
from volok.sync.engine import RelayScope

BOB = inbox_key(2)
KILLS, PART = 5, 60

RELAY = """
import asyncio, sys
from pathlib import Path
from volok.native import NativeCrypto
from volok.relay.run import run_relay
from volok.relay.settings import RelaySettings

async def main():
    port, folder = int(sys.argv[1]), Path(sys.argv[2])
    async with run_relay("127.0.0.1", port, folder, RelaySettings(), NativeCrypto()):
        await asyncio.Event().wait()

asyncio.run(main())
"""


@contextlib.asynccontextmanager
async def relay_process(port: int, folder: Path) -> AsyncIterator[None]:
    """A relay of its own process, killed at the end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", RELAY, str(port), str(folder)
    )
    try:
        yield
    finally:
        process.send_signal(signal.SIGKILL)
        await process.wait()


async def test_nothing_is_lost(make_node: Any, tmp_path: Path) -> None:
    alice, bob, port, chance = make_node(), make_node(), free_port(), random.Random(3)
    url, now = f"ws://127.0.0.1:{port}", int(time.time())
    async with alice.running(), bob.running():
        bob.engine.set_scopes([RelayScope(url, (BOB,))])
        for kill in range(KILLS):
            events = [envelope(BOB, f"{kill * PART + n}", now - n) for n in range(PART)]
            await alice.publish(url, *events)
            async with relay_process(port, tmp_path / "relay"):
                # Killed as soon as some, and never all, of this part has come through.
                await bob.contents(kill * PART // 2 + chance.randrange(1, PART // 2))
        async with relay_process(port, tmp_path / "relay"):
            received = await bob.contents(KILLS * PART)
            await alice.deliveries.settled()
    assert sorted(map(int, received)) == list(range(KILLS * PART))
    assert len(alice.deliveries.items(MarkState.TAKEN)) == KILLS * PART
