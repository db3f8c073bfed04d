"""`volok demo`: two people on this computer."""

from __future__ import annotations

import asyncio
import signal
import webbrowser
from contextlib import aclosing
from pathlib import Path
from typing import Annotated

import typer

from volok.app.cli.output import AsJson, Output
from volok.app.demo import Stage
from volok.app.demo_script import demo_folder, exchange
from volok.app.errors import AppError

app = typer.Typer()


class SomethingLost(AppError):
    """The demonstration did not go as it should. The steps above say where."""


@app.command()
def demo(
    once: Annotated[
        bool, typer.Option("--once", help="Play a scripted exchange, report it, and exit.")
    ] = False,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Only print the two links.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Watch two people talk, on this computer alone.

    Starts a relay and two nodes in a folder that vanishes afterwards, and opens two pages that are
    connected already: type in one, see it in the other.

    Examples:

        volok demo

        volok demo --once
    """
    output = Output(as_json)
    asyncio.run(_once(output) if once else _stay(output, no_browser))


async def _once(output: Output) -> None:
    good = True
    with demo_folder() as folder:
        async with aclosing(exchange(Path(folder))) as steps:
            async for step in steps:
                good = good and step.ok
                output.emit(
                    {
                        "step": step.title,
                        "ok": step.ok,
                        "seconds": round(step.seconds, 2),
                        "seen": step.seen,
                    }
                )
                mark, style = ("✓", "green") if step.ok else ("✗", "bold red")
                output.say(f"{mark} {step.title} ({step.seconds:.1f} s)", style)
                output.say(f"    {step.seen}")
    if not good:
        raise SomethingLost


async def _stay(output: Output, no_browser: bool) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    with demo_folder() as folder:
        stage = Stage(Path(folder))
        try:
            output.say("Starting a relay and two people's nodes…", "dim")
            await stage.start()
            for person in stage.people:
                output.emit({"name": person.name, "url": person.url})
                output.line(f"{person.name}: {person.url}")
                if not no_browser:
                    webbrowser.open(person.url)
            output.say("Type in one page and see it in the other. Ctrl-C ends it all.", "green")
            await stopping.wait()
        finally:
            await stage.stop()
