"""Vaults that earlier versions wrote load for ever.

A new version's fixture is made by `python -m tests.chat.test_old_states FOLDER` and added beside
those that are there.
"""

import asyncio
import shutil
import sys
import tempfile
from pathlib import Path

import pytest
from tests.chat.world import Person, World

from volok.chat.schema import SCHEMA
from volok.chat.views import MessageState

SPARE = "wss://spare.example"
STATES = sorted((Path(__file__).parent.parent / "old_states").glob("conversation_v*"))


async def _write(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        world = World(Path(scratch))
        ana, bo = await world.person("Ana"), await world.person("Bo")
        await world.meet(ana, bo)
        await ana.chat.hints.share(SPARE)
        first = await ana.chat.send(await ana.to("Bo"), "first")
        await world.run()
        await bo.chat.send(await bo.to("Ana"), "answer", reply_to=first.id)
        await bo.chat.react(first.id, "👍")
        await world.run()
        await ana.chat.send(await ana.to("Bo"), "still waiting")
        for person in (ana, bo):
            home = folder / person.name
            home.mkdir(parents=True)
            await person.vault.snapshot(home / "vault.db")
        await world.close()


def test_the_present_version_has_a_fixture() -> None:
    assert f"conversation_v{len(SCHEMA)}" in {state.name for state in STATES}


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.name)
async def test_it_loads_and_the_conversation_goes_on(world: World, state: Path) -> None:
    people: list[Person] = []
    for name in ("Ana", "Bo"):
        home = world.folder / name
        shutil.copytree(state / name, home)
        people.append(await world.person(name, home=home))
    ana, bo = people
    assert await ana.texts("Bo") == ["first", "answer", "still waiting"]
    first = (await ana.talk("Bo"))[0]
    assert first.state is MessageState.DELIVERED
    assert [r.emoji for r in first.reactions] == ["👍"]
    assert [m.id for m in await ana.chat.search("answ")] == [(await ana.talk("Bo"))[1].id]
    await world.run()
    assert (await bo.texts("Ana"))[-1] == "still waiting"
    assert (await ana.talk("Bo"))[-1].state is MessageState.DELIVERED
    if state.name != "conversation_v1":
        assert [hint.place for hint in await bo.chat.hints.heard()] == [SPARE]


if __name__ == "__main__":
    asyncio.run(_write(Path(sys.argv[1])))
