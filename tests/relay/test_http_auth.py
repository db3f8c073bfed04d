"""Authorization of single requests (NIP-98)."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import pytest
from tests.relay.conftest import CRYPTO, NOW

from volok.relay.http_auth import WINDOW, Used, check_http_auth, same_place
from volok.relay.tokens import InvalidToken

BODY = b'{"method":"supportedmethods","params":[]}'
URL = "https://relay.example/"


def authorization(person, at=NOW, kind=27235, **tags: Any):
    named = {"u": URL, "method": "POST", "payload": hashlib.sha256(BODY).hexdigest()} | tags
    return person.event(kind, "", [[k, v] for k, v in named.items() if v is not None], at)


def check(event, now=NOW, method="POST", body=BODY):
    places = {"relay.example"}
    check_http_auth(event, CRYPTO, places=places, method=method, body=body, now=now)


@pytest.mark.parametrize(
    "url", ["https://relay.example", "wss://relay.example/", "https://RELAY.example:443", URL]
)
@pytest.mark.parametrize("age", [-WINDOW, 0, WINDOW])
def test_what_is_right_passes(people, url, age):
    check(authorization(people[0], at=NOW - age, u=url))


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"kind": 24242}, "27235"),
        ({"at": NOW - WINDOW - 1}, "minute"),
        ({"at": NOW + WINDOW + 1}, "minute"),
        ({"u": "https://other.example/"}, "URL"),
        ({"u": "https://relay.example/below"}, "URL"),
        ({"u": "https://relay.example:8443"}, "URL"),
        ({"u": "ftp://relay.example/"}, "URL"),
        ({"u": None}, "URL"),
        ({"method": "GET"}, "method"),
        ({"method": None}, "method"),
        ({"payload": "00" * 32}, "body"),
        ({"payload": None}, "body"),
    ],
)
def test_what_is_wrong_does_not(people, wrong, reason):
    with pytest.raises(InvalidToken, match=reason):
        check(authorization(people[0], **wrong))


def test_the_signature_counts(people):
    event = authorization(people[0])
    with pytest.raises(InvalidToken, match="signature"):
        check(replace(event, pubkey=people[1].pubkey))


def test_one_form_for_the_same_place():
    assert same_place("https://Relay.example/") == same_place("wss://relay.example:443")
    assert same_place("http://relay.example/") == "relay.example"
    assert same_place("http://127.0.0.1:7777/x/") == "127.0.0.1:7777/x"
    assert same_place("relay.example") is None
    assert same_place("javascript:alert(1)") is None
    assert same_place("https://user@relay.example/") is None


def test_each_is_used_once_and_what_is_old_is_forgotten(people):
    used = Used(most=2)
    first, second, third = (authorization(people[n]) for n in range(3))
    assert used.use(first, NOW)
    assert not used.use(first, NOW)
    assert used.use(second, NOW)
    assert not used.use(third, NOW)  # full: better refused than taken twice
    assert used.recent(NOW) == {first.id: NOW, second.id: NOW}
    later = authorization(people[3], at=NOW + WINDOW + 1)
    assert used.use(later, NOW + WINDOW + 1)
    assert used.recent(NOW + WINDOW + 1) == {later.id: NOW + WINDOW + 1}
    other = Used()
    other.note({third.id: NOW})
    assert not other.use(third, NOW)
