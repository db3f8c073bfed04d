"""A relay as `volok relay` starts it, to be abused: `process.py FOLDER`.

Prints its port, and for each line that it reads one line with its counters, as JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from pathlib import Path

import uvloop

from volok.app import verify_process
from volok.native import NativeCrypto
from volok.relay.backends import for_a_server
from volok.relay.metrics import Metrics
from volok.relay.run import run_relay
from volok.relay.settings import RelaySettings
from volok.relay.verifying import VerifyingProcesses


async def main() -> None:
    """Run until the standard input ends."""
    metrics, crypto = Metrics(), NativeCrypto()
    checking = await VerifyingProcesses.open(verify_process.MODULE, 1, crypto)
    relay = run_relay(
        "127.0.0.1",
        0,
        Path(sys.argv[1]),
        RelaySettings(),
        crypto,
        metrics=metrics,
        backends=for_a_server(),
        verifying=checking,
    )
    async with contextlib.aclosing(checking), relay as address:
        print(address.port, flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            print(json.dumps(metrics.to_object()), flush=True)


uvloop.run(main())
