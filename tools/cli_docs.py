"""Writes docs/cli.md from the `--help` of every command, so that the two cannot differ."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main

from volok.app.cli import app

TARGET = Path(__file__).parents[1] / "docs" / "cli.md"
WIDTH = 88

HEAD = """\
# The command line

Written by `make docs` from `volok --help`; a test compares the two.

Every command takes `--home DIR` before its name, or `VOLOK_HOME` from the environment. Commands
that print data take `--json` and then print one JSON object per line and nothing else. The exit
code is 0 when the thing was done, 1 after an error that is stated in one sentence on standard
error, and 2 for wrong usage.
"""


def commands(command: Any, parent: Any, name: str) -> Iterator[tuple[Any, Any]]:
    """Yield (context, command) of a command and of everything below it, in the order of `--help`.

    Plain text is asked for: the boxes and colours of Rich depend on the terminal.
    """
    command = command.load() if hasattr(command, "load") else command
    command.rich_markup_mode = None
    settings = {**command.context_settings, "terminal_width": WIDTH}
    context = command.context_class(command, info_name=name, parent=parent, **settings)
    yield context, command
    if hasattr(command, "list_commands"):
        for child in command.list_commands(context):
            yield from commands(command.get_command(context, child), context, child)


def render() -> str:
    """The text of docs/cli.md."""
    parts = [HEAD]
    for context, command in commands(typer.main.get_command(app), None, "volok"):
        if not command.hidden:
            text = "\n".join(line.rstrip() for line in command.get_help(context).splitlines())
            parts.append(f"## {context.command_path}\n\n```text\n{text.strip()}\n```\n")
    return "\n".join(parts)


if __name__ == "__main__":
    TARGET.write_text(render(), encoding="utf-8")
