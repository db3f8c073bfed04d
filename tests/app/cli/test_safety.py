from __future__ import annotations

import time
from pathlib import Path

import pytest


@pytest.fixture
def locked(new_home, relay: str, tmp_path: Path):
    """Somebody with a passphrase, given on the command line."""
    home = new_home("locked")
    (tmp_path / "secret").write_text("correct horse\n")
    home.before = ("--passphrase-file", str(tmp_path / "secret"))
    home.ok("init", "--name", "Alice", "--relay", relay)
    return home


def test_status_says_less_while_locked(locked):
    status = locked.ok("status", "--json").one
    assert (status["state"], status["name"], status["running"]) == ("open", "Alice", False)
    assert [relay["state"] for relay in status["relays"]] == ["idle"]
    locked.before = ()
    status = locked.ok("status", "--json").one
    assert (status["state"], status["name"], status["relays"]) == ("locked", "", [])


def test_locking_and_unlocking_the_running_node(locked):
    assert locked.ok("lock", "--json").one == {"state": "locked"}
    assert "No node is up" in locked("unlock").err
    node = locked.up()
    try:
        assert locked.ok("status", "--json").one["state"] == "open"
        locked.ok("lock")
        refused = locked("contacts")
        assert refused.code == 1
        assert "locked" in refused.err
        assert locked.ok("status", "--json").one["state"] == "locked"
        assert locked.ok("unlock", "--json").one == {"state": "open"}
        locked.ok("contacts")
    finally:
        assert node.stop() == 0


def test_panic_needs_no_passphrase_and_leaves_nothing(locked):
    locked.before = ()
    assert locked.ok("panic", "--json").one == {"state": "destroyed"}
    assert {entry.name for entry in locked.root.iterdir()} <= {"lock"}


def test_panic_of_a_running_node(alice):
    node = alice.up()
    try:
        alice.ok("panic")
        assert not (alice.root / "keyslot.json").exists()
        assert not (alice.root / "vault.db").exists()
        assert alice("contacts").code == 1
    finally:
        assert node.stop() == 0
    assert "volok init" in alice("contacts").err


def test_a_backup_opens_by_the_passphrase(locked, new_home, tmp_path: Path):
    report = locked.ok("backup", tmp_path / "backup", "--json").one
    assert report["recovery_code"] is None
    restored = new_home("restored")
    (tmp_path / "wrong").write_text("wrong")
    restored.before = ("--passphrase-file", str(tmp_path / "wrong"))
    assert "does not open" in restored("restore", tmp_path / "backup").err
    restored.before = locked.before
    restored.ok("restore", tmp_path / "backup")
    assert restored.ok("status", "--json").one["name"] == "Alice"
    assert not (restored.root / "restored").exists()


def test_a_backup_without_a_passphrase_gives_a_code(friends, new_home, tmp_path: Path):
    alice, bob = friends
    alice.ok("send", "Bob", "before the backup")
    alice.ok("sync")
    code = alice.ok("backup", tmp_path / "backup", "--json").one["recovery_code"]
    assert len(code.split("-")) == 8
    taken = alice("backup", tmp_path / "backup")
    assert (taken.code, "exists already" in taken.err) == (1, True)
    alice.ok("panic")
    restored = new_home("restored")
    (tmp_path / "code").write_text(code.lower())
    restored.before = ("--passphrase-file", str(tmp_path / "code"))
    restored.ok("restore", tmp_path / "backup")
    restored.before = ()
    assert [m["text"] for m in restored.ok("read", "Bob", "--json").lines] == ["before the backup"]
    restored.ok("send", "Bob", "after it")
    for _ in range(2):
        restored.ok("sync")
        bob.ok("sync")
    texts = [message["text"] for message in bob.ok("read", "Alice", "--json").lines]
    assert texts == ["before the backup", "after it"]


def test_a_damaged_backup_restores_nothing(alice, new_home, tmp_path: Path):
    code = alice.ok("backup", tmp_path / "backup", "--json").one["recovery_code"]
    (tmp_path / "code").write_text(code)
    whole = (tmp_path / "backup").read_bytes()
    (tmp_path / "backup").write_bytes(whole[:-50])
    home = new_home("restored")
    home.before = ("--passphrase-file", str(tmp_path / "code"))
    refused = home("restore", tmp_path / "backup")
    assert refused.code == 1
    assert "damaged or cut" in refused.err
    assert not (home.root / "keyslot.json").exists()
    (tmp_path / "backup").write_bytes(whole)
    alice.before = home.before
    assert "already" in alice("restore", tmp_path / "backup").err


def test_a_running_node_tells_how_it_is_connected(alice, relay: str):
    node = alice.up()
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            (shown,) = alice.ok("status", "--json").one["relays"]
            if shown["state"] == "connected":
                break
        assert (shown["url"], shown["state"], shown["problem"]) == (relay, "connected", None)
        assert "connected" in alice.ok("status").out
    finally:
        node.stop()
