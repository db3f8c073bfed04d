"""A Tor of our own: started when it is needed, in a folder of its own, gone when we are gone.

1. Nothing of the system's Tor is read or changed. What the person writes into `torrc.local` in the
   folder is read in addition: a proxy, ports that a firewall lets out, another network.
2. Tor watches our process (`__OwningControllerProcess`) and the control connection
   (TAKEOWNERSHIP), and ends with either, even if we are killed.
3. Whoever needs it waits a while for it to join its network, and is told how far it has come.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from volok.paths.live import PathError
from volok.paths.tor_bridge import Bridge
from volok.paths.tor_control import TorControl, TorControlError

LOCAL_FILE = "torrc.local"
"""What the person may write, in Tor's own syntax."""
_TORRC, _DATA, _PORT_FILE = "torrc", "data", "control-port"
_LOOK = 0.1
_PORT = re.compile(r"PORT=(127\.0\.0\.1:[0-9]{1,5})")


class TorStarting(PathError):
    """Tor is being started."""


class TorFailed(PathError):
    """Tor cannot be started."""


@dataclass(frozen=True, slots=True)
class TorProcessSettings:
    """How a Tor of our own is kept running. Times are in seconds."""

    control_wait: float = 15.0
    """For it to open its control port."""
    join_wait: float = 25.0
    """That one who needs it waits for it to join its network."""
    stop_wait: float = 3.0
    """For it to end."""
    pause_first: float = 2.0
    """Before it is started again after the first failure; doubled each time."""
    pause_most: float = 300.0
    """The longest such pause."""
    stable_after: float = 60.0
    """One that ran so long is started again at once."""


def write_torrc(folder: Path, bridges: Sequence[Bridge], programs: dict[str, str], pid: int) -> str:
    """What a Tor of ours reads. `programs` gives the client of each transport of the bridges;
    `pid` is the process that it ends with."""
    lines = [
        f"DataDirectory {_quoted(folder / _DATA)}",
        "SocksPort auto IsolateSOCKSAuth",
        "ControlPort auto",
        f"ControlPortWriteToFile {_quoted(folder / _PORT_FILE)}",
        "CookieAuthentication 1",
        f"__OwningControllerProcess {pid}",
        "ClientOnly 1",
        "AvoidDiskWrites 1",
        "SafeLogging 1",
        "Log err stderr",
        "GeoIPFile /dev/null",
        "GeoIPv6File /dev/null",
    ]
    if bridges:
        lines.append("UseBridges 1")
        lines += [f"ClientTransportPlugin {name} exec {at}" for name, at in programs.items()]
        lines += [f"Bridge {bridge.to_text()}" for bridge in bridges]
    if (folder / LOCAL_FILE).exists():
        lines.append(f"%include {_quoted(folder / LOCAL_FILE)}")
    return "\n".join(lines) + "\n"


class TorProcess:
    """One Tor in `folder` (made if needed). `program` is its path; see `write_torrc` for
    `bridges` and `programs`; `random` gives so many random bytes."""

    def __init__(
        self,
        program: str,
        folder: Path,
        random: Callable[[int], bytes],
        bridges: Sequence[Bridge] = (),
        programs: dict[str, str] | None = None,
        settings: TorProcessSettings | None = None,
    ) -> None:
        self._program = program
        self._folder = folder.absolute()
        self._random = random
        self._bridges = tuple(bridges)
        self._programs = programs or {}
        self._settings = settings or TorProcessSettings()
        self._process: asyncio.subprocess.Process | None = None
        self._control: TorControl | None = None
        self._socks: tuple[str, int] | None = None
        self._starting = asyncio.Lock()
        self._watching: asyncio.Task[None] | None = None
        self._began = 0.0
        self._pause = self._settings.pause_first
        self._not_before = 0.0
        self._problem = TorFailed(TorFailed.__doc__)
        self._closed = False

    async def ready(self, wait: float | None = None) -> tuple[str, int]:
        """Address and port at which it takes SOCKS, once it has joined its network; it is started
        if it does not run. Raises TorStarting after `wait` seconds (by default
        `TorProcessSettings.join_wait`), TorFailed."""
        control = await self.control()
        limit = asyncio.get_running_loop().time() + (
            self._settings.join_wait if wait is None else wait
        )
        while True:
            try:
                come = 100 if self._socks else await control.bootstrapped()
                if come == 100 and self._socks is None:
                    self._socks = next(iter(await control.socks_listeners()), None)
            except TorControlError as error:
                raise TorFailed("Tor ended. It will be started again.") from error
            if self._socks is not None:
                return self._socks
            if asyncio.get_running_loop().time() >= limit:
                raise TorStarting(self._how_far(come))
            await asyncio.sleep(_LOOK)

    async def control(self) -> TorControl:
        """Its control connection; it is started if it does not run. Raises TorFailed."""
        async with self._starting:
            if self._closed:
                raise TorFailed("Tor was stopped.")
            if self._control is not None:
                return self._control
            if asyncio.get_running_loop().time() < self._not_before:
                raise self._problem
            try:
                return await self._start()
            except TorFailed as error:
                self._rest(error)
                raise

    async def close(self) -> None:
        """End it for good."""
        self._closed = True
        await self._stop()

    def _how_far(self, come: int) -> str:
        if come < 15 and not self._bridges:
            return (
                f"Tor has been started and does not reach its network yet ({come} %). If it stays "
                "so, Tor is blocked here: use bridges."
            )
        return f"Tor has been started and is joining its network ({come} %)."

    async def _start(self) -> TorControl:
        self._began = asyncio.get_running_loop().time()
        try:
            await asyncio.to_thread(self._prepare)
            self._process = process = await asyncio.create_subprocess_exec(
                self._program,
                "--defaults-torrc",
                os.devnull,
                "-f",
                str(self._folder / _TORRC),
                "--quiet",
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                cwd=self._folder,
                env={"PATH": os.defpath, "HOME": str(self._folder)},
                start_new_session=True,  # Ctrl-C is for us; we end it in order
            )
        except OSError as error:
            raise TorFailed(
                "Tor cannot be started: its folder or program cannot be used."
            ) from error
        try:
            async with asyncio.timeout(self._settings.control_wait):
                self._control = control = await self._connect(process)
            await control.ask("TAKEOWNERSHIP")
        except (TimeoutError, TorControlError) as error:
            await self._stop()
            raise TorFailed("Tor was started and does not answer.") from error
        except BaseException:
            await self._stop()
            raise
        self._watching = asyncio.create_task(self._watch(process))
        return control

    def _prepare(self) -> None:
        for folder in (self._folder, self._folder / _DATA):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.chmod(0o700)
        (self._folder / _PORT_FILE).unlink(missing_ok=True)
        torrc = write_torrc(self._folder, self._bridges, self._programs, os.getpid())
        (self._folder / _TORRC).write_text(torrc, encoding="utf-8")

    async def _connect(self, process: asyncio.subprocess.Process) -> TorControl:
        while True:
            if process.returncode is not None:
                raise TorFailed(
                    "Tor ended as soon as it was started. Are its bridges right, and what stands "
                    f"in {LOCAL_FILE}?"
                )
            with suppress(OSError):
                found = _PORT.search((self._folder / _PORT_FILE).read_text(encoding="ascii"))
                if found is not None:
                    return await TorControl.open(found[1], self._random)
            await asyncio.sleep(_LOOK)

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        await process.wait()
        if process is self._process:
            control, self._control, self._process = self._control, None, None
            self._socks = None
            self._rest(TorFailed("Tor ended. It will be started again."))
            if control is not None:
                await control.close()

    def _rest(self, problem: TorFailed) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._began >= self._settings.stable_after:
            self._pause = self._settings.pause_first
        self._not_before = now + self._pause
        self._pause = min(2 * self._pause, self._settings.pause_most)
        self._problem = problem

    async def _stop(self) -> None:
        process, control = self._process, self._control
        self._process = self._control = self._socks = None
        if self._watching is not None:
            self._watching.cancel()
            self._watching = None
        if control is not None:
            with suppress(TorControlError):
                await control.ask("SIGNAL HALT")
            await control.close()
        if process is not None:
            with suppress(ProcessLookupError):
                process.terminate()
            try:
                async with asyncio.timeout(self._settings.stop_wait):
                    await process.wait()
            except TimeoutError:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()


def _quoted(path: Path) -> str:
    """A path as torrc takes it: a C string."""
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
