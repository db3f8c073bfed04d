"""A relay as an onion service (rend-spec-v3): reached through Tor alone, at an address that is its
key.

1. The key is made by Tor once and kept in the relay's folder; so the address stays.
2. The service is published for as long as Tor's control connection lasts. When that ends, it is
   published again, over a Tor that is started anew if it is our own.
3. Tor carries connections to the port on which the relay listens anyway.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

from volok.paths.live import PathError
from volok.paths.tor_control import OnionKey, TorControl, TorControlError, parse_onion_key
from volok.paths.tor_process import TorProcess
from volok.relay.errors import RelayError
from volok.store.secure_files import write_private

KEY_FILE = "onion-key.json"
TOR_FOLDER = "tor"
VERSION = 1

_PAUSE_FIRST, _PAUSE_MOST = 2.0, 300.0
_UPLOAD_WAIT = 30.0
_ANY_PORT = ("127.0.0.1", 9)

OpenControl = Callable[[], Awaitable[TorControl]]
"""Gives an open control connection of the Tor that publishes. Raises PathError,
TorControlError."""

NO_TOR = (
    "Tor is not on this computer. Install it (on Debian: apt install tor), or name the control "
    "port of one that runs with --tor-control."
)


@contextlib.asynccontextmanager
async def control_of(
    place: str, data_dir: Path, program: str | None, random: Callable[[int], bytes]
) -> AsyncIterator[OpenControl]:
    """The Tor that is to publish: the running one whose control port is at `place` (HOST:PORT or
    the path of a socket), or, where that is empty, one of our own in the relay's folder, which ends
    with the block. `program` is the path of Tor. Raises RelayError."""
    if place:

        async def running() -> TorControl:
            return await TorControl.open(place, random)

        yield running
        return
    if program is None:
        raise RelayError(NO_TOR)
    own = TorProcess(program, data_dir / TOR_FOLDER, random)
    try:
        yield own.control
    finally:
        await own.close()


async def kept_key(data_dir: Path, control: OpenControl) -> OnionKey:
    """The key in the relay's folder; Tor makes one the first time. Raises RelayError."""
    file = data_dir / KEY_FILE
    try:
        if file.exists():
            return _read(file)
        with _stated():
            # Only to have the key made: nothing is published before the relay listens.
            connection = await control()
            key = await connection.publish(None, 80, _ANY_PORT)
            await connection.unpublish(key)
        _write(data_dir, key)
    except TorControlError as error:
        raise RelayError("The key of the onion service in the data folder is damaged.") from error
    except OSError as error:
        raise RelayError("The data folder cannot be written. Choose another folder.") from error
    return key


@contextlib.asynccontextmanager
async def published(
    control: OpenControl, key: OnionKey, port: int, target: tuple[str, int]
) -> AsyncIterator[bool]:
    """Keep an onion service published until the block is left: its virtual `port` leads to
    `target`. Gives whether Tor's network knows it already. Raises RelayError when it cannot be
    published at first."""
    with _stated():
        connection = await control()
        found = await connection.announce(key, port, target, _UPLOAD_WAIT)
    keeping = asyncio.create_task(_keep(connection, control, key, port, target))
    try:
        yield found
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)


async def _keep(
    connection: TorControl,
    control: OpenControl,
    key: OnionKey,
    port: int,
    target: tuple[str, int],
) -> None:
    pause = _PAUSE_FIRST
    try:
        while True:
            await connection.ended()
            await connection.close()
            await asyncio.sleep(pause)
            pause = min(2 * pause, _PAUSE_MOST)
            with contextlib.suppress(PathError, TorControlError):
                connection = await control()
                await connection.publish(key, port, target)
                pause = _PAUSE_FIRST
    finally:
        await connection.close()


def _write(data_dir: Path, key: OnionKey) -> None:
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    value = {"version": VERSION, "address": key.address, "key": key.key}
    write_private(data_dir / KEY_FILE, json.dumps(value).encode())


def _read(file: Path) -> OnionKey:
    try:
        value = json.loads(file.read_bytes())
        if value["version"] > VERSION:
            raise RelayError("The data folder is from a newer version of Volok.")
        return parse_onion_key(value["address"], value["key"])
    except (ValueError, KeyError, TypeError) as error:
        raise TorControlError("This is not the key of an onion service.") from error


@contextlib.contextmanager
def _stated() -> Iterator[None]:
    try:
        yield
    except (PathError, TorControlError) as error:
        raise RelayError(str(error)) from error
