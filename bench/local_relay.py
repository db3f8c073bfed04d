"""nostr-sdk's LocalRelay over LMDB in a process of its own: `local_relay.py FOLDER PORT`.

The relay and LMDB are in Rust; the binding has each call from one to the other pass through Python.
Limits on how much one client may ask are lifted; everything else is as it comes.
"""

from __future__ import annotations

import asyncio
import sys

from nostr_sdk import LocalRelayBuilder, NostrLmdb, RateLimit, uniffi_set_event_loop

_PLENTY = 1_000_000_000


async def main(folder: str, port: int) -> None:
    """Run until killed."""
    uniffi_set_event_loop(asyncio.get_running_loop())  # type: ignore[arg-type]
    builder = (
        LocalRelayBuilder()
        .addr("127.0.0.1")
        .port(port)
        .database(await NostrLmdb.open(folder))
        .rate_limit(RateLimit(max_reqs=_PLENTY, notes_per_minute=_PLENTY))
    )
    relay = builder.build()
    await relay.run()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
