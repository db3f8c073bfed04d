"""`volok relay …` inside this process."""

from __future__ import annotations

from typer.testing import CliRunner

from volok.app.cli import app


def relay(
    *arguments: str, typed: str | None = None, before: tuple[str, ...] = (), code: int = 0
) -> str:
    """What a command prints on standard output; its errors are raised."""
    result = CliRunner().invoke(app, [*before, "relay", *arguments], input=typed)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.stdout
