"""A write policy plug-in: a program that says of each event whether the relay takes it.

1. It is spoken to as strfry does (docs/plugins.md there): one JSON object per line to its standard
   input, `{"type": "new", "event": …, "receivedAt": …, "sourceType": "IP4", "sourceInfo": ""}`,
   with `authed` when the connection has proved a key; one per line back, `{"id": …, "action": …,
   "msg": …}`, where the action is accept, reject or shadowReject.
2. `sourceInfo` is always empty: the relay hands nobody's address on. What the program writes to its
   standard error is dropped, since nobody knows what it holds.
3. A program that is late, ends or answers something else is stopped with all its children and
   started again, after a pause that grows. Until it answers, events are refused with `error:`.
4. A command without spaces is a file; when it changes, the program is started anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import orjson

from volok.model.event import Event
from volok.relay.access import Refusal
from volok.relay.metrics import Metrics
from volok.sync.messages import Prefix, prefix_of

_MAX_LINE = 64 * 1024
"""The longest answer, in bytes."""
_MAX_REASON = 512
_PAUSE_FIRST, _PAUSE_MOST = 1.0, 60.0
_UNAVAILABLE = Refusal(Prefix.ERROR, "the policy of this relay does not answer, try again later")


class Shadow(Enum):
    """A ruling that is not shown."""

    REJECTED = "rejected"
    """The client is told that the event was taken, and it is not."""


Ruling = Refusal | Shadow | None
"""None: the event is taken."""


class InvalidRuling(ValueError):
    """This line is no answer of a plug-in."""


@dataclass(frozen=True, slots=True)
class Submission:
    """An event whose id and signature are right."""

    event: Event
    authed: str = ""
    """A key that its connection has proved to hold, hexadecimal; empty for none."""


def question(submission: Submission, now: int) -> bytes:
    """The line for one event. `now` is in Unix seconds."""
    authed = b',"authed":"%b"' % submission.authed.encode() if submission.authed else b""
    return b'{"type":"new","event":%b,"receivedAt":%d,"sourceType":"IP4","sourceInfo":""%b}\n' % (
        submission.event.to_json(),
        now,
        authed,
    )


def parse_ruling(line: bytes) -> tuple[str, Ruling]:
    """The id and what is to become of the event. Raises InvalidRuling."""
    try:
        answer = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise InvalidRuling("The answer is not JSON.") from error
    if not isinstance(answer, dict) or not isinstance(answer.get("id"), str):
        raise InvalidRuling("The answer names no event.")
    match answer.get("action"):
        case "accept":
            return answer["id"], None
        case "shadowReject":
            return answer["id"], Shadow.REJECTED
        case "reject":
            return answer["id"], _refusal(answer.get("msg"))
    raise InvalidRuling("The answer is none of accept, reject and shadowReject.")


def _refusal(message: object) -> Refusal:
    text = message[:_MAX_REASON] if isinstance(message, str) else ""
    word = prefix_of(text)
    if not word:
        return Refusal(Prefix.BLOCKED, text or "the policy of this relay refuses it")
    return Refusal(Prefix(word), text[len(word) + 1 :].strip())


class Plugin:
    """One plug-in. Use from one event loop."""

    def __init__(
        self,
        command: str,
        seconds: float,
        now: Callable[[], int],
        metrics: Metrics,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """`command` is for the shell; `seconds` is how long an answer may take; `now` gives Unix
        seconds. `environment` is the program's; None: PATH, HOME and LANG of ours."""
        self._command = command
        self._seconds = seconds
        self._now = now
        self._metrics = metrics
        self._environment = _environment() if environment is None else environment
        self._turn = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._mark = 0
        self._pause = _PAUSE_FIRST
        self._not_before = 0.0

    async def judge(self, submissions: Sequence[Submission]) -> list[Ruling]:
        """What is to become of these events, in order. Never raises."""
        async with self._turn:
            try:
                return await self._ask(submissions)
            except (OSError, InvalidRuling, TimeoutError, ValueError):
                self._metrics.plugin_failures += 1
                await self._stop()
                self._not_before = asyncio.get_running_loop().time() + self._pause
                self._pause = min(self._pause * 2, _PAUSE_MOST)
                return [_UNAVAILABLE] * len(submissions)

    async def close(self) -> None:
        """Stop the program."""
        async with self._turn:
            await self._stop()

    async def _ask(self, submissions: Sequence[Submission]) -> list[Ruling]:
        process = await self._running()
        if process is None or process.stdin is None or process.stdout is None:
            return [_UNAVAILABLE] * len(submissions)
        now = self._now()
        process.stdin.writelines(question(one, now) for one in submissions)
        waiting: dict[str, list[int]] = {}
        for place, one in enumerate(submissions):
            waiting.setdefault(one.event.id, []).append(place)
        rulings: list[Ruling] = [_UNAVAILABLE] * len(submissions)
        for _ in submissions:
            # Each answer has its own time: a long batch is not a late one.
            async with asyncio.timeout(self._seconds):
                line = await process.stdout.readline()
            if not line:
                raise InvalidRuling("The program has ended.")
            name, ruling = parse_ruling(line)
            if not waiting.get(name):
                raise InvalidRuling("The answer is for another event.")
            rulings[waiting[name].pop(0)] = ruling
        self._pause = _PAUSE_FIRST
        return rulings

    async def _running(self) -> asyncio.subprocess.Process | None:
        """The program; None while it is too early to start it again. Raises OSError."""
        mark = await asyncio.to_thread(_changed, self._command)
        process = self._process
        if process is not None and process.returncode is None and mark == self._mark:
            return process
        await self._stop()
        if asyncio.get_running_loop().time() < self._not_before:
            return None
        self._mark = mark
        self._process = await asyncio.create_subprocess_shell(
            self._command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=dict(self._environment),
            start_new_session=True,
            limit=_MAX_LINE,
        )
        return self._process

    async def _stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


def _changed(command: str) -> int:
    """When the file of a command without spaces was changed; 0 for any other."""
    if " " in command:
        return 0
    try:
        return Path(command).stat().st_mtime_ns
    except OSError:
        return 0


def _environment() -> dict[str, str]:
    # What systemd and the operator pass to the relay, credentials too, is not the plug-in's.
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
