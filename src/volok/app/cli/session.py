"""How a command of the command line reaches the commands of its home."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import typer

from volok.app.access import access
from volok.app.cli.options import Options
from volok.app.commands import CommandSet
from volok.app.settings import NodeSettings


def run(context: typer.Context, body: Callable[[CommandSet], Awaitable[None]]) -> None:
    """Run `body` with the commands of the home that was chosen. Errors: `errors.STATED`."""

    async def whole() -> None:
        async with reach(context.obj) as commands:
            await body(commands)

    asyncio.run(whole())


@asynccontextmanager
async def reach(options: Options) -> AsyncIterator[CommandSet]:
    """The commands of the running node, else of one opened for this command."""
    async with access(options.home, NodeSettings(), options.passphrase) as commands:
        yield commands
