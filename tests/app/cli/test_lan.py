"""`volok path` and the local network. Nothing is announced: no node is up, and none is tested."""

from __future__ import annotations

import pytest

from volok.app.cli.path import found


def test_it_is_switched_on_listed_and_switched_off(alice) -> None:
    assert "lan" not in [one["name"] for one in alice.ok("path", "list", "--json").lines]
    added = alice.ok("path", "add", "lan", "--yes", "--json").one
    assert (added["name"], added["on"], added["carry"]) == ("lan", True, False)
    shown = alice.ok("path", "list").out
    assert "lan: the local network" in shown
    assert "no other node here" in shown
    assert "not who you are" in " ".join(shown.split())
    assert alice.ok("path", "add", "lan", "--yes", "--carry", "--json").one["carry"] is True
    assert alice.ok("path", "remove", "lan", "--json").one["on"] is False
    assert "lan" not in [one["name"] for one in alice.ok("path", "list", "--json").lines]


def test_it_says_first_what_others_can_see(alice) -> None:
    refused = alice("path", "add", "lan")
    assert refused.code == 1
    assert "can see" in refused.out + refused.err
    assert "lan" not in [one["name"] for one in alice.ok("path", "list", "--json").lines]


def test_while_it_is_off_there_is_nothing_to_try(alice) -> None:
    result = alice("path", "test", "lan")
    assert result.code == 1
    assert "volok path add lan" in result.err


@pytest.mark.parametrize(
    ("nodes", "contacts", "words"),
    [
        (0, 0, "no other node here"),
        (1, 0, "1 node here, no contact among them"),
        (2, 1, "2 nodes here, 1 of them a contact"),
        (5, 3, "5 nodes here, 3 of them contacts"),
    ],
)
def test_what_was_found_in_words(nodes: int, contacts: int, words: str) -> None:
    assert found({"nodes": nodes, "contacts": contacts}) == words
