"""`volok invite`, `accept`, `contacts`: how people come together."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import segno
import typer
from rich.table import Table

from volok.app.cli.output import AsJson, Output, printable
from volok.app.cli.session import run
from volok.app.commands import CommandSet

app = typer.Typer()

NOT_YET = "The link works once it is on your relays: run `volok sync` before you hand it on."
NO_RELAY = "You have no relay, so nobody can use this link. Hand on a file instead: --file NAME."


@app.command()
def invite(
    context: typer.Context,
    file: Annotated[
        Path | None, typer.Option(help="Also write the invite as a file that needs no network.")
    ] = None,
    qr: Annotated[Path | None, typer.Option(help="Also write the link as a QR code (PNG).")] = None,
    days: Annotated[int, typer.Option(help="Days until it expires.", min=1, max=365)] = 7,
    multiple: Annotated[bool, typer.Option(help="Let several people use it.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make an invite for somebody you want to talk to.

    Prints the link alone. Give it to one person, over any way you have: it works once and then
    expires. Where there is no network, hand over the file instead.

    Examples:

        volok invite

        volok invite --qr invite.png

        volok invite --file for-bob.volok --days 30
    """
    output = Output(as_json)
    target = str(file.absolute()) if file else None

    async def body(commands: CommandSet) -> None:
        made = await commands.invite(days, multiple, target)
        if qr is not None:
            segno.make(made["link"], micro=False).save(str(qr), kind="png", scale=8)
        output.emit(made)
        output.line(made["link"])
        if file is None and not made["published"]:
            output.warn(NOT_YET if made["relays"] else NO_RELAY)

    run(context, body)


@app.command()
def accept(
    context: typer.Context,
    link_or_file: Annotated[str, typer.Argument(help="The link (in quotes), or an invite file.")],
    as_json: AsJson = False,
) -> None:
    """Accept an invite: a link, or a file.

    Examples:

        volok accept "volok:i1/…"

        volok accept for-bob.volok
    """
    output = Output(as_json)
    path = _as_path(link_or_file)

    async def body(commands: CommandSet) -> None:
        if path is None:
            contact = await commands.accept(link_or_file)
        else:
            contact = await commands.accept_file(path)
        output.emit(contact)
        output.say(f"You can write to {contact['name']} now, with `volok send`.", "green")

    run(context, body)


@app.command()
def contacts(context: typer.Context, as_json: AsJson = False) -> None:
    """List the people you talk to.

    Examples:

        volok contacts

        volok contacts --json
    """
    output = Output(as_json)

    async def body(commands: CommandSet) -> None:
        people = await commands.contacts()
        for person in people:
            output.emit(person)
        if not people:
            output.say("Nobody yet. Invite somebody with `volok invite`.")
            return
        table = Table("Name", "State", "Unread", "Waiting", "Verified", box=None)
        for person in people:
            table.add_row(
                printable(person["name"]).replace("[", r"\["),
                person["state"],
                str(person["unread"] or ""),
                str(person["waiting"] or ""),
                "yes" if person["verified"] else "no",
            )
        output.show(table)

    run(context, body)


def _as_path(text: str) -> str | None:
    """The absolute path if this names a file: one that is there, or that has a slash or a dot."""
    if "volok:" in text:
        return None
    path = Path(text)
    return str(path.absolute()) if path.exists() or "/" in text or path.suffix else None
