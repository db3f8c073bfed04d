"""How results are printed: for people by Rich, for scripts as one JSON object per line.

Whatever came from others may hold terminal control sequences; nothing of it reaches the terminal
unescaped.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")]
"""The option of every command that a script may read."""

_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """Text without control characters and direction overrides; newlines and tabs stay."""
    return _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def json_line(value: Mapping[str, Any]) -> str:
    """One line of JSON; control characters that JSON leaves alone (C1) are escaped as well."""
    line = json.dumps(value, ensure_ascii=False)
    return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", line)


class Output:
    """Where a command prints: objects with `--json`, sentences and tables without."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self._console = Console(highlight=False, soft_wrap=True)

    def emit(self, value: Mapping[str, Any]) -> None:
        """Print one object for a script; nothing without `--json`."""
        if self.as_json:
            sys.stdout.write(json_line(value) + "\n")
            sys.stdout.flush()

    def line(self, text: str) -> None:
        """Print one line exactly as it is, for people and pipes; nothing with `--json`."""
        if not self.as_json:
            sys.stdout.write(printable(text) + "\n")
            sys.stdout.flush()

    def say(self, text: str, style: str = "") -> None:
        """Print a sentence for people; nothing with `--json`."""
        if not self.as_json:
            self._console.print(Text(printable(text), style=style))

    def warn(self, text: str) -> None:
        """Print a sentence on standard error."""
        sys.stderr.write(printable(text) + "\n")

    def show(self, renderable: Any) -> None:
        """Print a Rich table or panel, made of `printable` text; nothing with `--json`."""
        if not self.as_json:
            self._console.print(renderable)
