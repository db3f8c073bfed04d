"""The command line. `main` is the entry point `volok`; `app` is its Typer application.

Exit codes: 0 done, 1 an error that is stated in one sentence on standard error, 2 wrong usage.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

import volok
from volok.app.cli.lazy import LazyGroup
from volok.app.cli.options import Options
from volok.app.errors import STATED, sentence
from volok.app.home import default_home

app = typer.Typer(
    name="volok",
    cls=LazyGroup,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"volok {volok.__version__}")
        raise typer.Exit


@app.callback()
def volok_(
    context: typer.Context,
    home: Annotated[
        Path | None,
        typer.Option(
            help="The folder that holds your Volok.", envvar="VOLOK_HOME", show_default=False
        ),
    ] = None,
    passphrase_file: Annotated[
        Path | None,
        typer.Option(
            help="Read the passphrase from the first line of this file instead of asking.",
            envvar="VOLOK_PASSPHRASE_FILE",
        ),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Private messages that keep moving when the internet is blocked.

    The first time: `volok init --name Alice`, then `volok up`.

    Without a browser: `volok invite`, `volok accept LINK`, `volok send Bob "Hello"`,
    `volok sync`, `volok read Bob`.

    Where a node is up for the home folder, commands talk to it; otherwise they open the folder
    themselves. Just looking? `volok demo`.
    """
    chosen = home.expanduser().absolute() if home else default_home(os.environ)
    context.obj = Options(chosen, passphrase_file)


def main() -> None:
    """Run the command line and leave the process."""
    try:
        app(prog_name="volok")
    except STATED as error:
        sys.stderr.write(sentence(error) + "\n")
        sys.exit(1)
