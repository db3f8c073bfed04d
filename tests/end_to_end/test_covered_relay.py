"""Two people talk over a relay that hides behind a website and is known by its key alone."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

from tests.end_to_end.nodes import Person, meet
from tests.end_to_end.test_foreign_relays import picture
from tests.relay.covered import covered

from volok.app.pictures import attachment
from volok.chat.views import FileState


async def test_a_conversation_with_a_picture(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        relay = await stack.enter_async_context(covered(tmp_path / "relay"))
        ana, bo = [await Person.with_relays(tmp_path, name, relay.link) for name in ("Ana", "Bo")]
        for person in (ana, bo):
            stack.push_async_callback(person.leave)
        invite = await ana.chat.invite()
        assert len(invite.link) <= 200
        assert relay.link.removeprefix("wss://") in invite.link
        await meet(ana, bo)
        await ana.say("Bo", "Привет")
        await bo.until_there("Ana", "Привет")
        await bo.say("Ana", "Hello")
        await ana.until_there("Bo", "Привет", "Hello")

        data = picture(300_000)
        files = [attachment("river.png", "image/png", data)]
        await ana.chat.send(await ana.to("Bo"), "the river", files=files)

        async def ready() -> bool:
            found = [file for message in await bo.talk("Ana") for file in message.files]
            return [file.state for file in found] == [FileState.READY]

        await bo.until(ready)
        (view,) = [file for message in await bo.talk("Ana") for file in message.files]
        _, pieces = await bo.chat.file(view.id)
        assert b"".join([piece async for piece in pieces]) == data
        # It came as a blob, below the secret path.
        assert any(path.is_file() for path in (tmp_path / "relay" / "blobs").rglob("*"))
