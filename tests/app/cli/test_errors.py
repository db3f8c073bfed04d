"""What goes wrong is said in one sentence on standard error, with exit code 1, or 2 for usage."""

from __future__ import annotations

import socket
from contextlib import closing
from pathlib import Path

import pytest

from volok.store.secure_files import HomeLock


def sentence_of(result) -> str:
    """The one sentence of a stated error."""
    assert result.code == 1, result
    assert result.out == ""
    (line,) = result.err.splitlines()
    assert line.endswith((".", "!"))
    assert "Traceback" not in line
    return line


@pytest.mark.parametrize(
    "command",
    [
        ("contacts",),
        ("send", "Bob", "hi"),
        ("read", "Bob"),
        ("sync",),
        ("status",),
        ("invite",),
        ("accept", "volok:i1/x"),
        ("lock",),
        ("panic",),
    ],
)
def test_a_home_that_was_never_set_up(new_home, command):
    home = new_home("nowhere")
    assert "volok init" in sentence_of(home(*command))
    assert not home.root.exists()


def test_a_home_that_is_set_up_already(alice):
    before = (alice.root / "keyslot.json").read_bytes()
    assert "already" in sentence_of(alice("init", "--name", "Eve", "--no-passphrase"))
    assert (alice.root / "keyslot.json").read_bytes() == before


def test_a_folder_of_other_things(new_home):
    home = new_home("documents")
    home.root.mkdir()
    (home.root / "thesis.txt").write_text("mine")
    assert "not empty" in sentence_of(home("init", "--name", "Alice", "--no-passphrase"))


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("init",), "--name"),
        (("init", "--name", "A"), "--no-passphrase"),
        (("init", "--name", "A", "--no-passphrase", "--passphrase-file", "x"), "--no-passphrase"),
        (("send", "Bob"), "TEXT"),
        (("send",), "CONTACT"),
        (("paint",), "paint"),
        (("read", "Bob", "--last", "0"), "--last"),
        (("up", "--port", "70000"), "--port"),
    ],
)
def test_wrong_usage_names_what_is_missing(new_home, arguments, named):
    result = new_home("home")(*arguments)
    assert result.code == 2
    assert result.out == ""
    assert named.lower() in result.err.lower()


def test_a_relay_address_that_is_none(new_home):
    home = new_home("home")
    result = home("init", "--name", "A", "--no-passphrase", "--relay", "http://example.org")
    sentence_of(result)
    home.ok("init", "--name", "A", "--no-passphrase")


def test_a_wrong_passphrase(new_home, tmp_path: Path):
    home = new_home("home")
    right, wrong = tmp_path / "right", tmp_path / "wrong"
    right.write_text("correct horse\n")
    wrong.write_text("battery staple\n")
    home.ok("init", "--name", "A", "--passphrase-file", right)
    assert "--passphrase-file" in sentence_of(home("contacts"))
    home.before = ("--passphrase-file", str(wrong))
    assert "does not open the vault" in sentence_of(home("contacts"))
    home.before = ("--passphrase-file", str(tmp_path / "missing"))
    assert "“missing” is not there" in sentence_of(home("contacts"))
    home.before = ("--passphrase-file", str(right))
    home.ok("contacts")


def test_an_empty_passphrase_file(new_home, tmp_path: Path):
    (tmp_path / "empty").write_text("\n")
    home = new_home("home")
    result = home("init", "--name", "A", "--passphrase-file", tmp_path / "empty")
    assert "empty" in sentence_of(result)
    assert not (home.root / "keyslot.json").exists()


def test_an_unknown_contact(alice):
    for command in (("send", "Nobody", "hi"), ("read", "Nobody"), ("export", "x", "--for", "No")):
        assert "no contact" in sentence_of(alice(*command))


def test_a_file_that_vanished(friends, tmp_path: Path):
    alice, _ = friends
    gone = tmp_path / "gone.jpg"
    assert "“gone.jpg” is not there" in sentence_of(alice("send", "Bob", "--file", gone))
    assert alice.ok("read", "Bob", "--json").lines == []
    assert "“gone” is not there" in sentence_of(alice("import", tmp_path / "gone"))
    assert "“gone” is not there" in sentence_of(alice("restore", tmp_path / "gone"))
    assert "“gone.volok” is not there" in sentence_of(alice("accept", tmp_path / "gone.volok"))
    assert "is a folder" in sentence_of(alice("send", "Bob", "--file", tmp_path))


def test_invites_that_cannot_be_accepted(alice, bob, tmp_path: Path):
    link = alice.ok("invite").out.strip()
    assert "your own" in sentence_of(alice("accept", link))
    assert "not a whole" in sentence_of(bob("accept", link[:40]))
    assert "not a whole" in sentence_of(bob("accept", "volok:i1/"))
    head, tail = link[:60], link[61:]
    altered = head + ("A" if link[60] != "A" else "B") + tail
    assert "not on its relays" in sentence_of(bob("accept", altered))
    (tmp_path / "letter.txt").write_text("Dear Bob")
    assert "not a Volok invite" in sentence_of(bob("accept", tmp_path / "letter.txt"))
    bob.ok("accept", link)
    assert "already" in sentence_of(bob("accept", link))


def test_an_invite_that_somebody_else_has_used(friends, new_home):
    alice, _ = friends
    link = alice.ok("invite").out.strip()
    for name in ("Dave", "Eve"):
        home = new_home(name)
        home.ok("init", "--name", name, "--no-passphrase")
        home.ok("accept", link)
        alice.ok("sync")
    names = {person["name"] for person in alice.ok("contacts", "--json").lines}
    assert names == {"Bob", "Dave"}
    assert "Somebody else tried to use the same invite" in alice.ok("read", "Dave").out


def test_a_home_that_another_program_holds(alice, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("volok.app.cli.session.NodeSettings", impatient)
    with HomeLock(alice.root):
        assert "Another Volok is using this folder" in sentence_of(alice("contacts"))
    alice.ok("contacts")


def impatient():
    from volok.app.settings import NodeSettings

    return NodeSettings(lock_wait=0.1)


def test_a_vault_of_a_newer_version(alice):
    slot = alice.root / "keyslot.json"
    slot.write_text(slot.read_text().replace('"version": 1', '"version": 9'))
    assert "newer version" in sentence_of(alice("contacts"))
    (alice.root / "home.json").write_text('{"version": 9}')
    assert "newer version" in sentence_of(alice("contacts"))


def test_a_damaged_key_file(alice):
    (alice.root / "keyslot.json").write_text("{")
    assert "damaged" in sentence_of(alice("contacts"))


def test_a_port_in_use(alice, tmp_path: Path):
    with closing(socket.socket()) as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        assert f"Port {port} is in use" in sentence_of(alice("up", "--no-browser", "--port", port))
        assert f"Port {port} is in use" in sentence_of(
            alice("relay", "--port", port, "--data", tmp_path / "data")
        )
    alice.ok("contacts")


def test_a_relay_that_is_gone(new_home):
    with closing(socket.socket()) as silent:
        silent.bind(("127.0.0.1", 0))
        url = f"ws://127.0.0.1:{silent.getsockname()[1]}"
    home = new_home("home")
    home.ok("init", "--name", "A", "--no-passphrase", "--relay", url)
    invited = home.ok("invite")
    assert "volok sync" in invited.err
    assert home.ok("contacts", "--json").lines == []
    result = home("sync", "--json")
    assert result.code == 1
    assert list(result.one["problems"]) == [url]
    assert "stays queued" in result.err
