"""`volok path`."""

from __future__ import annotations

from tests.paths.drop_servers import PASSWORD, sftp_in_a_thread


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


def test_tor_is_added_listed_and_removed(alice, relay: str):
    added = alice.ok("path", "add", "tor://127.0.0.1:1", "--only", "--json").one
    assert (added["name"], added["about"], added["only"]) == ("tor", "Tor at port 1", True)
    assert "you use Tor" in alice.ok("path", "list").out
    assert alice("sync", "--json").one["problems"] == {relay: "Tor does not run any more."}
    alice.ok("path", "remove", "tor")
    assert alice.ok("sync", "--json").one["problems"] == {}
    for arguments, said in (
        (("tor", "--bridge", "nonsense"), "not a bridge line"),
        (("tor://relay.example:9050",), "SOCKS port"),
    ):
        result = alice("path", "add", *arguments)
        assert (result.code, result.out) == (1, "")
        assert said in result.err


def test_a_mail_account_that_cannot_be_used_is_refused_in_a_sentence(alice, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("secret\n")
    servers = ("--imap", "127.0.0.1:1", "--smtp", "127.0.0.1:1", "--password-file", secret)
    for arguments, said in (
        (("mail://alice",), "no mail address"),
        (("mail://alice@post.example",), "--password-file"),
        (("mail://alice@post.example", *servers), "The mail server 127.0.0.1 cannot be reached"),
        (("mail://alice@post.example", "--contact", "Bob"), "NAME=ADDRESS"),
        (("mail://alice@post.example", "--contact", "X=b@c.example"), "no contact of this name"),
        (("webdavs://x.example", "--contact", "Bob=b@c.example"), "goes with mail://"),
        (("sftp://a@server.example/x",), "--key-file"),
        (("sftp://server.example/x", "--password-file", secret), "sftp://USER@HOST/PATH"),
        (("sftp://a@127.0.0.1:1/x", "--password-file", secret), "cannot be reached"),
    ):
        refused = alice("path", "add", *arguments, "--yes")
        assert refused.code != 0, arguments
        assert said in refused.err, (arguments, refused.err)
        assert "secret\n" not in refused.err
    assert not [one for one in alice.ok("path", "list", "--json").lines if "kind" in one]


def test_before_a_mail_account_is_used_the_program_says_what_its_provider_sees(alice):
    asked = alice("path", "add", "mail://alice@post.example")
    assert asked.code == 1
    assert "Your mail provider" in asked.out + asked.err
    assert "sftp" not in asked.out


def test_the_key_of_an_sftp_server_is_shown_and_kept(alice, tmp_path):
    (tmp_path / "served" / "shared").mkdir(parents=True)
    secret = tmp_path / "secret"
    secret.write_text(PASSWORD)
    with sftp_in_a_thread(tmp_path / "served") as server:
        command = ("path", "add", server.url, "--password-file", secret)
        asked = alice(*command, "--yes", "--host-key", "SHA256:nothing")
        assert asked.code == 1
        assert "SHA256:" in asked.out + asked.err
        assert "not the key that you expect" in asked.out + asked.err
        assert server.seen == []
        added = alice.ok(*command, "--yes", "--json").one
        assert (added["kind"], added["place"]) == ("sftp", server.url)
        assert added["problem"] is None
        assert alice.ok("path", "test", server.url, "--json").one["seconds"] > 0
        alice.ok("path", "remove", server.url)
