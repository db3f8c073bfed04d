"""Two people talk over a relay that they reach by a pluggable transport alone: real obfs4proxy on
both sides."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from tests.app.conftest import Process
from tests.end_to_end.nodes import Person
from tests.end_to_end.test_foreign_relays import picture

from volok.app.pictures import attachment
from volok.chat.views import FileState

pytestmark = pytest.mark.skipif(shutil.which("obfs4proxy") is None, reason="no obfs4proxy here")


@pytest.fixture
def links(tmp_path: Path) -> Iterator[list[str]]:
    """The address of a relay with a transport, and the same where nothing else answers."""
    data = str(tmp_path / "relay")
    process = Process(
        ("relay", "--port", "0", "--data", data, "--tls", "--transport", "obfs4", "--json")
    ).start()
    whole = process.first["url"]
    port = process.first["port"]
    yield [whole, whole.replace(f":{port}/", ":1/", 1)]
    assert process.stop() == 0


async def test_a_conversation_with_a_picture(tmp_path: Path, links: list[str]) -> None:
    whole, hidden = links
    assert "&pt=obfs4;:" in whole
    async with AsyncExitStack() as stack:
        ana, bo = [await Person.with_relays(tmp_path, name, hidden) for name in ("Ana", "Bo")]
        for person in (ana, bo):
            stack.push_async_callback(person.leave)
        trials = {one.name: one for one in await ana.node.paths.test([hidden])}
        assert trials["direct"].seconds is None
        assert trials["obfs4"].seconds is not None, trials["obfs4"].problem

        # Bo has the whole address: the link of an invite has no room for transports.
        invite = await ana.chat.invite()
        assert len(invite.link) <= 200
        await ana.node.sync_round(10)
        data = await ana.chat.invite_file(invite.id)
        contact = await bo.chat.accept_file(data)

        async def active() -> bool:
            return (await bo.chat.contact(contact.id)).state.value == "active"

        await bo.until(active)
        await ana.say("Bo", "Привет")
        await bo.until_there("Ana", "Привет")
        await bo.say("Ana", "Hello")
        await ana.until_there("Bo", "Привет", "Hello")
        assert list(ana.node.paths.many.in_use.values()) == [("obfs4",)]

        files = [attachment("river.png", "image/png", picture(300_000))]
        await ana.chat.send(await ana.to("Bo"), "the river", files=files)

        async def ready() -> bool:
            found = [file for message in await bo.talk("Ana") for file in message.files]
            return [file.state for file in found] == [FileState.READY]

        await bo.until(ready)
