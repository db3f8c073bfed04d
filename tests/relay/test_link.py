"""The address of a relay, its secret path and its key, kept in its folder."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from volok.app.cli.relay_certificate import KEY_FILE, kept_certificate
from volok.model.relay_link import split_fragment
from volok.relay.errors import RelayError
from volok.relay.link import (
    AUTO,
    NONE,
    Reachable,
    kept,
    links,
    onion_port,
    recall,
    remember,
    secret_path,
)
from volok.relay.onion import kept_key
from volok.relay.settings import RelaySettings
from volok.relay.tls import file_pin, server_context

PIN = bytes(16).hex()
SECRET = "S" * 22
RELAY = Reachable("0.0.0.0", 8443, True, SECRET, PIN, ())
FRAGMENT = "#" + "A" * 22
ONION = "a" * 56
TRANSPORT = "obfs4;:4443;cert=a+b/c;iat-mode=0"
OLD_STATES = Path(__file__).parents[1] / "old_states"


def test_addresses() -> None:
    assert links(RELAY, ["relay.example", "203.0.113.11", "2001:db8::1"]) == [
        f"wss://relay.example:8443/{SECRET}{FRAGMENT}",
        f"wss://203.0.113.11:8443/{SECRET}{FRAGMENT}",
        f"wss://[2001:db8::1]:8443/{SECRET}{FRAGMENT}",
    ]
    assert links(RELAY, ["relay.example"], port=443, sni="www.example.org") == [
        f"wss://relay.example/{SECRET}{FRAGMENT}&sni=www.example.org"
    ]
    assert links(RELAY, ["relay.example"], pinned=False) == [f"wss://relay.example:8443/{SECRET}"]
    with pytest.raises(RelayError, match="--host"):
        links(RELAY)
    with pytest.raises(RelayError, match="no address"):
        links(RELAY, ["not a host"])


def test_addresses_of_a_relay_behind_a_web_server() -> None:
    plain = Reachable("127.0.0.1", 7777, False, SECRET, "", ("wss://relay.example",))
    assert links(plain) == [f"wss://relay.example/{SECRET}"]
    assert links(plain, ["other.example"]) == [f"wss://other.example/{SECRET}"]
    with pytest.raises(RelayError, match="--tls"):
        links(plain, sni="www.example.org")
    assert links(Reachable("127.0.0.1", 7777, False, "", "", ())) == ["ws://127.0.0.1:7777"]


def test_how_it_is_reached_is_kept(tmp_path: Path) -> None:
    with pytest.raises(RelayError, match="Start it once"):
        recall(tmp_path)
    remember(tmp_path, RELAY)
    assert recall(tmp_path) == RELAY
    for damaged in (b"", b"[]", b"{}", b'{"pin": 1}', b'{"pin":"zz"}'):
        (tmp_path / "link.json").write_bytes(damaged)
        with pytest.raises(RelayError):
            recall(tmp_path)


def test_the_secret_is_made_once(tmp_path: Path) -> None:
    assert secret_path(tmp_path, NONE, os.urandom) == ""
    assert not list(tmp_path.iterdir())
    made = secret_path(tmp_path / "new", AUTO, os.urandom)
    assert len(made) == 22
    RelaySettings(secret_path=made)
    assert secret_path(tmp_path / "new", AUTO, os.urandom) == made
    assert secret_path(tmp_path / "new", "p" * 20, os.urandom) == "p" * 20
    assert secret_path(tmp_path / "new", AUTO, os.urandom) == "p" * 20
    for bad in ("short", "x" * 65, "a/b" * 8, "é" * 20):
        with pytest.raises(RelayError):
            RelaySettings(secret_path=bad)


def test_the_key_is_made_once_and_is_private(tmp_path: Path) -> None:
    certificate, key = kept_certificate(tmp_path, "localhost", lambda: 1_800_000_000)
    assert key.stat().st_mode & 0o777 == 0o600
    before = file_pin(certificate), key.read_bytes()
    kept_certificate(tmp_path, "localhost", lambda: 1_900_000_000)
    assert (file_pin(certificate), (tmp_path / KEY_FILE).read_bytes()) == before
    context = server_context(certificate, key)
    assert context.num_tickets == 0


def test_certificates_that_cannot_be_used(tmp_path: Path) -> None:
    certificate, _ = kept_certificate(tmp_path / "a", "localhost", lambda: 0)
    _, other = kept_certificate(tmp_path / "b", "localhost", lambda: 0)
    for key in (other, tmp_path / "gone", certificate):
        with pytest.raises(RelayError, match="PEM"):
            server_context(certificate, key)
    for file in (tmp_path / "gone", other):
        with pytest.raises(RelayError, match="PEM"):
            file_pin(file)


def test_transports_and_onions_are_part_of_the_address() -> None:
    hidden = replace(RELAY, transports=(TRANSPORT,), onion=ONION)
    assert links(hidden, ["203.0.113.11"], sni="www.example.org") == [
        f"wss://203.0.113.11:8443/{SECRET}{FRAGMENT}&sni=www.example.org&pt={TRANSPORT}",
        # It is known by its own key and by the relay's.
        f"wss://{ONION}.onion/{SECRET}{FRAGMENT}",
    ]
    pin = split_fragment(links(hidden, ["203.0.113.11"])[0])[1]
    assert pin is not None
    assert [one.name for one in pin.transports] == ["obfs4"]
    # Where nobody reaches it otherwise, there is nothing else to hand out.
    onion_alone = Reachable("127.0.0.1", 7777, False, "", "", (), (), ONION)
    assert links(onion_alone) == [f"ws://{ONION}.onion"]
    assert (onion_port(onion_alone), onion_port(hidden)) == (80, 443)
    assert links(replace(onion_alone, urls=("wss://relay.example",))) == [
        "wss://relay.example",
        f"ws://{ONION}.onion",
    ]


async def test_what_older_versions_kept_is_read(tmp_path: Path) -> None:
    assert recall(OLD_STATES / "relay_v1") == replace(
        RELAY, host="203.0.113.11", urls=("wss://relay.example",)
    )
    later = recall(OLD_STATES / "relay_v2")
    assert (later.transports, later.onion) == ((TRANSPORT,), ONION)
    assert [one.port for one in kept(OLD_STATES / "relay_v2")] == [4443]
    assert kept(tmp_path) == kept(OLD_STATES / "relay_v1") == ()

    async def nobody() -> None:
        raise AssertionError

    key = await kept_key(OLD_STATES / "relay_v2", nobody)  # type: ignore[arg-type]
    assert key.address == ONION
    for damaged in ("", "[]", "{}", '{"version": 1, "address": "x", "key": "y"}', '{"version": 2}'):
        (tmp_path / "onion-key.json").write_text(damaged)
        with pytest.raises(RelayError):
            await kept_key(tmp_path, nobody)  # type: ignore[arg-type]
