"""`volok hint list`, `share`, `unshare`, `keep`, `remove`, `use`: new relays come from friends."""

from __future__ import annotations

from typing import Annotated

import typer

from volok.app.cli.output import AsJson, Output
from volok.app.cli.session import run
from volok.app.commands import CommandSet

app = typer.Typer()
hint_app = typer.Typer(no_args_is_help=True)
app.add_typer(hint_app, name="hint")

Place = Annotated[str, typer.Argument(help="Its address as in `volok hint list`.")]


@hint_app.callback()
def hint() -> None:
    """Tell contacts of relays, and see what they told you.

    When all your own relays are gone, Volok reads at those that contacts told you of, until yours
    are back. None of them is contacted before.

    Examples:

        volok hint list

        volok hint share wss://relay.example
    """


@hint_app.command("list")
def list_(context: typer.Context, as_json: AsJson = False) -> None:
    """List what contacts told you, and what you let them know.

    Examples:

        volok hint list --json
    """
    output = Output(as_json)

    async def body(commands: CommandSet) -> None:
        known = await commands.hints()
        output.emit(known)
        for one in known["heard"]:
            state = ""
            if one["own"]:
                state = ", one of yours"
            elif one["used"]:
                state = ", in use" if one["works"] else ", being tried"
            output.say(f"{one['place']}: from {', '.join(one['told_by'])}{state}")
        for one in known["shared"]:
            who = ", ".join(one["contacts"]) or "your contacts, each of whom gets a few"
            output.say(f"{one['place']}: you let know {who}")
        if not known["heard"] and not known["shared"]:
            output.say("Nobody told you of a relay, and you share none.")
        if not known["on"]:
            output.say("None of them is ever used. To change that: `volok hint use on`.", "yellow")

    run(context, body)


@hint_app.command()
def share(
    context: typer.Context,
    place: Annotated[
        str,
        typer.Argument(
            help="A relay (wss://…), a place on a server without its login (webdavs://…, sftp://…, "
            "s3+https://…), or your mail address (mailto:…)."
        ),
    ],
    contact: Annotated[
        list[str] | None,
        typer.Option(help="Who may know it; may be given several times. Without, all contacts."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Let contacts know of a relay that they may use when theirs are gone.

    Each contact is told of three relays at most, all of them together of six, so that an informer
    among them cannot list them all. What a contact tells you is never passed on by itself.

    Whoever knows a relay can have it blocked. Share those that you run, or that are public.

    Examples:

        volok hint share wss://relay.example

        volok hint share mailto:alice@mail.example --contact Bob
    """
    output = Output(as_json)

    async def body(commands: CommandSet) -> None:
        shared = await commands.hint_share(place, contact or [])
        output.emit(shared)
        output.say("Shared. Your contacts hear of it with the next messages.", "green")

    run(context, body)


@hint_app.command()
def unshare(context: typer.Context, place: Place, as_json: AsJson = False) -> None:
    """Take back what you shared: contacts are told to forget it.

    Examples:

        volok hint unshare wss://relay.example
    """
    output = Output(as_json)

    async def body(commands: CommandSet) -> None:
        output.emit(await commands.hint_unshare(place))
        output.say("Taken back.", "green")

    run(context, body)


@hint_app.command()
def keep(context: typer.Context, relay: Place, as_json: AsJson = False) -> None:
    """Make a relay that a contact told you of one of your own.

    Examples:

        volok hint keep wss://relay.example
    """
    output = Output(as_json)

    async def body(commands: CommandSet) -> None:
        output.emit(await commands.hint_keep(relay))
        output.say("It is one of your relays now, and your contacts are told.", "green")

    run(context, body)


@hint_app.command()
def remove(context: typer.Context, place: Place, as_json: AsJson = False) -> None:
    """Never use a place that a contact told you of, and do not list it.

    Examples:

        volok hint remove wss://relay.example
    """
    output = Output(as_json)

    async def body(commands: CommandSet) -> None:
        output.emit(await commands.hint_remove(place))
        output.say("Removed.", "green")

    run(context, body)


@hint_app.command()
def use(
    context: typer.Context,
    switch: Annotated[str, typer.Argument(help="`on` or `off`.", metavar="on|off")],
    as_json: AsJson = False,
) -> None:
    """Say whether relays from contacts are used when all of yours are gone.

    A relay that is used sees your address, as each of your own does, unless Tor or a proxy is the
    only way.

    Examples:

        volok hint use off
    """
    if switch not in ("on", "off"):
        raise typer.BadParameter("Say on or off.", param_hint="on|off")
    output = Output(as_json)

    async def body(commands: CommandSet) -> None:
        output.emit(await commands.hints_switch(switch == "on"))
        output.say("They are used." if switch == "on" else "None of them is used.", "green")

    run(context, body)
