"""Backups, epochs and clones: what a restored node and its contacts do."""

import shutil
from pathlib import Path

from tests.chat.world import Person, World

from volok.chat.settings import ChatSettings


async def backup(person: Person, folder: Path) -> Path:
    """Copy a person's home as a backup would."""
    folder.mkdir()
    await person.vault.snapshot(folder / "vault.db")
    shutil.copytree(person.home / "blobs", folder / "blobs")
    return folder


async def restore(world: World, lost: Person, folder: Path) -> Person:
    """The lost node is gone; its backup takes its place."""
    world.people.remove(lost)
    await lost.close()
    person = await world.person(lost.name, home=folder)
    await person.chat.restored()
    return person


async def test_restored_in_mid_conversation(world: World, tmp_path: Path) -> None:
    ana, bo = await world.person("Ana"), await world.person("Bo")
    await world.meet(ana, bo)
    for n in range(5):
        await ana.chat.send(await ana.to("Bo"), f"a{n}")
        await bo.chat.send(await bo.to("Ana"), f"b{n}")
    await world.run()
    folder = await backup(ana, tmp_path / "backup")
    for n in range(5, 10):
        await ana.chat.send(await ana.to("Bo"), f"a{n}")
        await bo.chat.send(await bo.to("Ana"), f"b{n}")
    await world.run()
    for n in range(10, 15):
        await bo.chat.send(await bo.to("Ana"), f"b{n}")
    await bo.chat.settle()
    world.publish(await world.collect(bo))
    ana = await restore(world, ana, folder)
    await ana.chat.send(await ana.to("Bo"), "back again")
    await world.run()
    await bo.chat.send(await bo.to("Ana"), "welcome back")
    await world.run()
    at_bo = await bo.texts("Ana")
    assert [t for t in at_bo if t.startswith("a")] == [f"a{n}" for n in range(10)]
    assert "back again" in at_bo
    at_ana = await ana.texts("Bo")
    theirs = [t for t in at_ana if t.startswith("b") and t != "back again"]
    # What was delivered to the lost node after the backup is gone with it; nothing else is.
    assert theirs == [f"b{n}" for n in (*range(5), *range(10, 15))]
    assert at_ana[-1] == "welcome back"
    assert len(at_bo) == len(set(at_bo))
    assert await ana.chat.waiting() == await bo.chat.waiting() == 0


async def test_both_restored_at_once(world: World, tmp_path: Path) -> None:
    ana, bo = await world.person("Ana"), await world.person("Bo")
    await world.meet(ana, bo)
    folders = [await backup(p, tmp_path / p.name) for p in (ana, bo)]
    await ana.chat.send(await ana.to("Bo"), "lost on the way")
    ana = await restore(world, ana, folders[0])
    bo = await restore(world, bo, folders[1])
    for n in range(20):
        await ana.chat.send(await ana.to("Bo"), f"a{n}")
        await bo.chat.send(await bo.to("Ana"), f"b{n}")
    await world.run()
    at_bo = [t for t in await bo.texts("Ana") if t.startswith("a")]
    at_ana = [t for t in await ana.texts("Bo") if t.startswith("b")]
    assert at_bo == [f"a{n}" for n in range(20)]
    assert at_ana == [f"b{n}" for n in range(20)]


async def test_a_clone_is_reported(world: World, tmp_path: Path) -> None:
    ana, bo = await world.person("Ana"), await world.person("Bo")
    await world.meet(ana, bo)
    folder = await backup(ana, tmp_path / "backup")
    clone = await world.person("Ana", home=folder)
    await clone.chat.restored()
    await clone.chat.send(await clone.to("Bo"), "from the clone")
    world.people.remove(ana)
    await world.run()
    world.people.append(ana)
    await ana.chat.send(await ana.to("Bo"), "from the first")
    await ana.chat.settle()
    world.publish(await world.collect(ana))
    await world.give(bo, list(world.events.values()))
    await bo.chat.settle()
    contact = await bo.chat.find("Ana")
    shown = await bo.chat.messages(contact.id)
    assert [m.notice for m in shown].count("cloned-backup") == 1
    assert {m.text for m in shown} >= {"from the clone", "from the first"}


async def test_what_relays_still_hold_comes_back(world: World, tmp_path: Path) -> None:
    slow = ChatSettings(receipt_delay=0, receipt_jitter=0)
    ana, bo = await world.person("Ana", slow), await world.person("Bo", slow)
    await world.meet(ana, bo)
    folder = await backup(ana, tmp_path / "backup")
    for n in range(5):
        await bo.chat.send(await bo.to("Ana"), f"b{n}")
    await world.run()
    ana = await restore(world, ana, folder)
    await world.run()
    assert await ana.texts("Bo") == [f"b{n}" for n in range(5)]


async def test_an_old_backup_still_finds_its_contacts(world: World, tmp_path: Path) -> None:
    ana, bo = await world.person("Ana"), await world.person("Bo")
    await world.meet(ana, bo)
    folder = await backup(ana, tmp_path / "backup")
    for week in range(12):
        world.clock.time += 8 * 86_400
        await bo.chat.set_name(f"Bo {week}")
        await ana.chat.send((await ana.chat.contacts())[0].id, f"week {week}")
        await world.run()
    await bo.chat.set_name("Bo")
    await world.run()
    ana = await restore(world, ana, folder)
    await ana.chat.send(await ana.to("Bo"), "after twelve weeks")
    await world.run()
    await bo.chat.send(await bo.to("Ana"), "still here")
    await world.run()
    assert (await bo.texts("Ana"))[-2:] == ["after twelve weeks", "still here"]
    assert (await ana.texts("Bo"))[-1] == "still here"
