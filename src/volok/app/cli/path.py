"""`volok path list`, `add`, `remove` and `test`: the ways to relays."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from volok.app.cli.output import Output
from volok.app.cli.people import AsJson
from volok.app.cli.session import run
from volok.app.commands import CommandSet
from volok.app.drop_places import owner_learns

_PROXIES = ("socks5://", "socks5h://", "http://", "https://")

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
        for drop in await commands.drops():
            output.emit({"name": drop["place"], **drop})
            output.say(f"{drop['place']}: a place to leave messages, {drop['files']} files there")
            output.say(f"  {drop['problem'] or drop['owner_learns']}", "dim")

    run(context, body)


@path_app.command()
def add(
    context: typer.Context,
    where: Annotated[
        str,
        typer.Argument(
            help="A proxy: socks5://[USER:PASSWORD@]HOST:PORT, or http:// for CONNECT. A place to "
            "leave messages: a folder, webdavs://HOST/PATH, or s3://BUCKET/PREFIX."
        ),
    ],
    name: Annotated[str, typer.Option(help="What to call a proxy.", show_default=False)] = "",
    relay: Annotated[
        list[str] | None, typer.Option(help="Use a proxy for this relay; without, for all.")
    ] = None,
    only: Annotated[
        bool, typer.Option("--only", help="Never reach those relays in another way.")
    ] = False,
    user: Annotated[str, typer.Option(help="The account at a server.", show_default=False)] = "",
    password_file: Annotated[
        Path | None, typer.Option(help="A file that holds the account's password.")
    ] = None,
    endpoint: Annotated[
        str, typer.Option(help="The address of the S3 service.", show_default=False)
    ] = "",
    yes: Annotated[
        bool, typer.Option("--yes", help="Do not ask whether its owner may see what it says.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Add a proxy, or a place to leave messages, as one more way.

    A proxy is used where the direct way is blocked; with --only, it is the only way. Whoever runs
    it sees your address and which relays you use, but nothing of what goes there.

    A folder (shared, or on a stick), a WebDAV folder or an S3 bucket that a contact uses as well
    carries sealed messages both ways, without any relay. Before a server is first used, the program
    says what its owner can see, and asks.

    Examples:

        volok path add socks5://127.0.0.1:1080

        volok path add http://user:secret@proxy.example:3128 --relay wss://relay.example --only

        volok path add /media/stick

        volok path add webdavs://cloud.example/shared --user alice --password-file secret.txt

        volok path add s3://letters --endpoint https://s3.example --user KEY --password-file F
    """
    output = Output(as_json)
    learns = owner_learns(where)
    if learns and not yes:
        output.say(learns)
        if not typer.confirm("Use it?", err=True):
            raise typer.Exit(1)
    password = password_file.read_text().strip() if password_file else ""

    async def body(commands: CommandSet) -> None:
        if where.startswith(_PROXIES):
            added = await commands.path_add(where, name, relay or [], only)
            output.emit(added)
            output.say(f"Added as “{added['name']}”. `volok path test` tries it.", "green")
            return
        drop = await commands.drop_add(where, user, password, endpoint)
        output.emit({"name": drop["place"], **drop})
        output.say("Added. It was tried just now, and works.", "green")

    run(context, body)


@path_app.command()
def remove(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Its name in `volok path list`.")],
    as_json: AsJson = False,
) -> None:
    """Remove a way that you added. What you left in a place is taken away from there.

    Examples:

        volok path remove proxy

        volok path remove /media/stick
    """
    output = Output(as_json)

    async def body(commands: CommandSet) -> None:
        drops = {one["place"] for one in await commands.drops()}
        if name in drops:
            output.emit(await commands.drop_remove(name))
        else:
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
