"""What an operator does with a relay's data folder: `volok relay config`, `import`, `export`."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from volok.app.cli.options import Options
from volok.app.cli.output import AsJson, Output
from volok.native import NativeCrypto
from volok.relay.backends import backends
from volok.relay.config import default_config
from volok.relay.errors import RelayError
from volok.relay.export import export_events, export_folder
from volok.relay.folder import Ask, folder_store, shared_store, unlocked
from volok.relay.importing import ImportReport, import_lines, lines_of
from volok.store.store import Store

Data = Annotated[Path, typer.Option(help="The folder that holds what the relay keeps.")]
Shared = Annotated[
    str,
    typer.Option(
        "--store",
        help="The PostgreSQL that relays share: postgresql://HOST/DATABASE. Their key file lies in "
        "--data. Without, the events are those of the folder.",
        show_default=False,
    ),
]
FOLDER = Path("volok-relay")
"""That folder, where none is named."""


def register(relay_app: typer.Typer) -> None:
    """Add the commands to `volok relay`."""
    relay_app.command()(config)
    relay_app.command("import")(import_)
    relay_app.command()(export)


def asking(context: typer.Context) -> Ask:
    """Where the passphrase of an encrypted folder comes from: --passphrase-file, or the terminal.
    It raises NoPassphrase, EmptyPassphrase, OSError."""
    options: Options = context.obj

    def ask(new: bool) -> str:
        if new and options.passphrase_file is None:
            return options.new_passphrase()
        return options.passphrase()

    return ask


def config() -> None:
    """Print a configuration file with every setting, what it means and its default.

    Examples:

        volok relay config > relay.toml
    """
    sys.stdout.write(default_config())


def import_(
    context: typer.Context,
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="Files with one event per line; without any, standard input."),
    ] = None,
    data: Data = FOLDER,
    store: Shared = "",
    verify: Annotated[
        bool,
        typer.Option("--verify/--no-verify", help="Whether ids and signatures are checked."),
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Take in events from files: one JSON object per line, as strfry and volok export them.

    A line that is no good is counted and passed over. Stop the relay of the folder first; others
    that share a store go on.

    Examples:

        volok relay import events.jsonl --data /srv/relay

        strfry export | volok relay import --data /srv/relay

        volok relay import events.jsonl --data /srv/volok --store postgresql://db.internal/volok
    """
    output = Output(as_json)
    with ExitStack() as stack:
        opened = [stack.enter_context(_opened(path)) for path in files or ()]
        sources = opened or [sys.stdin.buffer]
        report = asyncio.run(
            _import(sources, opened_store(context, data, store), verify, _progress(output))
        )
    output.emit({**asdict(report), "lines": report.lines})
    output.say(f"{report.added} of {report.lines} events were added.")
    for name, count in asdict(report).items():
        if count and name != "added":
            output.say(f"{count} {name.replace('_', ' ')}", "dim")


async def _import(
    sources: list[BinaryIO],
    opened: AbstractAsyncContextManager[Store],
    verify: bool,
    progress: Callable[[ImportReport], None],
) -> ImportReport:
    crypto = NativeCrypto()
    lines = (line for source in sources for line in lines_of(source))
    async with opened as store:
        try:
            return await import_lines(
                lines, store, crypto, lambda: int(time.time()), verify=verify, progress=progress
            )
        except OSError as error:
            raise RelayError("The file with events cannot be read to its end.") from error


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise RelayError(f"The file {path} cannot be read.") from error


def _progress(output: Output) -> Callable[[ImportReport], None]:
    """Says on a terminal how far the work has come."""
    if output.as_json or not sys.stderr.isatty():
        return lambda _: None

    def progress(report: ImportReport) -> None:
        sys.stderr.write(f"\r{report.lines} events ")
        sys.stderr.flush()

    return progress


def export(context: typer.Context, data: Data = FOLDER, store: Shared = "") -> None:
    """Write every event that a relay holds, sealed ones included: one JSON object per line.

    The relay of the folder may run meanwhile, unless it shares a store: then others may.

    Examples:

        volok relay export --data /srv/relay > events.jsonl

        volok relay export --data /srv/volok --store postgresql://db.internal/volok > events.jsonl
    """
    if store:
        asyncio.run(_export(opened_store(context, data, store)))
    else:
        keys = unlocked(data, NativeCrypto(), asking(context))
        for line in export_folder(data, keys.store):
            sys.stdout.buffer.write(line)
    sys.stdout.flush()


async def _export(opened: AbstractAsyncContextManager[Store]) -> None:
    async with opened as store:
        async for line in export_events(store, int(time.time())):
            sys.stdout.buffer.write(line)


def opened_store(
    context: typer.Context, data: Path, store: str
) -> AbstractAsyncContextManager[Store]:
    """The shared store at this address; without one that of the folder, made if needed."""
    crypto = NativeCrypto()
    if not store:
        return folder_store(data, crypto, asking(context), create=True)
    return shared_store(data, backends(store, "", "", crypto, os.environ).store)
