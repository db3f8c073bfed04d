"""`volok hint`: what is shared, heard, kept, removed and switched off, by real commands."""

from __future__ import annotations

from tests.app.conftest import Home

SPARE = "wss://spare.example"


def test_a_relay_goes_from_one_to_the_other(friends: tuple[Home, Home]) -> None:
    alice, bob = friends
    assert alice.ok("hint", "share", "WSS://Spare.example/", "--json").one["place"] == SPARE
    listed = alice.ok("hint", "list", "--json").one
    assert [(one["place"], one["told"]) for one in listed["shared"]] == [(SPARE, False)]
    alice.ok("sync")
    bob.ok("sync")
    (heard,) = bob.ok("hint", "list", "--json").one["heard"]
    assert (heard["place"], heard["kind"], heard["told_by"]) == (SPARE, "relay", ["Alice"])
    assert "from Alice" in bob.ok("hint", "list").out

    bob.ok("hint", "use", "off")
    assert bob.ok("hint", "list", "--json").one["on"] is False
    assert "volok hint use on" in bob.ok("hint", "list").out
    bob.ok("hint", "use", "on")
    bob.ok("hint", "keep", SPARE)
    own = [relay["url"] for relay in bob.ok("status", "--json").one["relays"]]
    assert SPARE in own
    bob.ok("hint", "remove", SPARE)
    assert bob.ok("hint", "list", "--json").one["heard"] == []
    alice.ok("hint", "unshare", SPARE)
    assert alice.ok("hint", "list", "--json").one["shared"] == []


def test_a_mail_address_is_for_one_contact(friends: tuple[Home, Home]) -> None:
    alice, _ = friends
    refused = alice("hint", "share", "mailto:alice@mail.example")
    assert refused.code == 1
    assert "which contacts" in refused.err
    assert (
        "no contact of this name"
        in alice("hint", "share", "mailto:a@b.example", "--contact", "X").err
    )
    made = alice.ok("hint", "share", "mailto:alice@mail.example", "--contact", "Bob", "--json")
    assert made.one["contacts"] == ["Bob"]
    assert "you let know Bob" in alice.ok("hint", "list").out


def test_what_is_refused_is_said_plainly(alice: Home) -> None:
    for place, reason in (
        ("wss://192.168.1.1", "local network"),
        ("wss://relay.example:25", "port"),
        ("carrier-pigeon", "neither a relay"),
    ):
        result = alice("hint", "share", place)
        assert result.code == 1
        assert reason in result.err
        assert "Traceback" not in result.err
    assert alice("hint", "keep", SPARE).code == 1
    assert alice("hint", "unshare", SPARE).code == 1
    assert alice("hint", "use", "perhaps").code == 2
    assert "Nobody told you" in alice.ok("hint", "list").out


def test_a_running_node_answers_the_same(friends: tuple[Home, Home]) -> None:
    alice, _ = friends
    process = alice.up()
    try:
        alice.ok("hint", "share", SPARE)
        (shared,) = alice.ok("hint", "list", "--json").one["shared"]
        assert shared["place"] == SPARE
        alice.ok("hint", "use", "off")
        alice.ok("hint", "unshare", SPARE)
        assert alice("hint", "keep", SPARE).code == 1
        assert alice("hint", "remove", SPARE).code == 1
    finally:
        process.stop()
