"""The scripted exchange of `volok demo --once`: what two people do, and what came of it.

Nothing may be lost and nothing may come twice, whatever is stopped or killed meanwhile.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from volok.app.demo import Person, Stage
from volok.app.errors import STATED, AppError, sentence
from volok.app.shapes import Json

PATIENCE = 60.0
"""Seconds that one step may take."""

ARRIVED = ("delivered", "read")


class NotAsExpected(AppError):
    """Something else happened than should have."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step and what came of it."""

    title: str
    ok: bool
    seconds: float
    seen: str
    """What was seen, in one sentence."""


@dataclass(frozen=True, slots=True)
class _Scene:
    stage: Stage
    folder: Path
    said: dict[str, list[str]]
    """What each of the two has said, in order."""

    async def say(self, who: Person, to: Person, text: str) -> None:
        self.said[who.name].append(text)
        await who.node.send(to.name, text, [])


async def exchange(folder: Path) -> AsyncGenerator[Step, None]:
    """Run the whole exchange in an empty folder; the last step sums up. Never raises for what a
    step did: a failed one says so, and the rest goes on as far as it can."""
    stage = Stage(folder)
    scene = _Scene(stage, folder, {"Alice": [], "Bob": []})
    try:
        for title, act in _ACTS:
            step = await _attempt(title, act, scene)
            yield step
            if act is _begin and not step.ok:
                return
    finally:
        await stage.stop()


async def _attempt(title: str, act: Callable[[_Scene], Awaitable[str]], scene: _Scene) -> Step:
    began = time.monotonic()
    try:
        seen, ok = await asyncio.wait_for(act(scene), PATIENCE), True
    except TimeoutError:
        seen, ok = f"Nothing came within {PATIENCE:.0f} seconds.", False
    except STATED as error:
        seen, ok = sentence(error), False
    return Step(title, ok, time.monotonic() - began, seen)


async def _begin(scene: _Scene) -> str:
    await scene.stage.start()
    return f"A relay and two nodes are up; Bob accepted Alice's invite at {scene.stage.relay_url}."


async def _text(scene: _Scene) -> str:
    alice, bob = scene.stage.people
    await scene.say(alice, bob, "Hello Bob, does the river reach you?")
    came = await bob.sees("Alice", scene.said["Alice"][-1])
    await scene.say(bob, alice, "It does. Hello Alice!")
    answer = await alice.sees("Bob", scene.said["Bob"][-1])
    return f"Bob read “{came['text']}”, Alice read “{answer['text']}”."


async def _picture(scene: _Scene) -> str:
    alice, bob = scene.stage.people
    path = scene.folder / "river.png"
    await asyncio.to_thread(Image.effect_noise((320, 240), 60).save, path)
    scene.said["Alice"].append("The river today")
    await alice.node.send("Bob", "The river today", [str(path)])
    saved = scene.folder / "seen"
    while True:
        messages = [m async for m in bob.node.read("Alice", 1, False, str(saved))]
        files = messages[-1]["files"] if messages else []
        if files and "path" in files[0]:
            break
        await asyncio.sleep(0.1)
    given = await asyncio.to_thread(path.read_bytes)
    came = await asyncio.to_thread(Path(files[0]["path"]).read_bytes)
    if given != came:
        raise NotAsExpected("The picture arrived altered.")
    return f"Bob has {files[0]['name']}, {len(came)} bytes, the same to the last one."


async def _restart(scene: _Scene) -> str:
    alice, bob = scene.stage.people
    await bob.stop()
    for number in range(1, 6):
        await scene.say(alice, bob, f"While you are away, {number}")
    await bob.start()
    await bob.sees("Alice", scene.said["Alice"][-1])
    return "Bob's node was stopped; five messages waited and came when it was up again."


async def _outage(scene: _Scene) -> str:
    alice, bob = scene.stage.people
    await scene.stage.kill_relay()
    await scene.say(alice, bob, "The relay is gone; this waits.")
    await scene.say(bob, alice, "Mine waits, too.")
    waiting = [(await person.node.status())["waiting"] for person in (alice, bob)]
    if 0 in waiting:
        raise NotAsExpected("A message claims to have arrived without a relay.")
    await scene.stage.revive_relay()
    await asyncio.gather(
        bob.sees("Alice", scene.said["Alice"][-1]), alice.sees("Bob", scene.said["Bob"][-1])
    )
    return "The relay was killed while both wrote; it came back, and so did both messages."


async def _reckoning(scene: _Scene) -> str:
    alice, bob = scene.stage.people
    while True:
        hers, his = await alice.conversation("Bob"), await bob.conversation("Alice")
        own = [m for m in (*hers, *his) if m["from"] == "me"]
        if all(message["state"] in ARRIVED for message in own):
            break
        await asyncio.sleep(0.1)
    for view, owner, other in ((hers, alice, bob), (his, bob, alice)):
        if (
            _texts(view, "me") != scene.said[owner.name]
            or _texts(view, other.name) != scene.said[other.name]
        ):
            raise NotAsExpected("A message is missing, came twice, or stands in the wrong place.")
    total = sum(map(len, scene.said.values()))
    return f"All {total} messages arrived once, in order, each with its receipt."


def _texts(conversation: list[Json], sender: str) -> list[str]:
    return [message["text"] for message in conversation if message["from"] == sender]


_ACTS: tuple[tuple[str, Callable[[_Scene], Awaitable[str]]], ...] = (
    ("Set up", _begin),
    ("Text", _text),
    ("Picture", _picture),
    ("One side restarts", _restart),
    ("The relay is killed and comes back", _outage),
    ("Nothing lost, nothing twice", _reckoning),
)


def demo_folder() -> tempfile.TemporaryDirectory[str]:
    """A folder for a demonstration; it vanishes afterwards."""
    return tempfile.TemporaryDirectory(prefix="volok-demo-", ignore_cleanup_errors=True)
