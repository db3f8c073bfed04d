"""`volok init`: the first command of a new home."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from volok.app.access import start_node
from volok.app.cli.options import Options, on_terminal, read_passphrase
from volok.app.cli.output import AsJson, Output
from volok.app.errors import AlreadySetUp
from volok.app.home import Home
from volok.app.settings import NodeSettings

app = typer.Typer()


@app.command()
def init(
    context: typer.Context,
    name: Annotated[str | None, typer.Option(help="What your contacts call you.")] = None,
    relay: Annotated[
        list[str] | None,
        typer.Option(help="A relay that keeps messages for you (wss://…); several are better."),
    ] = None,
    no_passphrase: Annotated[
        bool,
        typer.Option("--no-passphrase", help="Whoever has the disk can then read everything."),
    ] = False,
    passphrase_file: Annotated[
        Path | None, typer.Option(help="Take the new passphrase from the first line of this file.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Set up Volok in a home folder.

    The passphrase locks what lies on the disk; nobody can recover it for you. No relay is built
    in: name one, or accept an invite, which brings its own.

    Examples:

        volok init --name Alice

        volok init --name Alice --relay wss://relay.example --passphrase-file secret.txt
    """
    options: Options = context.obj
    source = passphrase_file or options.passphrase_file
    if no_passphrase and passphrase_file is not None:
        raise typer.BadParameter(
            "Choose one of --no-passphrase and --passphrase-file.", param_hint="--no-passphrase"
        )
    if not on_terminal():
        if name is None:
            raise typer.BadParameter("There is no terminal to ask on.", param_hint="--name NAME")
        if source is None and not no_passphrase:
            raise typer.BadParameter(
                "There is no terminal to ask on.",
                param_hint="--passphrase-file F or --no-passphrase",
            )
    if Home(options.home).is_set_up():
        raise AlreadySetUp
    chosen = name if name is not None else str(typer.prompt("Your name", err=True))
    passphrase: str | None = None
    if not no_passphrase:
        passphrase = read_passphrase(source) if source else options.new_passphrase()
    asyncio.run(_create(options.home, chosen, relay or [], passphrase))
    output = Output(as_json)
    output.emit({"name": chosen, "home": str(options.home), "relays": relay or []})
    output.say(f"Welcome, {chosen}. Your Volok lives in {options.home}.", "green")
    output.say("Next: `volok up` opens its page, `volok invite` makes an invite.")


async def _create(home: Path, name: str, relays: list[str], passphrase: str | None) -> None:
    async with start_node(home, NodeSettings()) as node:
        if node.state != "new":
            raise AlreadySetUp
        await node.create(name, relays, passphrase)
