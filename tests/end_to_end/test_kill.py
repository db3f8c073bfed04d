"""Nothing lost, nothing twice: whoever is killed, whenever."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest
from tests.end_to_end.processes import NodeProcess, RelayProcess

from volok.app.errors import AppError, NodeLost

SEED = 20_261


@pytest.mark.parametrize(
    ("count", "kills"),
    [
        (120, 6),
        pytest.param(1000, 24, marks=[pytest.mark.full, pytest.mark.timeout(900)]),
    ],
)
async def test_everything_arrives_once_and_in_order(tmp_path: Path, count: int, kills: int) -> None:
    chance = random.Random(SEED)
    relay = await RelayProcess.on(tmp_path / "relay")
    ana = await NodeProcess.of(tmp_path, "Ana", relay.url)
    bo = await NodeProcess.of(tmp_path, "Bo", relay.url)
    try:
        async with ana.remote() as at_ana, bo.remote() as at_bo:
            invite = await at_ana.invite(7, False, None)
            await at_bo.accept(invite["link"])
        share = count // kills
        for round_number in range(kills):
            done = count if round_number == kills - 1 else (round_number + 1) * share
            async with asyncio.TaskGroup() as group:
                group.create_task(_write(ana, "Bo", done))
                group.create_task(_write(bo, "Ana", done))
                victim = chance.choice([relay, ana, bo])
                await asyncio.sleep(chance.uniform(0, 0.3))  # the random moment of this test
                await victim.kill()
                await victim.start()
        async with asyncio.timeout(120):
            at_bo_texts = await _texts(bo, "Ana", f"Ana {count - 1}")
            at_ana_texts = await _texts(ana, "Bo", f"Bo {count - 1}")
        assert [t for t in at_bo_texts if t.startswith("Ana ")] == _all("Ana", count)
        assert [t for t in at_ana_texts if t.startswith("Bo ")] == _all("Bo", count)
        assert sum(p.kills for p in (relay, ana, bo)) >= kills
    finally:
        for process in (ana, bo, relay):
            await process.stop()


def _all(name: str, count: int) -> list[str]:
    return [f"{name} {n}" for n in range(count)]


async def _write(node: NodeProcess, to: str, done: int) -> None:
    """Write on until `done` messages are there; what was cut off is looked up, not guessed."""
    while True:
        try:
            async with node.remote() as remote:
                texts = [m["text"] async for m in remote.read(to, None, False, None)]
                written = [t for t in texts if t.startswith(node.name + " ")]
                for n in range(len(written), done):
                    await remote.send(to, f"{node.name} {n}", [])
                return
        except (NodeLost, AppError, AssertionError):
            await asyncio.sleep(0.05)  # its process is being started again


async def _texts(node: NodeProcess, who: str, last: str) -> list[str]:
    """Follow a conversation until a text comes; returns all texts in their order."""
    while True:
        try:
            async with node.remote() as remote:
                async for line in remote.read(who, None, True, None):
                    if line["text"] == last:
                        break
                return [m["text"] async for m in remote.read(who, None, False, None)]
        except AppError:
            await asyncio.sleep(0.05)  # the contact is not there yet
