"""`volok doctor`: what is blocked here, and what is open."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from volok.app.cli.output import AsJson, Output
from volok.app.cli.session import run
from volok.app.commands import CommandSet
from volok.app.shapes import Json

app = typer.Typer()

_STEPS = {
    "names": "Looking names up",
    "places": "Connecting to your relays and drops",
    "sides": "Looking at what else passes",
}


@app.command()
def doctor(
    context: typer.Context,
    thorough: Annotated[
        bool,
        typer.Option(
            "--thorough",
            help="Also look for punishments: a censor may then cut off one of your relays for up "
            "to three minutes. Takes up to a minute.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Say what is blocked here and how, and what is open.

    Also what to try where something is blocked.

    Nothing but your own relays and drops is contacted, and the name servers of this computer are
    asked for their names. It takes up to half a minute and about one megabyte.

    The exit code is 0 when anything is open, however much is blocked, and 1 when nothing is. With
    --json, lines with `progress` come first; the last line is the result.

    Examples:

        volok doctor

        volok doctor --thorough

        volok doctor --json | tail -n 1
    """
    output = Output(as_json)

    async def body(commands: CommandSet) -> None:
        is_open = False
        async for found in commands.doctor(thorough):
            output.emit(found)
            if "progress" in found:
                _show_progress(found["progress"], as_json)
            else:
                is_open = bool(found["open"])
                _show(found, output)
        if not is_open:
            raise typer.Exit(1)

    run(context, body)


def _show_progress(progress: Json, as_json: bool) -> None:
    if as_json or not sys.stderr.isatty():
        return
    text = f"{_STEPS[progress['step']]}: {progress['done']} of {progress['of']}"
    sys.stderr.write(f"\r{text:<60}")
    sys.stderr.flush()


def _show(found: Json, output: Output) -> None:
    if not output.as_json and sys.stderr.isatty():
        sys.stderr.write(f"\r{'':<60}\r")
    mild = found["findings"][0]["kind"] == "not-blocked"
    output.say(found["verdict"], "green" if mild else "yellow" if found["open"] else "red")
    for finding in found["findings"]:
        if finding["meaning"]:
            output.say(f"  {finding['meaning']}", "dim")
    for place in found["places"]:
        output.say(f"{place['name']}: {place['text']}")
    if found["advice"]:
        output.say("What to try:")
        for one in found["advice"]:
            command = f"  {one['command']}" if one["command"] else ""
            output.say(f"  - {one['text']}{command}")
    if found["left_out"]:
        output.say(found["left_out"], "dim")
