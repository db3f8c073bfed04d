from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from volok.app.errors import AlreadySetUp
from volok.app.node import Node
from volok.model.urls import InvalidUrl
from volok.store.vault import VaultBusy, VaultDestroyed, VaultLocked, WrongPassphrase

RELAY = "wss://relay.example"


@pytest.fixture
async def node(tmp_path: Path):
    """A node in a fresh home, without background work."""
    node = Node(tmp_path / "home")
    await node.start()
    yield node
    await node.stop()


async def test_the_states_of_a_node(node: Node) -> None:
    assert node.state == "new"
    with pytest.raises(VaultLocked):
        _ = node.chat
    await node.create("Alice", [RELAY], "secret")
    assert node.state == "open"
    with pytest.raises(AlreadySetUp):
        await node.create("Alice", [], None)
    await node.lock()
    assert node.state == "locked"
    status = await node.status()
    assert (status.name, status.state, status.has_passphrase) == ("", "locked", True)
    with pytest.raises(VaultLocked):
        await node.add_relay(RELAY)
    with pytest.raises(WrongPassphrase):
        await node.unlock("wrong")
    assert node.state == "locked"
    await node.unlock("secret")
    assert await node.chat.name() == "Alice"
    await node.panic()
    assert node.state == "destroyed"
    with pytest.raises(VaultDestroyed):
        await node.unlock("secret")


async def test_a_home_comes_back_as_it_was(tmp_path: Path) -> None:
    first = Node(tmp_path / "home")
    await first.start()
    await first.create("Alice", [RELAY], None)
    await first.set_preference("language", "ru")
    await first.stop()
    again = Node(tmp_path / "home")
    await again.start()
    try:
        assert again.state == "open"
        assert await again.chat.relays() == [RELAY]
        assert (await again.preferences()).language == "ru"
    finally:
        await again.stop()


async def test_one_home_is_used_by_one_node(node: Node) -> None:
    with pytest.raises(VaultBusy):
        await Node(node.home.root).start()
    assert node.state == "new"


@pytest.mark.parametrize(("name", "relay"), [("", RELAY), ("Alice", "http://relay.example")])
async def test_what_cannot_be_created_leaves_nothing(node: Node, name: str, relay: str) -> None:
    with pytest.raises(Exception, match=r"name|relay"):
        await node.create(name, [relay], None)
    assert node.state == "new"
    await node.create("Alice", [RELAY], None)
    assert node.state == "open"


async def test_panic_destroys_the_key_before_anything_else(node: Node) -> None:
    await node.create("Alice", [RELAY], "secret")
    await node._changing.acquire()  # something long is going on
    panicking = asyncio.create_task(node.panic())
    async with asyncio.timeout(30):  # for ever, if it waited for that
        while node.home.keyslot.exists():
            await asyncio.sleep(0)
    assert node.home.vault.exists()
    node._changing.release()
    await panicking
    assert {entry.name for entry in node.home.root.iterdir()} == {"lock"}


async def test_relays_come_and_go(node: Node) -> None:
    await node.create("Alice", [], None)
    await node.add_relay("WSS://Relay.Example:443/")
    await node.add_relay(RELAY)
    assert await node.chat.relays() == [RELAY]
    assert [relay.url for relay in (await node.status()).relays] == [RELAY]
    with pytest.raises(InvalidUrl):
        await node.add_relay("relay")
    await node.remove_relay(RELAY)
    assert await node.chat.relays() == []


async def test_the_passphrase_changes_and_goes(node: Node) -> None:
    await node.create("Alice", [], "old")
    with pytest.raises(WrongPassphrase):
        await node.change_passphrase("wrong", "new")
    await node.change_passphrase("old", "new")
    await node.lock()
    with pytest.raises(WrongPassphrase):
        await node.unlock("old")
    await node.unlock("new")
    await node.change_passphrase("new", None)
    assert not (await node.status()).has_passphrase


async def test_every_change_of_state_is_announced(node: Node) -> None:
    steps = (
        lambda: node.create("Alice", [], None),
        node.lock,
        lambda: node.unlock(None),
        lambda: node.add_relay(RELAY),
        lambda: node.set_preference("auto_lock_minutes", 5),
        node.panic,
    )
    for step in steps:
        told = asyncio.create_task(node.status_changed())
        await asyncio.sleep(0)
        await step()
        await asyncio.wait_for(told, 5)


async def test_what_waits_is_told_while_the_node_is_up(tmp_path: Path) -> None:
    alice, bob = Node(tmp_path / "a", background=True), Node(tmp_path / "b", background=True)
    for node, name in ((alice, "Alice"), (bob, "Bob")):
        await node.start()
        await node.create(name, [], None)
    try:
        invite = await alice.chat.invite()
        contact = await bob.chat.accept_file(await alice.chat.invite_file(invite.id))
        told = asyncio.create_task(bob.status_changed())
        await asyncio.sleep(0)
        await bob.chat.send(contact.id, "Hello")
        await asyncio.wait_for(told, 5)
        assert (await bob.status()).waiting == 1
    finally:
        await alice.stop()
        await bob.stop()
