"""The way to the commands of a home: its running node, or a short-lived one of our own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from volok.app.commands import Commands, CommandSet
from volok.app.errors import NotSetUp
from volok.app.home import Home
from volok.app.node import Node
from volok.app.remote import Remote, client_for, is_answering
from volok.app.settings import NodeSettings
from volok.store.vault import VaultBusy

_POLL = 0.05
"""Seconds between two attempts to take the lock of a home that another process holds."""


@asynccontextmanager
async def running(home: Home, settings: NodeSettings) -> AsyncIterator[Remote | None]:
    """The node that is up for this home; None when there is none."""
    run = home.read_run()
    if run is None:
        yield None
        return
    async with client_for(run) as client:
        answers = await is_answering(client, settings.answer_wait)
        yield Remote(client) if answers else None


@asynccontextmanager
async def start_node(
    root: Path, settings: NodeSettings, background: bool = False
) -> AsyncIterator[Node]:
    """A started node of our own, open if no passphrase protects it; stopped at the end.

    Waits a little while another short command uses the home. Raises VaultBusy when that takes too
    long, HomeUnusable, VaultError, OSError.
    """
    node = Node(root, settings, background=background)
    deadline = time.monotonic() + settings.lock_wait
    while not await _started(node, deadline):
        pass
    try:
        yield node
    finally:
        await node.stop()


@asynccontextmanager
async def access(
    root: Path,
    settings: NodeSettings,
    passphrase: Callable[[], str] | None,
    background: bool = False,
) -> AsyncIterator[CommandSet]:
    """The commands of a home: of its running node, else of one that we open for them.

    `passphrase` is called when one is needed; None leaves the node locked. Waits a little while
    another command uses the home, or a node is only coming up. Raises NotSetUp, and what
    `start_node` raises.
    """
    deadline = time.monotonic() + settings.lock_wait
    while True:
        async with running(Home(root), settings) as remote:
            if remote is not None:
                yield remote
                return
        if not Home(root).is_set_up():
            raise NotSetUp
        node = Node(root, settings, background=background)
        if await _started(node, deadline):
            break
    try:
        if node.state == "locked" and passphrase is not None:
            await node.unlock(passphrase())
        yield Commands(node, carries=background)
    finally:
        await node.stop()


async def _started(node: Node, deadline: float) -> bool:
    """Start the node; False, a moment later, while another process holds the home."""
    try:
        await node.start()
    except VaultBusy:
        if time.monotonic() > deadline:
            raise
        await asyncio.sleep(_POLL)
        return False
    return True
