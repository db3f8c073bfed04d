"""`volok path list`, `add`, `remove` and `test`: the ways to relays."""

from __future__ import annotations

from typing import Annotated

import typer

from volok.app.cli.output import Output
from volok.app.cli.people import AsJson
from volok.app.cli.session import run
from volok.app.commands import CommandSet

app = typer.Typer()
path_app = typer.Typer(no_args_is_help=True)
app.add_typer(path_app, name="path")


@path_app.callback()
def path() -> None:
    """List, add, remove and test the ways to your relays.

    Volok chooses by itself: the cheapest way that works here, and another one when it is blocked.

    Examples:

        volok path list

        volok path add socks5://127.0.0.1:1080
    """


@path_app.command("list")
def list_(context: typer.Context, as_json: AsJson = False) -> None:
    """List the ways to your relays, cheapest first.

    Examples:

        volok path list --json
    """
    output = Output(as_json)

    async def body(commands: CommandSet) -> None:
        for one in await commands.paths():
            output.emit(one)
            used = ", in use" if one["used"] else ""
            output.say(f"{one['name']}: {one['about']}{used}")
            if one["removable"]:
                where = ", ".join(one["relays"]) or "all relays"
                output.say(f"  for {where}{', and nothing else' if one['only'] else ''}", "dim")
            output.say(f"  {one['observer_learns']}", "dim")

    run(context, body)


@path_app.command()
def add(
    context: typer.Context,
    proxy: Annotated[
        str, typer.Argument(help="socks5://[USER:PASSWORD@]HOST:PORT, or http:// for CONNECT.")
    ],
    name: Annotated[str, typer.Option(help="What to call it.", show_default=False)] = "",
    relay: Annotated[
        list[str] | None, typer.Option(help="Use it for this relay; without, for all.")
    ] = None,
    only: Annotated[
        bool, typer.Option("--only", help="Never reach those relays in another way.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Add a proxy as one more way to your relays.

    It is used where the direct way is blocked; with --only, it is the only way. Whoever runs the
    proxy sees your address and which relays you use, but nothing of what goes there.

    Examples:

        volok path add socks5://127.0.0.1:1080

        volok path add http://user:secret@proxy.example:3128 --relay wss://relay.example --only
    """
    output = Output(as_json)

    async def body(commands: CommandSet) -> None:
        added = await commands.path_add(proxy, name, relay or [], only)
        output.emit(added)
        output.say(f"Added as “{added['name']}”. `volok path test` tries it.", "green")

    run(context, body)


@path_app.command()
def remove(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Its name in `volok path list`.")],
    as_json: AsJson = False,
) -> None:
    """Remove a way that you added.

    Examples:

        volok path remove proxy
    """
    output = Output(as_json)

    async def body(commands: CommandSet) -> None:
        output.emit(await commands.path_remove(name))
        output.say("Removed.", "green")

    run(context, body)


@path_app.command("test")
def try_(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(help="One way; without, all of them.")] = None,
    relay: Annotated[
        str | None, typer.Option(help="With this relay; without, with all of yours.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Try the ways to your relays, one after the other.

    Nothing but your relays is contacted.

    Examples:

        volok path test

        volok path test direct --relay wss://relay.example --json
    """
    output = Output(as_json)

    async def body(commands: CommandSet) -> None:
        trials = await commands.path_test(name, relay)
        for one in trials:
            output.emit(one)
            if one["seconds"] is None:
                output.say(f"{one['relay']} by {one['name']}: {one['problem']}", "yellow")
            else:
                output.say(f"{one['relay']} by {one['name']}: open in {one['seconds']:.2f} s")
        if not trials:
            output.say("You have no relay that could be tried.", "yellow")

    run(context, body)
