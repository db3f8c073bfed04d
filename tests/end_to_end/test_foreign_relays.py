"""The whole conversation over relays that we did not write, at their stock settings."""

from __future__ import annotations

import asyncio
import io
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests.end_to_end.nodes import Person, meet
from tests.foreign_relays import local_relay, nostr_relay_process

from volok.app.pictures import attachment
from volok.chat.views import FileState

LONG = "Длинное письмо. " * 312 + "Конец."  # 4,998 characters


@pytest.fixture(params=["nostr-relay", "LocalRelay", "LocalRelay-NIP-42"])
async def relay(request: Any, tmp_path: Path) -> AsyncIterator[str]:
    """The URL of a relay that others wrote."""
    if request.param == "nostr-relay":
        with nostr_relay_process(tmp_path) as url:
            yield url
    else:
        async with local_relay(nip42=request.param.endswith("NIP-42")) as url:
            yield url


def picture(size: int) -> bytes:
    """A picture of noise with about so many bytes."""
    noise = random.Random(size).randbytes(size)
    out = io.BytesIO()
    Image.frombytes("L", (256, size // 256), noise[: size // 256 * 256]).save(out, "PNG")
    return out.getvalue()


async def test_the_whole_conversation(relay: str, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        ana, bo, cy = [
            await Person.with_relays(tmp_path, name, relay) for name in ("Ana", "Bo", "Cy")
        ]
        for person in (ana, bo, cy):
            stack.push_async_callback(person.leave)
        await meet(ana, bo)
        await meet(cy, ana)

        await _texts(ana, bo, cy)
        await _about_messages(ana, bo)
        await _a_picture(ana, bo)
        await _away(ana, bo, cy)
        await _receipts(ana, bo, cy)


async def _texts(ana: Person, bo: Person, cy: Person) -> None:
    """Short and long, both ways, with two contacts of one person."""
    await ana.say("Bo", "hello")
    await bo.until_there("Ana", "hello")
    await bo.say("Ana", LONG)
    await ana.until_there("Bo", "hello", LONG)
    await cy.say("Ana", "it is me")
    await ana.until_there("Cy", "it is me")
    await ana.say("Cy", LONG)
    await cy.until_there("Ana", "it is me", LONG)


async def _about_messages(ana: Person, bo: Person) -> None:
    """Reply, reaction, edit, delete."""
    first, *_ = await ana.talk("Bo")
    reply = await bo.chat.send(await bo.to("Ana"), "yes?", reply_to=first.id)
    await bo.chat.react(first.id, "👍")
    await ana.chat.edit(first.id, "hello, Bo")
    unwanted = await ana.say("Bo", "unwanted")
    await ana.chat.delete(unwanted.id, for_everyone=True)

    async def came_to_ana() -> bool:
        talk = {message.id: message for message in await ana.talk("Bo")}
        quote = talk[reply.id].quote if reply.id in talk else None
        emoji = [reaction.emoji for reaction in talk[first.id].reactions]
        return (quote and quote.id, emoji) == (first.id, ["👍"])

    async def came_to_bo() -> bool:
        talk = {message.id: message for message in await bo.talk("Ana")}
        gone = talk.get(unwanted.id)
        edited = (talk[first.id].text, talk[first.id].edited)
        return edited == ("hello, Bo", True) and gone is not None and gone.deleted

    await ana.until(came_to_ana)
    await bo.until(came_to_bo)


async def _a_picture(ana: Person, bo: Person) -> None:
    """It travels as frames, since these relays take no blobs."""
    data = picture(100_000)
    assert 60_000 < len(data) < 150_000
    file = attachment("river.png", "image/png", data)
    sent = await ana.chat.send(await ana.to("Bo"), "the river", files=[file])

    async def ready() -> bool:
        files = [f for message in await bo.talk("Ana") for f in message.files]
        return [f.state for f in files] == [FileState.READY]

    await bo.until(ready, 60)
    message = await bo.chat.message(sent.id)
    assert message.text == "the river"
    (view,) = message.files
    assert (view.name, view.kind.value, view.width) == ("river.png", "picture", 256)
    _, pieces = await bo.chat.file(view.id)
    assert b"".join([piece async for piece in pieces]) == data


async def _away(ana: Person, bo: Person, cy: Person) -> None:
    """Whoever was away gets everything, in its order."""
    before = await bo.texts("Ana")
    await bo.leave()
    sent = [f"while you were away {n}" for n in range(5)]
    for text in sent:
        await ana.say("Bo", text)
    await cy.say("Ana", "still here")
    await ana.until_there("Cy", "it is me", LONG, "still here")
    await bo.come_back()
    await bo.until_there("Ana", *before, *sent)


async def _receipts(ana: Person, bo: Person, cy: Person) -> None:
    """Delivered is told by itself, read once it is seen."""

    async def none_waits() -> bool:
        return await ana.chat.waiting() == 0

    await ana.until(none_waits)
    assert {m.state.value for m in await ana.talk("Bo") if m.mine} == {"delivered"}
    for person in (bo, cy):
        await person.chat.seen(await person.to("Ana"))
    await asyncio.gather(ana.until_states("Bo", "read"), ana.until_states("Cy", "read"))
