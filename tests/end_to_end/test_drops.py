"""Conversations without any network, through one folder that both people can reach."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from tests.end_to_end.nodes import Person
from tests.end_to_end.nodes import meet as meet_by_link
from tests.end_to_end.processes import RelayProcess

from volok.chat.views import ContactState, FileKind, FileState, Outgoing

PICTURE = random.Random(5).randbytes(300_000)


@pytest.fixture
async def pair(tmp_path: Path):
    """Two people without relays who use the same folder; one has the other's invite file."""
    shared = tmp_path / "shared"
    shared.mkdir()
    people = [await Person.with_relays(tmp_path, name) for name in ("Ana", "Bo")]
    for person in people:
        await person.node.drops.add_folder(shared)
    yield (*people, shared)
    for person in people:
        await person.leave()


async def meet(ana: Person, bo: Person) -> None:
    """By an invite file; the answers go through the folder."""
    invite = await ana.chat.invite()
    contact = await bo.chat.accept_file(await ana.chat.invite_file(invite.id))

    async def active() -> bool:
        return (await bo.chat.contact(contact.id)).state is ContactState.ACTIVE

    await bo.until(active)


async def test_a_whole_conversation_through_one_folder(pair) -> None:
    ana, bo, shared = pair
    await meet(ana, bo)
    await ana.say("Bo", "Is the bridge open?")
    await bo.until_there("Ana", "Is the bridge open?")
    await ana.until_states("Bo", "delivered")
    await bo.chat.seen(await bo.to("Ana"))
    await ana.until_states("Bo", "read")
    picture = Outgoing("map.jpg", "image/jpeg", PICTURE, FileKind.FILE)
    await bo.chat.send(await bo.to("Ana"), "No. Take the portage:", [picture])
    await ana.until_there("Bo", "Is the bridge open?", "No. Take the portage:")

    async def whole() -> bool:
        (file,) = (await ana.talk("Bo"))[-1].files
        return file.state is FileState.READY

    await ana.until(whole)
    await bo.until_states("Ana", "delivered")
    for path in shared.iterdir():
        assert path.suffix == ".dat"
        assert b"volok" not in path.read_bytes()


async def test_the_folder_carries_what_relays_do_not(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    relay = await RelayProcess.on(tmp_path / "relay")
    ana, bo = [await Person.with_relays(tmp_path, name, relay.url) for name in ("Ana", "Bo")]
    try:
        await meet_by_link(ana, bo)
        for person in (ana, bo):
            await person.node.drops.add_folder(shared)
        await ana.say("Bo", "by relay")
        await bo.until_there("Ana", "by relay")
        await ana.until_states("Bo", "delivered")
        await relay.kill()
        await ana.say("Bo", "by folder")
        await bo.until_there("Ana", "by relay", "by folder")
        await ana.until_states("Bo", "delivered")
        assert list(shared.iterdir())
        await relay.start()
        await bo.say("Ana", "by either")
        await ana.until_there("Bo", "by relay", "by folder", "by either")
        assert await bo.texts("Ana") == ["by relay", "by folder", "by either"]
    finally:
        for person in (ana, bo):
            await person.leave()
        await relay.stop()


async def test_a_hundred_messages_each_way(pair) -> None:
    ana, bo, shared = pair
    await meet(ana, bo)
    sent = {who: [f"{who} {number}" for number in range(100)] for who in ("Ana", "Bo")}
    for mine, theirs in zip(sent["Ana"], sent["Bo"], strict=True):
        await ana.say("Bo", mine)
        await bo.say("Ana", theirs)
    await ana.until_states("Bo", "delivered")
    await bo.until_states("Ana", "delivered")
    for person, other in ((ana, "Bo"), (bo, "Ana")):
        texts = await person.texts(other)
        assert sorted(texts) == sorted(sent["Ana"] + sent["Bo"])
        for who, own in sent.items():
            assert [text for text in texts if text.startswith(who)] == own
    assert len(list(shared.iterdir())) <= 20
