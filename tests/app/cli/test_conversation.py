from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

FIELDS = {"id", "from", "text", "sent_at", "state", "files"}


def test_a_link_and_a_text_between_two_homes(alice, bob):
    link = alice.ok("invite").out
    assert link.startswith("volok:")
    assert len(link.splitlines()) == 1
    accepted = bob.ok("accept", link.strip(), "--json").one
    assert accepted["name"] == "Alice"
    alice.ok("sync")
    bob.ok("sync")
    assert [person["name"] for person in alice.ok("contacts", "--json").lines] == ["Bob"]
    assert {person["state"] for person in alice.ok("contacts", "--json").lines} == {"active"}

    sent = alice.ok("send", "Bob", "Hello", "--json").one
    assert (sent["from"], sent["state"]) == ("me", "queued")
    report = alice.ok("sync", "--json").one
    assert report["published"] >= 1
    assert report["problems"] == {}
    assert alice.ok("read", "Bob", "--json").one["state"] == "relayed"

    bob.ok("sync")
    came = bob.ok("read", "Alice", "--json").one
    assert came.keys() >= FIELDS
    assert (came["id"], came["from"], came["text"]) == (sent["id"], "Alice", "Hello")
    assert came["sent_at"] == sent["sent_at"]
    alice.ok("sync")
    assert alice.ok("read", "Bob", "--json").one["state"] == "delivered"

    bob.ok("sync")  # what was read is told with the next round
    alice.ok("sync")
    assert alice.ok("read", "Bob", "--json").one["state"] == "read"


def test_a_conversation_is_printed_oldest_first_and_whole(friends):
    alice, bob = friends
    texts = [f"Message {number}" for number in range(6)]
    for text in texts:
        alice.ok("send", "Bob", text)
    alice.ok("sync")
    bob.ok("sync")
    assert [m["text"] for m in bob.ok("read", "Alice", "--json").lines] == texts
    assert [m["text"] for m in bob.ok("read", "Alice", "--last", "3", "--json").lines] == texts[-3:]
    shown = bob.ok("read", "Alice").out.splitlines()
    assert shown[0] == "— You can write to each other now."
    assert len(shown) == 1 + len(texts)
    assert shown[1].endswith("Alice: Message 0")


def test_a_picture_and_a_file_arrive_as_they_were(friends, tmp_path: Path):
    alice, bob = friends
    picture, plain = tmp_path / "river.png", tmp_path / "notes.bin"
    Image.effect_noise((200, 100), 50).save(picture)
    plain.write_bytes(bytes(range(256)) * 5000)
    alice.ok("send", "Bob", "Look", "--file", picture, "--file", plain)
    alice.ok("sync")
    bob.ok("sync")
    (message,) = bob.ok("read", "Alice", "--save", tmp_path / "saved", "--json").lines
    assert [file["name"] for file in message["files"]] == ["river.png", "notes.bin"]
    assert [file["kind"] for file in message["files"]] == ["picture", "file"]
    assert [file["state"] for file in message["files"]] == ["ready", "ready"]
    saved = [Path(file["path"]).read_bytes() for file in message["files"]]
    assert saved == [picture.read_bytes(), plain.read_bytes()]
    (again,) = bob.ok("read", "Alice", "--save", tmp_path / "saved", "--json").lines
    assert Path(again["files"][0]["path"]).name == "river (2).png"


def test_text_from_standard_input(friends, monkeypatch: pytest.MonkeyPatch):
    alice, _ = friends
    monkeypatch.setattr(sys.stdin, "read", lambda: "from a pipe")
    assert alice.ok("send", "Bob", "-", "--json").one["text"] == "from a pipe"


def test_commands_talk_to_running_nodes(friends):
    alice, bob = friends
    hers, his = alice.up(), bob.up()
    follower = subprocess.Popen(
        [sys.executable, "-m", "volok", "--home", bob.root, "read", "Alice", "--json", "--follow"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert alice.ok("status", "--json").one["running"] is True
        for text in ("one", "two"):
            alice.ok("send", "Bob", text)
        assert follower.stdout is not None
        seen = [json.loads(follower.stdout.readline())["text"] for _ in range(2)]
        assert seen == ["one", "two"]
    finally:
        follower.kill()
        follower.communicate()
        assert (hers.stop(), his.stop()) == (0, 0)
    assert alice.ok("status", "--json").one["running"] is False


def test_a_node_without_a_relay_takes_that_of_the_invite(friends, relay: str):
    _, bob = friends
    assert [r["url"] for r in bob.ok("status", "--json").one["relays"]] == [relay]
