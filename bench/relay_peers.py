"""The relays that are measured: ours, those of PyPI, and whatever else is named.

Every relay runs at its stock settings but for port and place, limits on the number of connections
and limits on how much one client may ask.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shlex
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import nostr_relay
import yaml
from bench.proc import family, memory_mb
from bench.relay_wire import Refused, connect

_START_SECONDS = 60.0
_STOP_SECONDS = 20.0
_CONNECTIONS = 20_000
_RETRY_SECONDS = 0.05
_BLOCK = 512
_HOLE = re.compile(r"\{(folder|port)\}")
_CONFIG = f"""\
[relay]
max_connections = {_CONNECTIONS}
"""

Command = Callable[[Path, int], Sequence[str]]


class NotStarted(Exception):
    """A relay did not start."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A relay that can be measured."""

    name: str
    command: Command | None = None
    """The command that starts it over a folder on a port."""
    url: str = ""
    """Where it is, if it runs already."""


@dataclass(frozen=True, slots=True)
class Running:
    """A relay that is up. What needs its process is not known of one behind a URL."""

    url: str
    pid: int | None
    folder: Path

    def memory(self) -> dict[str, float]:
        """MiB of all its processes: `RSS`, and `PSS`, which counts shared pages once."""
        total: dict[str, float] = {}
        for pid in family(self.pid) if self.pid else ():
            for name, value in memory_mb(pid).items():
                total[name] = total.get(name, 0.0) + value * 1e6 / 2**20
        return total


def ours() -> Peer:
    """The complete relay, as an operator starts it."""

    def command(folder: Path, port: int) -> Sequence[str]:
        config = folder.with_suffix(".toml")
        config.write_text(_CONFIG)
        relay = (sys.executable, "-m", "volok", "relay")
        return *relay, "--data", str(folder), "--port", str(port), "--config", str(config)

    return Peer("volok", command)


def from_pypi() -> list[Peer]:
    """nostr-relay, and nostr-sdk's LocalRelay over LMDB."""
    return [Peer("nostr-relay", _nostr_relay), Peer("LocalRelay", _local_relay)]


def at_url(text: str) -> Peer:
    """`NAME=URL`. Raises ValueError."""
    name, url = _split(text)
    return Peer(name, url=url)


def by_command(text: str) -> Peer:
    """`NAME=COMMAND`, in which {folder} and {port} are filled in. Raises ValueError."""
    name, line = _split(text)
    words = shlex.split(line)

    def command(folder: Path, port: int) -> Sequence[str]:
        given = {"{folder}": str(folder), "{port}": str(port)}
        return [_HOLE.sub(lambda hole: given[hole[0]], word) for word in words]

    return Peer(name, command)


@contextlib.asynccontextmanager
async def running(peer: Peer, folder: Path) -> AsyncIterator[Running]:
    """Start a relay over a folder (made if needed) and stop it. Raises NotStarted."""
    if peer.command is None:
        yield Running(peer.url, None, folder)
        return
    folder.mkdir(exist_ok=True)
    port = _free_port()
    with open(folder.with_suffix(".log"), "ab") as log:
        process = await asyncio.create_subprocess_exec(
            *peer.command(folder, port), cwd=folder, stdout=log, stderr=log, start_new_session=True
        )
    try:
        url = f"ws://127.0.0.1:{port}"
        await _answers(peer.name, process, url)
        yield Running(url, process.pid, folder)
    finally:
        await _stop(process)


def disk_bytes(folder: Path) -> int:
    """What the files of a folder take on the disk; holes in them take nothing."""
    return sum(path.stat().st_blocks * _BLOCK for path in folder.rglob("*") if path.is_file())


async def _answers(name: str, process: asyncio.subprocess.Process, url: str) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_START_SECONDS):
            while process.returncode is None:
                try:
                    (await connect(url)).close()
                    return
                except (OSError, Refused):
                    await asyncio.sleep(_RETRY_SECONDS)
    raise NotStarted(f"{name} did not start.")


async def _stop(process: asyncio.subprocess.Process) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_SECONDS):
                await process.wait()
                return


def _nostr_relay(folder: Path, port: int) -> Sequence[str]:
    stock = Path(nostr_relay.__file__).with_name("config.yaml")
    config = yaml.safe_load(stock.read_text())
    config["gunicorn"]["bind"] = f"127.0.0.1:{port}"
    config["gunicorn"]["control_socket_disable"] = True
    config["gunicorn"]["worker_connections"] = _CONNECTIONS
    config["storage"]["sqlalchemy.url"] = f"sqlite+aiosqlite:///{folder}/nostr.sqlite3"
    file = folder.with_suffix(".yaml")
    file.write_text(yaml.safe_dump(config))
    run = "from nostr_relay.cli import main; main()"
    return sys.executable, "-c", run, "-c", str(file), "serve"


def _local_relay(folder: Path, port: int) -> Sequence[str]:
    script = Path(__file__).with_name("local_relay.py")
    return sys.executable, str(script), str(folder), str(port)


def _split(text: str) -> tuple[str, str]:
    name, found, value = text.partition("=")
    if not (name and found and value):
        raise ValueError("it has to be NAME=…")
    return name, value


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
