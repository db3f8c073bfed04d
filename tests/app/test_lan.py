"""The choice to be found on local networks, and what counts as one."""

from __future__ import annotations

from pathlib import Path

import pytest

from volok.app.lan import LanChoice, LanOff, load_choice
from volok.app.node import Node
from volok.chat.records import set_setting, setting
from volok.store.vault import VaultLocked

OLD = Path(__file__).parents[1] / "old_states" / "lan_v1" / "choice.json"


@pytest.fixture
async def node(tmp_path: Path):
    made = Node(tmp_path / "home")
    await made.start()
    await made.create("Ana", [], None)
    yield made
    await made.stop()


async def test_it_is_off_until_the_person_says_so_and_then_remembered(node: Node) -> None:
    assert await node.lan.choice() == LanChoice(on=False, carry=False)
    with pytest.raises(LanOff):
        await node.lan.test()
    await node.lan.choose(LanChoice(on=True))
    await node.lock()
    with pytest.raises(VaultLocked):
        _ = node.lan
    await node.unlock(None)
    assert await node.lan.choice() == LanChoice(on=True, carry=False)
    view = await node.lan.view()
    assert (view.on, view.nodes, view.contacts, view.networks, view.problem) == (
        *(True, 0, 0, 0),
        None,
    )


async def test_the_choice_of_version_1_loads(node: Node) -> None:
    text = OLD.read_text()
    await node._open().vault.transact(lambda tx: set_setting(tx, "lan", text))
    assert await node.lan.choice() == LanChoice(on=True, carry=True)


@pytest.mark.parametrize("text", ["", "[]", "null", "{", '{"on": "yes"}', "[" * 100_000, "1e999"])
async def test_what_makes_no_sense_counts_as_off(node: Node, text: str) -> None:
    await node._open().vault.transact(lambda tx: set_setting(tx, "lan", text))
    assert await node._open().vault.read(load_choice) == LanChoice()


async def test_what_is_written_is_what_the_fixture_says(node: Node) -> None:
    await node.lan.choose(LanChoice(on=True, carry=True))
    written = await node._open().vault.read(lambda tx: setting(tx, "lan"))
    assert written == OLD.read_text().strip()


async def test_without_a_background_nobody_is_asked_for_an_invite(node: Node) -> None:
    await node.lan.choose(LanChoice(on=True))
    assert await node.lan.fetch_invite([], bytes(32)) == []
