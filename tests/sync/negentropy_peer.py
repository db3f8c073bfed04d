"""A reconciliation in which other libraries take one side, or both; see negentropy_peer.mjs."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from volok.sync.negentropy import Initiator, Responder, Step
from volok.sync.negentropy_records import Records, assemble, finish

SCRIPT = Path(__file__).with_name("negentropy_peer.mjs")


class Side(Protocol):
    """One side, and the seconds that its library has worked."""

    seconds: float

    def start(self) -> bytes: ...

    def take(self, frame: bytes) -> Step: ...

    def close(self) -> None: ...


class Ours:
    """Our own implementation; `packed` are records in order."""

    def __init__(self, packed: bytes, limit: int, *, initiates: bool) -> None:
        begun = time.perf_counter()
        records: Records = finish(assemble([packed]))
        self._initiator = Initiator(records, limit) if initiates else None
        self._responder = Responder(records, limit)
        self.seconds = time.perf_counter() - begun

    def start(self) -> bytes:
        assert self._initiator is not None
        begun = time.perf_counter()
        frame = self._initiator.start()
        self.seconds += time.perf_counter() - begun
        return frame

    def take(self, frame: bytes) -> Step:
        begun = time.perf_counter()
        if self._initiator is not None:
            step = self._initiator.take(frame)
        else:
            step = Step(self._responder.answer(frame))
        self.seconds += time.perf_counter() - begun
        return step

    def close(self) -> None:
        """Nothing is held."""


class Other:
    """A JavaScript library, in a process of its own."""

    def __init__(self, library: Path, packed: bytes, limit: int) -> None:
        node = shutil.which("node")
        assert node, "Node.js is missing; tools/setup.sh test installs it"
        self._process = subprocess.Popen(
            [node, "--max-old-space-size=4096", str(SCRIPT), str(library)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.seconds = 0.0
        with tempfile.NamedTemporaryFile() as file:
            file.write(packed)
            file.flush()
            self._ask(records=file.name, limit=limit)

    def start(self) -> bytes:
        return bytes.fromhex(self._ask(start=True)["frame"])

    def take(self, frame: bytes) -> Step:
        told = self._ask(frame=frame.hex())
        reply = None if told["frame"] is None else bytes.fromhex(told["frame"])
        have, need = (tuple(map(bytes.fromhex, told[name])) for name in ("have", "need"))
        return Step(reply, have, need)

    def close(self) -> None:
        self._process.terminate()
        self._process.communicate()

    def _ask(self, **asked: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        told: dict[str, Any] = json.loads(self._process.stdout.readline())
        self.seconds = told["seconds"]
        return told


@dataclass(frozen=True)
class Course:
    """How a reconciliation went."""

    up: list[bytes]
    """Frames of the initiator."""
    down: list[bytes]
    have: frozenset[bytes]
    need: frozenset[bytes]


def course(initiator: Side, responder: Side) -> Course:
    """Let two sides reconcile; closes both."""
    up, down = list[bytes](), list[bytes]()
    have, need = set[bytes](), set[bytes]()
    try:
        frame: bytes | None = initiator.start()
        while frame is not None:
            assert len(up) < 1_000
            up.append(frame)
            answer = responder.take(frame).reply
            assert answer is not None
            down.append(answer)
            step = initiator.take(answer)
            have.update(step.have)
            need.update(step.need)
            frame = step.reply
    finally:
        initiator.close()
        responder.close()
    return Course(up, down, frozenset(have), frozenset(need))
