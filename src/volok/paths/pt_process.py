"""One program of a pluggable transport, kept running while it is needed (pt-spec, section 3).

1. It is started when it is first needed and once more when it died; each failure in a row doubles
   the pause before the next attempt, and until then the reason is given at once.
2. It gets no environment but what the protocol says, and no shell. Closing its standard input asks
   it to end; one that does not is killed.
3. All it may say is in `volok.paths.pt_dialogue`; what it says later is read and thrown away, and
   its standard error was never ours.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from volok.paths.pt_dialogue import MOST_LINE, Dialogue, Method, TransportFailed


@dataclass(frozen=True, slots=True)
class ProgramSettings:
    """How programs of transports are kept running. Times are in seconds."""

    start_wait: float = 10.0
    """For one to be ready."""
    stop_wait: float = 2.0
    """For one to end when it is asked to."""
    pause_first: float = 1.0
    """Before it is started again after the first failure; doubled each time."""
    pause_most: float = 300.0
    """The longest such pause."""
    stable_after: float = 60.0
    """One that ran so long is started again at once."""


class TransportProgram:
    """A program that serves one transport.

    `command` is its path and arguments; `state` a folder of its own, made if needed; `dialogue`
    makes what understands it; `told` is what it is told beside the common part.
    """

    def __init__(
        self,
        command: Sequence[str],
        state: Path,
        dialogue: Callable[[], Dialogue],
        told: Mapping[str, str],
        settings: ProgramSettings | None = None,
    ) -> None:
        self._command = tuple(command)
        self._state = state
        self._dialogue = dialogue
        self._told = dict(told)
        self._settings = settings or ProgramSettings()
        self._process: asyncio.subprocess.Process | None = None
        self._method: Method | None = None
        self._watching: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()
        self._ended = asyncio.Event()
        self._began = 0.0
        self._pause = self._settings.pause_first
        self._not_before = 0.0
        self._problem = TransportFailed("It has not been started.")
        self._closed = False

    async def ready(self) -> Method:
        """Where it listens; it is started if it does not run. Raises TransportFailed."""
        async with self._starting:
            if self._closed:
                raise TransportFailed("It has been stopped.")
            if self._method is not None:
                return self._method
            if asyncio.get_running_loop().time() < self._not_before:
                raise self._problem
            try:
                self._method = await self._start()
            except TransportFailed as error:
                self._rest(error)
                raise
            return self._method

    async def ended(self) -> None:
        """Return when it does not run (any more)."""
        if self._method is not None:
            await self._ended.wait()

    @property
    def pause(self) -> float:
        """Seconds until it may be started again."""
        return max(0.0, self._not_before - asyncio.get_running_loop().time())

    async def close(self) -> None:
        """End it for good."""
        self._closed = True
        await self._stop()

    async def _start(self) -> Method:
        self._ended.clear()
        try:
            self._state.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._process = process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                cwd=self._state,
                env=self._environment(),
                limit=MOST_LINE,
                start_new_session=True,  # Ctrl-C is for us; we end it in order
            )
        except OSError as error:
            raise TransportFailed("It cannot be started.") from error
        self._began = asyncio.get_running_loop().time()
        assert process.stdout is not None
        try:
            async with asyncio.timeout(self._settings.start_wait):
                method = await self._talk(process.stdout)
        except TimeoutError as error:
            await self._stop()
            raise TransportFailed("It was started and does not get ready.") from error
        except BaseException:
            await self._stop()
            raise
        self._watching = asyncio.create_task(self._watch(process))
        return method

    async def _talk(self, output: asyncio.StreamReader) -> Method:
        dialogue = self._dialogue()
        while True:
            try:
                line = await output.readline()
            except ValueError as error:
                raise TransportFailed("It talks without coming to the point.") from error
            if not line:
                raise TransportFailed("It ended at once.")
            method = dialogue.said(line.decode("utf-8", "replace").rstrip("\r\n"))
            if method is not None:
                return method

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        """Empty its output, which would stop it when full, until it ends."""
        assert process.stdout is not None
        while await process.stdout.read(MOST_LINE):
            pass
        if process is self._process:
            await self._kill(process)
            self._process, self._method = None, None
            self._rest(TransportFailed("It ended, and will be started again."))
            self._ended.set()

    def _rest(self, problem: TransportFailed) -> None:
        now = asyncio.get_running_loop().time()
        if self._began and now - self._began >= self._settings.stable_after:
            self._pause = self._settings.pause_first
            self._not_before = now
        else:
            self._not_before = now + self._pause
            self._pause = min(2 * self._pause, self._settings.pause_most)
        self._problem = problem

    async def _stop(self) -> None:
        process, self._process, self._method = self._process, None, None
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
            self._watching = None
        if process is not None:
            await self._kill(process)
        self._ended.set()

    async def _kill(self, process: asyncio.subprocess.Process) -> None:
        """End it and what it started, and wait for that."""
        assert process.stdin is not None
        process.stdin.close()
        gone = False
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._settings.stop_wait):
                    await _gone(process)
                    gone = True
        finally:
            if not gone:
                # With all of its session (it leads one): they would keep its output open.
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)
        with suppress(TimeoutError):
            async with asyncio.timeout(self._settings.stop_wait):
                await _gone(process)

    def _environment(self) -> dict[str, str]:
        # Programs of the system find their libraries by PATH and their place by HOME; nothing else
        # of ours is their business, least of all proxies.
        common = {
            "PATH": os.defpath,
            "HOME": str(self._state.absolute()),
            "TOR_PT_MANAGED_TRANSPORT_VER": "1",
            "TOR_PT_STATE_LOCATION": str(self._state.absolute()),
            "TOR_PT_EXIT_ON_STDIN_CLOSE": "1",
        }
        return {**common, **self._told}


async def _gone(process: asyncio.subprocess.Process) -> None:
    """Return when a process has ended and its output as well."""
    assert process.stdout is not None
    while await process.stdout.read(MOST_LINE):
        pass
    await process.wait()
