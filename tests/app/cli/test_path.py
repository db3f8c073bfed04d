"""`volok path`."""

from __future__ import annotations


def test_paths_are_listed_added_tried_and_removed(alice, relay: str):
    listed = alice.ok("path", "list", "--json").lines
    assert listed[0]["name"] == "direct"
    assert not any(one["removable"] for one in listed)

    added = alice.ok("path", "add", "socks5://u:secret@127.0.0.1:1", "--relay", relay, "--json").one
    assert (added["name"], added["relays"], added["only"]) == ("proxy", [relay], False)
    shown = alice.ok("path", "list").out
    assert "socks5://127.0.0.1:1" in shown
    assert "secret" not in shown

    trials = alice.ok("path", "test", "--json").lines
    assert [one["name"] for one in trials] == ["direct", "proxy"]
    assert trials[0]["seconds"] > 0
    assert trials[0]["problem"] == ""
    assert trials[1]["seconds"] is None
    assert trials[1]["problem"] == "The proxy does not take us there."
    assert "open in" in alice.ok("path", "test", "direct", "--relay", relay).out

    alice.ok("path", "remove", "proxy")
    assert "proxy" not in [one["name"] for one in alice.ok("path", "list", "--json").lines]


def test_with_a_proxy_alone_nothing_goes_past_it(alice, relay: str):
    alice.ok("path", "add", "http://127.0.0.1:1", "--only")
    assert alice("sync", "--json").one["problems"] == {relay: "The proxy does not take us there."}
    alice.ok("path", "remove", "proxy")
    assert alice.ok("sync", "--json").one["problems"] == {}


def test_commands_of_a_running_node(alice, relay: str):
    node = alice.up()
    try:
        assert alice.ok("path", "add", "http://127.0.0.1:1", "--json").one["name"] == "proxy"
        assert alice.ok("path", "test", "direct", "--json").one["relay"] == relay
        alice.ok("path", "remove", "proxy")
    finally:
        assert node.stop() == 0


def test_errors_are_sentences(alice):
    for command, said in (
        (("path", "add", "nonsense"), "The folder is not there"),
        (("path", "add", "socks5://"), "not the address of a proxy"),
        (("path", "remove", "nothing"), "no such path"),
        (("path", "test", "nothing"), "no such path"),
    ):
        result = alice(*command)
        assert (result.code, result.out) == (1, "")
        assert said in result.err


def test_a_folder_is_added_tried_listed_and_removed(alice, tmp_path):
    stick = tmp_path / "stick"
    stick.mkdir()
    added = alice.ok("path", "add", str(stick), "--json").one
    assert (added["kind"], added["place"], added["problem"]) == ("folder", str(stick), None)
    assert list(stick.iterdir()) == []
    assert str(stick) in [one["name"] for one in alice.ok("path", "list", "--json").lines]
    assert "encrypted files lie there" in alice.ok("path", "list").out
    alice.ok("path", "remove", str(stick))
    assert str(stick) not in alice.ok("path", "list").out


def test_places_that_cannot_be_used_are_refused_in_a_sentence(alice, tmp_path):
    for where, said in (
        (str(tmp_path / "nowhere"), "not there"),
        ("gopher://drop.example/", "This is no place that can be used"),
        ("s3://letters", "Say with --endpoint"),
        ("webdav://drop.example/", "Use an address with https"),
    ):
        refused = alice("path", "add", where, "--yes")
        assert refused.code == 1, where
        assert said in refused.err, (where, refused.err)


def test_before_a_server_is_used_the_program_says_what_its_owner_sees(alice):
    asked = alice("path", "add", "webdavs://drop.example/")
    assert asked.code == 1
    assert "The owner of this server sees the account" in asked.out + asked.err
