"""Fetching an invite's bundle from relays that are honest, gone, slow or malicious."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.server import ServerConnection, serve

from volok.app.fetch import InviteFetcher
from volok.chat.views import ChatError
from volok.model.auth import check_auth
from volok.model.envelope import wrap
from volok.model.event import parse_event
from volok.native import NativeCrypto
from volok.paths.direct import DirectPath

NOW = 1_800_000_000.0
CRYPTO = NativeCrypto()
SECRET = bytes(range(1, 33))
PUBLIC = CRYPTO.public_key(SECRET).hex()
Script = Callable[[ServerConnection], Awaitable[None]]


def bundle(content: bytes, public: str = PUBLIC) -> list[object]:
    return json.loads(wrap(CRYPTO, public, content, NOW, 7).to_json())


def contents(*data: bytes) -> list[str]:
    return [base64.b64encode(one).decode() for one in data]


@asynccontextmanager
async def relay(script: Script) -> AsyncIterator[str]:
    async with serve(script, "127.0.0.1", 0) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def speak(*answers: list[object]) -> Script:
    """A relay that answers the first question by these frames and stays."""

    async def script(socket: ServerConnection) -> None:
        name = json.loads(await socket.recv())[1]
        for answer in answers:
            await socket.send(json.dumps([name if part == "SUB" else part for part in answer]))
        await socket.wait_closed()

    return script


async def fetch(*urls: str, wait: float = 5.0) -> list[str]:
    path = DirectPath()
    try:
        return await InviteFetcher(path, CRYPTO, lambda: NOW, wait)(urls, SECRET)
    finally:
        await path.close()


async def test_an_open_relay() -> None:
    async with relay(speak(["EVENT", "SUB", bundle(b"a")], ["EOSE", "SUB"])) as url:
        assert await fetch(url) == contents(b"a")


async def test_a_relay_that_asks_for_the_key_first() -> None:
    shown: list[str] = []

    async def script(socket: ServerConnection) -> None:
        await socket.send(json.dumps(["AUTH", "challenge"]))
        _, name, _ = json.loads(await socket.recv())
        await socket.send(json.dumps(["CLOSED", name, "auth-required: show your key"]))
        proof = parse_event(json.loads(await socket.recv())[1])
        hosts = ("127.0.0.1",)
        shown.append(check_auth(proof, CRYPTO, challenge="challenge", hosts=hosts, now=NOW))
        await socket.send(json.dumps(["OK", proof.id, True, ""]))
        _, name, asked = json.loads(await socket.recv())
        assert asked == {"kinds": [1059], "#p": [PUBLIC]}
        await socket.send(json.dumps(["EVENT", name, bundle(b"a")]))
        await socket.send(json.dumps(["EOSE", name]))

    async with relay(script) as url:
        assert await fetch(url) == contents(b"a")
    assert shown == [PUBLIC]


async def test_a_relay_that_has_nothing() -> None:
    async with relay(speak(["EOSE", "SUB"])) as url:
        assert await fetch(url) == []


async def test_what_was_not_asked_for_or_is_forged_is_left_out() -> None:
    forged = {**bundle(b"forged"), "content": "changed"}
    other = bundle(b"other", CRYPTO.public_key(CRYPTO.random(32)).hex())
    frames = [["EVENT", "SUB", event] for event in (forged, other, bundle(b"a"), {}, None)]
    noise = [["EVENT"], ["NOTICE", "hello"], ["OK", "00" * 32, True, ""], [], ["EOSE", "SUB"]]
    async with relay(speak(*frames, *noise)) as url:
        assert await fetch(url) == contents(b"a")


async def test_one_honest_relay_is_enough() -> None:
    async def slams(socket: ServerConnection) -> None:
        await socket.close()

    honest = speak(["EVENT", "SUB", bundle(b"a")], ["EOSE", "SUB"])
    async with relay(slams) as first, relay(honest) as second:
        assert await fetch("ws://127.0.0.1:1", first, second, "no address") == contents(b"a")


async def test_a_flood_ends() -> None:
    async def floods(socket: ServerConnection) -> None:
        for _ in range(1000):
            await socket.send('["NOTICE","x"]')
        await socket.wait_closed()

    async with relay(floods) as url:
        assert await fetch(url) == []


@pytest.mark.parametrize("urls", [(), ("ws://127.0.0.1:1",)])
async def test_no_relay_at_all(urls: tuple[str, ...]) -> None:
    with pytest.raises(ChatError, match="ask for the invite as a file"):
        await fetch(*urls)


async def test_a_relay_that_never_answers() -> None:
    async def silent(socket: ServerConnection) -> None:
        await socket.wait_closed()

    async with relay(silent) as url:
        with pytest.raises(ChatError):
            await asyncio.wait_for(fetch(url, wait=0.2), 5)
