"""`volok relay stats`, `verify` and `compact`: what lies in a relay's folder, and whether it is
sound."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import typer

from volok.app.cli.output import AsJson, Output
from volok.app.cli.relay_upkeep import FOLDER, Data, Shared, asking
from volok.native import NativeCrypto
from volok.relay.backends import Inspector, inspector
from volok.relay.errors import RelayError
from volok.relay.export import EVENTS_FILE
from volok.relay.folder import stated_errors, stopped, unlocked
from volok.store import inspection
from volok.store.soundness import Verified
from volok.store.store import StoreError, StoreFull

_LONG = "Reading everything; this may take minutes."
_MEANINGS = {
    "events": "events",
    "regular": "that stay",
    "replaceable": "that a newer one replaces",
    "addressable": "that a newer one of the same name replaces",
    "sealed": "sealed messages",
    "expiring": "that expire",
    "deletions": "deletions that are remembered",
    "vanished": "keys that asked to vanish",
    "unsearched": "whose words are not in the index yet",
}


def register(relay_app: typer.Typer) -> None:
    """Add the commands to `volok relay`."""
    for command in (stats, verify, compact):
        relay_app.command()(command)


def stats(
    context: typer.Context, data: Data = FOLDER, store: Shared = "", as_json: AsJson = False
) -> None:
    """Say how much a relay holds, also while it runs. Nothing in it names anybody.

    Examples:

        volok relay stats --data /srv/relay

        volok relay stats --data /srv/relay --json

        volok relay stats --store postgresql://db.internal/volok
    """
    output = Output(as_json)
    if store:
        found = asyncio.run(inspector(store, NativeCrypto()).stats())
    else:
        file, key = _file(context, data)
        with _read_errors():
            found = inspection.stats(file, key)
    output.emit(asdict(found))
    for name, meaning in _MEANINGS.items():
        output.say(f"{getattr(found, name):>12,} {meaning}")
    free = "" if found.free_bytes is None else f", {found.free_bytes:,} of them free"
    output.say(f"{found.bytes_on_disk:>12,} bytes on disk{free}")
    if found.oldest is not None and found.newest is not None:
        output.say(f"from {_day(found.oldest)} to {_day(found.newest)}")


def verify(
    context: typer.Context, data: Data = FOLDER, store: Shared = "", as_json: AsJson = False
) -> None:
    """Read everything that a relay holds and say whether it is sound. Exit code 1 if it is not.

    Each event must be whole and in every index, and nothing may be in an index that is not there.
    It may take minutes for millions of events; the relay may run meanwhile, unless it shares a
    store: then others may.

    Examples:

        volok relay verify --data /srv/relay

        volok relay verify --data /srv/volok --store postgresql://db.internal/volok
    """
    output = Output(as_json)
    if store:
        output.say(_LONG, "dim")
        found = asyncio.run(_verify_shared(data, inspector(store, NativeCrypto())))
    else:
        file, key = _file(context, data)
        output.say(_LONG, "dim")
        with _read_errors():
            found = inspection.verify(file, int(time.time()), key)
    output.emit(
        {
            "sound": not found.problems,
            "events": found.events,
            "searched": found.searched,
            "problems": dict(found.problems),
            "told": found.told,
        }
    )
    for problem in found.told:
        output.say(problem)
    if found.problems:
        output.say(f"{found.problems.total()} problems in {found.events} events.", "bold red")
        output.say("Export what can be read, and import it into a new one.")
        raise typer.Exit(1)
    output.say(f"{found.events} events, all sound.")


async def _verify_shared(data: Path, shared: Inspector) -> Verified:
    async with stopped(data):
        with stated_errors():
            return await shared.verify(data, int(time.time()))


def compact(context: typer.Context, data: Data = FOLDER, as_json: AsJson = False) -> None:
    """Give the room of what has left a relay back to the disk. Stop the relay first.

    It takes as much free disk as the file has bytes, and minutes for millions of events.

    Examples:

        volok relay compact --data /srv/relay
    """
    output, (file, key) = Output(as_json), _file(context, data)
    output.say("Rewriting the file; this may take minutes.", "dim")
    before, after = asyncio.run(_compact(data, file, key))
    output.emit({"bytes_before": before, "bytes_after": after})
    output.say(f"{before:,} bytes before, {after:,} after.")


async def _compact(data: Path, file: Path, key: bytes | None) -> tuple[int, int]:
    async with stopped(data):
        with _read_errors():
            return await asyncio.to_thread(inspection.compact, file, key)


def _file(context: typer.Context, data: Path) -> tuple[Path, bytes | None]:
    """The file of the store, and its key where the folder is encrypted. Raises RelayError."""
    file = data / EVENTS_FILE
    if not file.is_file():
        raise RelayError("There is no relay's data in this folder.")
    return file, unlocked(data, NativeCrypto(), asking(context)).store


@contextlib.contextmanager
def _read_errors() -> Iterator[None]:
    try:
        yield
    except StoreFull as error:
        raise RelayError("The disk is full. Nothing was changed.") from error
    except StoreError as error:
        raise RelayError(
            "The relay's data in this folder cannot be read. If it is from an older version, "
            "start and stop the relay once."
        ) from error


def _day(time_: int) -> str:
    try:
        return datetime.fromtimestamp(time_, UTC).date().isoformat()
    except (OverflowError, ValueError, OSError):
        return "a time beyond all calendars"
