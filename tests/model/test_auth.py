"""Authentication to relays (NIP-42)."""

from __future__ import annotations

import dataclasses

import pytest

from volok.model.auth import AUTH, InvalidAuth, auth_event, check_auth
from volok.model.event import Event, sign_event
from volok.model.keys import KeyPair
from volok.native import NativeCrypto

CRYPTO = NativeCrypto()
PAIR = KeyPair.from_secret(CRYPTO, bytes(range(1, 33)))
NOW = 1_700_000_000
HOSTS = {"relay.example", "127.0.0.1"}


def check(event: Event, now: float = NOW) -> str:
    return check_auth(event, CRYPTO, challenge="c", hosts=HOSTS, now=now)


def answer(*tags: tuple[str, ...], kind: int = AUTH) -> Event:
    return sign_event(CRYPTO, PAIR.secret, NOW, kind, tags, "")


@pytest.mark.parametrize(
    "relay",
    ["wss://relay.example", "wss://Relay.Example:443/", "ws://127.0.0.1:7000/path?x=1"],
)
def test_accepted(relay: str) -> None:
    event = auth_event(CRYPTO, PAIR.secret, relay, "c", NOW)
    assert (event.kind, event.tag("relay"), event.tag("challenge")) == (22242, relay, "c")
    assert check(event) == PAIR.public


@pytest.mark.parametrize(("off", "accepted"), [(-601, 0), (-600, 1), (600, 1), (601, 0)])
def test_clocks_may_differ_by_ten_minutes(off: int, accepted: int) -> None:
    event = auth_event(CRYPTO, PAIR.secret, "wss://relay.example", "c", NOW)
    if accepted:
        assert check(event, NOW + off) == PAIR.public
    else:
        with pytest.raises(InvalidAuth):
            check(event, NOW + off)


@pytest.mark.parametrize(
    "event",
    [
        answer(("relay", "wss://relay.example"), ("challenge", "c"), kind=1),
        answer(("relay", "wss://relay.example"), ("challenge", "d")),
        answer(("relay", "wss://relay.example")),
        answer(("relay", "wss://relay.example.evil"), ("challenge", "c")),
        answer(("relay", "relay.example"), ("challenge", "c")),
        answer(("challenge", "c")),
    ],
)
def test_refused(event: Event) -> None:
    with pytest.raises(InvalidAuth):
        check(event)


def test_a_forged_signature_is_refused() -> None:
    event = auth_event(CRYPTO, PAIR.secret, "wss://relay.example", "c", NOW)
    other = KeyPair.generate(CRYPTO).public
    for forged in (
        dataclasses.replace(event, sig="0" * 128),
        dataclasses.replace(event, pubkey=other),
        dataclasses.replace(event, content="x"),
    ):
        with pytest.raises(InvalidAuth):
            check(forged)


def test_the_fragment_of_a_pinned_relay_stays_at_home() -> None:
    relay = "wss://relay.example/SECRET#" + "A" * 22
    event = auth_event(CRYPTO, PAIR.secret, relay, "c", NOW)
    assert event.tag("relay") == "wss://relay.example/SECRET"
    assert check(event) == PAIR.public
