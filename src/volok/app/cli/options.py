"""Global options, where the passphrase comes from, and how a command reaches a node."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import typer

from volok.app.errors import AppError


class NoPassphrase(AppError):
    """This Volok is locked, and there is no terminal to ask for the passphrase on. Name a file
    that holds it with --passphrase-file before the command, or in VOLOK_PASSPHRASE_FILE."""


class EmptyPassphrase(AppError):
    """The passphrase file is empty. Put the passphrase on its first line."""


@dataclass(frozen=True, slots=True)
class Options:
    """What stands before the command."""

    home: Path
    passphrase_file: Path | None

    def passphrase(self) -> str:
        """The passphrase that opens the vault. Raises NoPassphrase, EmptyPassphrase, OSError."""
        if self.passphrase_file is not None:
            return read_passphrase(self.passphrase_file)
        if not on_terminal():
            raise NoPassphrase
        return str(typer.prompt("Passphrase", hide_input=True, err=True))

    def new_passphrase(self) -> str:
        """Ask for a new one, twice, on a terminal."""
        return str(
            typer.prompt("Choose a passphrase", hide_input=True, confirmation_prompt=True, err=True)
        )


def read_passphrase(path: Path) -> str:
    """The first line of a file. Raises EmptyPassphrase, OSError."""
    text = path.read_text(encoding="utf-8", errors="replace")
    line = text.splitlines()[0] if text else ""
    if not line:
        raise EmptyPassphrase
    return line


def on_terminal() -> bool:
    """Whether somebody can be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()
