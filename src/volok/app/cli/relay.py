"""`volok relay` and `volok relay export`: for operators."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from pathlib import Path
from typing import Annotated

import typer
import uvloop

from volok.app.cli.output import Output
from volok.app.cli.people import AsJson
from volok.native import NativeCrypto
from volok.relay.export import export_folder
from volok.relay.run import run_relay
from volok.relay.settings import RelaySettings

app = typer.Typer()
relay_app = typer.Typer()
app.add_typer(relay_app, name="relay")

Data = Annotated[Path, typer.Option(help="The folder that holds what the relay keeps.")]


@relay_app.callback(invoke_without_command=True)
def relay(
    context: typer.Context,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port; 0 for any.", min=0, max=65535)] = 7777,
    data: Data = Path("volok-relay"),
    url: Annotated[
        list[str] | None,
        typer.Option(help="The address people use (wss://…), so that nobody can pass it off."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run a relay, or export what one holds.

    A relay keeps sealed messages until they are fetched, serves any Nostr client, and writes
    nothing down about who asks. Put a web server with TLS in front of it for the open internet.

    Examples:

        volok relay

        volok relay --host 0.0.0.0 --port 7777 --data /srv/relay --url wss://relay.example

        volok relay export --data /srv/relay > events.jsonl
    """
    if context.invoked_subcommand is not None:
        return
    uvloop.run(_serve(host, port, data, tuple(url or ()), Output(as_json)))


async def _serve(host: str, port: int, data: Path, urls: tuple[str, ...], output: Output) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    settings = RelaySettings(public_urls=urls)
    async with run_relay(host, port, data, settings, NativeCrypto(), time.time) as address:
        output.emit({"url": address.websocket_url, "port": address.port})
        output.line(address.websocket_url)
        output.say("The relay is up. Press Ctrl-C to stop it.", "dim")
        await stopping.wait()


@relay_app.command()
def export(data: Data = Path("volok-relay")) -> None:
    """Write every event that a relay holds, sealed ones included: one JSON object per line.

    Examples:

        volok relay export --data /srv/relay > events.jsonl
    """
    for line in export_folder(data):
        sys.stdout.buffer.write(line)
    sys.stdout.flush()
