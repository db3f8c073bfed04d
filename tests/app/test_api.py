from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

import volok
from volok.app.api import PassphraseNeeded
from volok.app.errors import NotSetUp

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_importing_the_package_stays_cheap():
    code = "import sys, volok; assert 'volok.app.node' not in sys.modules; volok.Node"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_example_stays_short():
    assert len((EXAMPLES / "echo_bot.py").read_text().splitlines()) < 30


def test_a_bot_talks_with_a_person(friends):
    alice, bob = friends

    async def conversation() -> list[volok.Node]:
        async with volok.Node(alice.root) as hers, volok.Node(bob.root) as his:
            await hers.send("Bob", "one")
            await hers.send("Bob", "two")
            messages = his.messages()
            came = [await asyncio.wait_for(anext(messages), 20) for _ in range(2)]
            await his.send(came[0].contact, "back")
            answer = await asyncio.wait_for(anext(hers.messages()), 20)
            assert (answer.sender, answer.text) == ("Bob", "back")
        return came

    came = asyncio.run(conversation())
    assert [(message.sender, message.text) for message in came] == [
        ("Alice", "one"),
        ("Alice", "two"),
    ]


def test_what_was_not_dealt_with_comes_again(friends):
    alice, bob = friends
    for text in ("one", "two"):
        alice.ok("send", "Bob", text)
    alice.ok("sync")
    bob.ok("sync")

    async def take(count: int) -> list[str]:
        async with volok.Node(bob.root) as node:
            messages = node.messages()
            return [(await asyncio.wait_for(anext(messages), 20)).text for _ in range(count)]

    assert asyncio.run(take(1)) == ["one"]
    assert asyncio.run(take(2)) == ["one", "two"]


def test_a_home_that_cannot_be_opened(new_home, tmp_path: Path):
    async def enter(**options: str) -> None:
        async with volok.Node(tmp_path / "home", **options):
            pass

    with pytest.raises(NotSetUp):
        asyncio.run(enter())
    (tmp_path / "secret").write_text("secret")
    new_home("home").ok("init", "--name", "A", "--passphrase-file", tmp_path / "secret")
    with pytest.raises(PassphraseNeeded):
        asyncio.run(enter())
    asyncio.run(enter(passphrase="secret"))


def test_the_echo_bot_of_the_examples(alice, bob, relay: str):
    bot = subprocess.Popen(
        [sys.executable, EXAMPLES / "echo_bot.py", alice.root], stdout=subprocess.PIPE, text=True
    )
    try:
        assert bot.stdout is not None
        bob.ok("accept", bot.stdout.readline().strip())
        bob.ok("send", "Alice", "Is anybody there?")

        async def echo() -> str:
            async with volok.Node(bob.root) as node:
                return (await asyncio.wait_for(anext(node.messages()), 20)).text

        assert asyncio.run(echo()) == "Is anybody there?"
    finally:
        bot.terminate()
        bot.communicate()
