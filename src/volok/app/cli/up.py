"""`volok up`: the node runs, and its page opens."""

from __future__ import annotations

import asyncio
import signal
import time
import webbrowser
from collections.abc import Callable
from typing import Annotated
from urllib.parse import urlsplit

import typer
import uvloop

from volok.app.access import running, start_node
from volok.app.cli.options import Options
from volok.app.cli.output import AsJson, Output
from volok.app.home import Home
from volok.app.serving import serve_node
from volok.app.settings import NodeSettings

app = typer.Typer()


@app.command()
def up(
    context: typer.Context,
    port: Annotated[
        int | None,
        typer.Option(help="Port of the page on this computer; 0 for any.", min=0, max=65535),
    ] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Only print the link.")] = False,
    as_json: AsJson = False,
) -> None:
    """Start your node and open its page in the browser.

    The node stays in step with your relays until you press Ctrl-C. Its page can be reached from
    this computer alone, by a link that works once. Where it is up already, a fresh link is given.

    Examples:

        volok up

        volok up --no-browser --port 8000
    """
    options: Options = context.obj
    output = Output(as_json)

    def ready(url: str) -> None:
        output.emit({"url": url, "port": urlsplit(url).port})
        output.line(url)
        if not no_browser:
            webbrowser.open(url)

    uvloop.run(_up(options, port, output, ready))


async def _up(
    options: Options, port: int | None, output: Output, ready: Callable[[str], None]
) -> None:
    settings = NodeSettings()
    async with running(Home(options.home), settings) as remote:
        if remote is not None:
            ready((await remote.page())["url"])
            return
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with start_node(options.home, settings, background=True) as node:
        if node.state == "locked" and options.passphrase_file is not None:
            await node.unlock(options.passphrase())
        async with serve_node(node, port, time.time) as served:
            ready(served.page())
            output.say("Your node is up. Press Ctrl-C to stop it.", "dim")
            await stopping.wait()
    output.say("Stopped; everything is saved.", "dim")
