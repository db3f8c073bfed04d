"""`volok export`, `import`: messages carried by hand, where there is no network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from volok.app.cli.output import AsJson, Output
from volok.app.cli.session import run
from volok.app.commands import CommandSet

app = typer.Typer()


@app.command()
def export(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="The bundle to write.")],
    contact: Annotated[
        str | None, typer.Option("--for", help="Only what waits for this contact.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write what waits into a file to be carried by hand.

    Each contact can open their own part of it and nothing else; from outside it tells nothing.
    Carry it on a stick, by e-mail, in a shared folder. What a later receipt confirms drops out.

    Examples:

        volok export for-all.bundle

        volok export for-bob.bundle --for Bob
    """
    output = Output(as_json)

    async def body(commands: CommandSet) -> None:
        report = await commands.export(str(file.absolute()), contact)
        output.emit(report)
        output.say(
            f"Wrote {report['events']} sealed pieces and {report['blobs']} files "
            f"for {report['contacts']} contacts."
        )

    run(context, body)


@app.command("import")
def take_in(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="The bundle to take in.")],
    as_json: AsJson = False,
) -> None:
    """Take in a file that somebody carried to you.

    Taking in the same file twice does no harm. Messages appear as if they had come by a relay.

    Examples:

        volok import from-alice.bundle
    """
    output = Output(as_json)

    async def body(commands: CommandSet) -> None:
        report = await commands.take_in(str(file.absolute()))
        output.emit(report)
        output.say(f"Took in {report['events']} new sealed pieces and {report['blobs']} files.")

    run(context, body)
