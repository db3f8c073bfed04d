from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def strangers(new_home):
    """Two people without any network."""
    homes = new_home("alice"), new_home("bob")
    for home, name in zip(homes, ("Alice", "Bob"), strict=True):
        home.ok("init", "--name", name, "--no-passphrase")
    return homes


def carrier(tmp_path: Path) -> Callable[..., dict]:
    """Carries a bundle from one to the other and returns what the import said."""
    number = 0

    def carry(sender, receiver, *options: str) -> dict:
        nonlocal number
        number += 1
        bundle = tmp_path / f"{number}.bundle"
        sender.ok("export", bundle, *options)
        return receiver.ok("import", bundle, "--json").one

    return carry


def test_two_people_without_any_network_hold_a_conversation(strangers, tmp_path: Path):
    alice, bob = strangers
    carry = carrier(tmp_path)
    alice.ok("invite", "--file", tmp_path / "for-bob.volok")
    assert bob.ok("accept", tmp_path / "for-bob.volok", "--json").one["name"] == "Alice"
    bob.ok("send", "Alice", "Hello by hand")
    assert carry(bob, alice)["events"] > 0
    assert [m["text"] for m in alice.ok("read", "Bob", "--json").lines] == ["Hello by hand"]

    (tmp_path / "map.bin").write_bytes(bytes(range(256)) * 40)
    alice.ok("send", "Bob", "Here is a map", "--file", tmp_path / "map.bin")
    report = carry(alice, bob, "--for", "Bob")
    assert report["blobs"] == 1
    theirs = bob.ok("read", "Alice", "--save", tmp_path / "saved", "--json").lines
    assert [m["text"] for m in theirs] == ["Hello by hand", "Here is a map"]
    assert theirs[0]["state"] in ("delivered", "read")
    saved = Path(theirs[1]["files"][0]["path"]).read_bytes()
    assert saved == (tmp_path / "map.bin").read_bytes()

    carry(bob, alice)
    states = [m["state"] for m in alice.ok("read", "Bob", "--json").lines if m["from"] == "me"]
    assert states == ["read"]


def test_the_same_bundle_twice_does_no_harm(friends, tmp_path: Path):
    alice, bob = friends
    alice.ok("send", "Bob", "once")
    alice.ok("export", tmp_path / "bundle")
    assert bob.ok("import", tmp_path / "bundle", "--json").one["events"] > 0
    assert bob.ok("import", tmp_path / "bundle", "--json").one["events"] == 0
    alice.ok("sync")
    bob.ok("sync")
    assert [m["text"] for m in bob.ok("read", "Alice", "--json").lines] == ["once"]


def test_a_bundle_for_somebody_else(friends, new_home, tmp_path: Path):
    alice, _ = friends
    carol = new_home("carol")
    carol.ok("init", "--name", "Carol", "--no-passphrase")
    alice.ok("send", "Bob", "not for Carol")
    alice.ok("export", tmp_path / "bundle")
    refused = carol("import", tmp_path / "bundle")
    assert refused.code == 1
    assert "made for somebody else" in refused.err


def test_a_damaged_bundle_and_one_that_is_none(friends, tmp_path: Path):
    alice, bob = friends
    alice.ok("send", "Bob", "cut")
    bundle = tmp_path / "bundle"
    alice.ok("export", bundle)
    whole = bundle.read_bytes()
    for broken in (whole[:-1], whole[:20], b"", b"nonsense"):
        bundle.write_bytes(broken)
        refused = bob("import", bundle)
        assert refused.code == 1
        assert "damaged or cut" in refused.err
    bundle.write_bytes(whole)
    bob.ok("import", bundle)


def test_nothing_empty_is_written(strangers, tmp_path: Path):
    alice, _ = strangers
    nothing = alice("export", tmp_path / "bundle")
    assert nothing.code == 1
    assert "Nothing waits" in nothing.err
    assert not (tmp_path / "bundle").exists()


def test_nothing_is_overwritten(friends, tmp_path: Path):
    alice, _ = friends
    bundle = tmp_path / "bundle"
    bundle.write_text("mine")
    alice.ok("send", "Bob", "wait")
    refused = alice("export", bundle)
    assert refused.code == 1
    assert "“bundle” exists already" in refused.err
    assert bundle.read_text() == "mine"
