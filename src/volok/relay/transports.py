"""Pluggable transports in front of a relay: programs of the system that make its connections look
like something else (pt-spec, server side).

1. Each transport has a port of its own and passes on to the port on which the relay listens.
2. Its keys and its port stay from one start to the next, so that addresses handed out stay right.
3. A program that dies is started again; the relay itself does not depend on it.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from volok.model.transport import Transport, is_transport_name
from volok.paths.pt_dialogue import Dialogue, TransportFailed, server_environment
from volok.paths.pt_process import TransportProgram
from volok.relay.errors import RelayError
from volok.relay.server import listen

FOLDER = "transports"

PROGRAMS: Mapping[str, tuple[str, ...]] = {
    "obfs4": ("lyrebird", "obfs4proxy"),
    "meek_lite": ("lyrebird", "obfs4proxy"),
    "webtunnel": ("lyrebird", "webtunnel-server"),
}
"""For each transport the programs that can be its server, the best first."""


@dataclass(frozen=True, slots=True)
class TransportWish:
    """A transport that the operator asks for."""

    name: str
    program: str
    """Path of its program; empty: whichever is installed."""
    port: int = 0
    """0: the one of the last time, or any."""
    options: Mapping[str, str] = field(default_factory=dict)
    """What its program is told beside (pt-spec, TOR_PT_SERVER_TRANSPORT_OPTIONS)."""


def parse_wish(text: str, options: Sequence[str] = ()) -> TransportWish:
    """Read NAME[:PORT][=PROGRAM], and those of `options` (NAME:KEY=VALUE) that are for it. Raises
    RelayError."""
    head, _, program = text.partition("=")
    name, mark, port = head.partition(":")
    digits = port if mark else "0"
    if not is_transport_name(name) or not digits.isdigit() or int(digits) > 65535:
        raise RelayError("A transport reads NAME, NAME:PORT or NAME:PORT=PROGRAM.")
    told: dict[str, str] = {}
    for option in options:
        whose, _, pair = option.partition(":")
        key, mark, value = pair.partition("=")
        if not mark or not is_transport_name(whose):
            raise RelayError("An option of a transport reads NAME:KEY=VALUE.")
        if whose == name:
            told[key] = value
    return TransportWish(name, program, int(digits), told)


def find_program(wish: TransportWish) -> str:
    """The path of the program for a transport. Raises RelayError."""
    names = (wish.program,) if wish.program else PROGRAMS.get(wish.name, ())
    found = next((path for name in names if (path := shutil.which(name))), None)
    if found is not None:
        return found
    if wish.program:
        raise RelayError(f"The program for {wish.name} is not there, or cannot be run.")
    if not names:
        raise RelayError(f"Say which program speaks {wish.name}: --transport {wish.name}=PROGRAM.")
    raise RelayError(
        f"No program on this computer speaks {wish.name}. Install {' or '.join(names)}."
    )


@contextlib.asynccontextmanager
async def transports(
    wishes: Sequence[TransportWish],
    data_dir: Path,
    host: str,
    target: tuple[str, int],
    kept: Sequence[Transport] = (),
) -> AsyncIterator[list[Transport]]:
    """Run transports until the block is left. They listen at `host` and pass on to `target`;
    `kept` are those of the last time. Gives what clients have to know of them, without a host.
    Raises RelayError when one does not start."""
    ports = {one.name: one.port for one in kept}
    async with contextlib.AsyncExitStack() as stack:
        running: list[Transport] = []
        for wish in wishes:
            port = wish.port or ports.get(wish.name) or _free_port(host)
            program = _program(wish, data_dir, (host, port), target)
            stack.push_async_callback(program.close)
            try:
                method = await program.ready()
            except TransportFailed as error:
                raise RelayError(f"The program for {wish.name} fails: {error}") from error
            running.append(Transport(wish.name, "", method.port, method.parameters))
            stack.push_async_callback(_stop, asyncio.create_task(_keep(program)))
        yield running


def _program(
    wish: TransportWish, data_dir: Path, bind: tuple[str, int], target: tuple[str, int]
) -> TransportProgram:
    try:
        told = server_environment(wish.name, _place(bind), _place(target), wish.options)
    except TransportFailed as error:
        raise RelayError(str(error)) from error
    return TransportProgram(
        (find_program(wish),),
        data_dir / FOLDER / wish.name,
        partial(Dialogue, wish.name, True),
        told,
    )


async def _keep(program: TransportProgram) -> None:
    """Start it again whenever it ended."""
    while True:
        await program.ended()
        await asyncio.sleep(program.pause)
        with contextlib.suppress(TransportFailed):
            await program.ready()


async def _stop(keeping: asyncio.Task[None]) -> None:
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)


def _free_port(host: str) -> int:
    """Chosen by us, so that the program has the same one whenever it is started again."""
    listener = listen(host, 0)
    with listener:
        return int(listener.getsockname()[1])


def _place(address: tuple[str, int]) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
