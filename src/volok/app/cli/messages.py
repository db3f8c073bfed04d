"""`volok send`, `read`, `sync`: messages."""

from __future__ import annotations

import sys
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from volok.app.cli.output import AsJson, Output, printable
from volok.app.cli.session import run
from volok.app.commands import CommandSet
from volok.app.errors import AppError

app = typer.Typer()

Person = Annotated[str, typer.Argument(help="A contact's name, or its id.")]

STATES = {
    "queued": "waits on this computer",
    "relayed": "on a relay",
    "delivered": "delivered",
    "read": "read",
    "failed": "could not be sent",
    "received": "new",
}


NOTICES = {
    "contact-added": "You can write to each other now.",
    "timer-changed": "The timer of disappearing messages was changed.",
    "invite-used-twice": "Somebody else tried to use the same invite. Compare safety numbers.",
    "key-changed": "Their key is another one now. Compare safety numbers before you go on.",
    "cloned-backup": "Two nodes answer in their name: a backup may have been copied.",
}
"""What the lines say that the program writes into a conversation."""


class RoundIncomplete(AppError):
    """Not everything could be carried: a relay was out of reach. What waits stays queued."""


@app.command()
def send(
    context: typer.Context,
    contact: Person,
    text: Annotated[
        str | None, typer.Argument(help="The message; - reads it from standard input.")
    ] = None,
    file: Annotated[
        list[Path] | None, typer.Option(help="A file to attach; give it several times for more.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Send a message, files, or both.

    The message is kept safely on this computer first. A running node (`volok up`) carries it at
    once; without one it leaves with the next `volok sync`.

    Examples:

        volok send Bob "See you at eight"

        volok send Bob --file picture.jpg

        date | volok send Bob -
    """
    output = Output(as_json)
    words = sys.stdin.read() if text == "-" else text or ""
    paths = [str(path.absolute()) for path in file or ()]
    if not words.strip() and not paths:
        raise typer.BadParameter("Give a text, or a file with --file.", param_hint="TEXT")

    async def body(commands: CommandSet) -> None:
        message = await commands.send(contact, words, paths)
        output.emit(message)
        if commands.carries:
            output.say("Queued; your node is carrying it.", "green")
        else:
            output.say("Queued. It leaves with `volok sync`, or while `volok up` runs.", "green")

    run(context, body)


@app.command()
def read(
    context: typer.Context,
    contact: Person,
    last: Annotated[int | None, typer.Option(help="Only the last so many messages.", min=1)] = None,
    follow: Annotated[bool, typer.Option(help="Stay, and print what comes.")] = False,
    save: Annotated[
        Path | None, typer.Option(help="Write attached files into this folder.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Read a conversation, oldest message first.

    What is printed counts as seen, as it does in the app.

    Examples:

        volok read Bob

        volok read Bob --last 20 --save pictures

        volok read Bob --json --follow
    """
    output = Output(as_json)
    folder = str(save.absolute()) if save else None

    async def body(commands: CommandSet) -> None:
        async for message in commands.read(contact, last, follow, folder):
            if message["notice"] is None:
                output.emit(message)
                output.show(_rendered(message))
            else:
                output.say(f"— {NOTICES.get(message['notice'], message['notice'])}", "yellow")

    with suppress(KeyboardInterrupt):
        run(context, body)


@app.command()
def sync(context: typer.Context, as_json: AsJson = False) -> None:
    """Carry everything in both directions once, then exit.

    Exits with 1 when a relay could not be reached; what waits stays queued, nothing is lost.

    Examples:

        volok sync

        watch -n 60 volok sync
    """
    output = Output(as_json)

    async def body(commands: CommandSet) -> None:
        report = await commands.sync()
        output.emit(report)
        output.say(
            f"Received {report['received']}, published {report['published']}, "
            f"{report['waiting']} without receipt."
        )
        for url, problem in report["problems"].items():
            output.say(f"{url}: {problem}", "yellow")
        if report["problems"]:
            raise RoundIncomplete

    run(context, body)


def _rendered(message: dict[str, Any]) -> Text:
    """One message for people."""
    clock = datetime.fromtimestamp(message["sent_at"] / 1000).strftime("%Y-%m-%d %H:%M")
    mine = message["from"] == "me"
    line = Text()
    line.append(f"{clock}  ", "dim")
    line.append(f"{printable(message['from'])}: ", "bold cyan" if mine else "bold magenta")
    line.append("(deleted)" if message["deleted"] else printable(message["text"]))
    for file in message["files"]:
        where = f" → {file['path']}" if "path" in file else f" ({file['state']})"
        line.append(f" [{printable(file['name'])}, {file['size']} bytes{where}]", "blue")
    for reaction in message["reactions"]:
        line.append(f" {printable(reaction['emoji'])}")
    if mine or message["problem"]:
        note = message["problem"] or STATES[message["state"]]
        line.append(f"  {printable(note)}", "red" if message["problem"] else "dim")
    return line
