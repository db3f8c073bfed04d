"""Blossom tokens: the six rules of BUD-11 and the signature."""

from __future__ import annotations

import base64
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volok.native import NativeCrypto
from volok.relay.tokens import InvalidToken, check_token, parse_token

NOW = 1_800_000_000
BLOB, OTHER = "aa" * 32, "bb" * 32
GOOD = [["t", "upload"], ["x", BLOB], ["expiration", str(NOW + 60)]]


def check(token, verb="upload", blob=BLOB):
    check_token(token, NativeCrypto(), verb=verb, blob=blob, hosts={"relay.example"}, now=NOW)


@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
@pytest.mark.parametrize("padded", [True, False])
def test_either_alphabet_with_and_without_padding(people, encode, padded):
    token = people[0].event(24242, "Upload ~~~???", GOOD)
    text = encode(token.to_json()).decode()
    assert parse_token("Nostr " + (text if padded else text.rstrip("="))) == token


@pytest.mark.parametrize(
    "tags",
    [
        GOOD,
        [*GOOD, ["x", OTHER]],
        [*GOOD, ["server", "else.example"], ["server", "relay.example"]],
    ],
)
def test_good_tokens(people, tags):
    check(people[0].event(24242, "Upload", tags))


@pytest.mark.parametrize(
    ("kind", "at", "tags"),
    [
        (1, NOW, GOOD),
        (24242, NOW + 3600, GOOD),
        (24242, NOW, GOOD[:2]),
        (24242, NOW, [*GOOD[:2], ["expiration", str(NOW)]]),
        (24242, NOW, [*GOOD[:2], ["expiration", "soon"]]),
        (24242, NOW, GOOD[1:]),
        (24242, NOW, [["t", "delete"], *GOOD[1:]]),
        (24242, NOW, [*GOOD, ["server", "else.example"]]),
        (24242, NOW, [GOOD[0], GOOD[2]]),
        (24242, NOW, [GOOD[0], ["x", OTHER], GOOD[2]]),
    ],
)
def test_bad_tokens(people, kind, at, tags):
    token = people[0].event(kind, "Upload", tags, at)
    with pytest.raises(InvalidToken):
        check(token)


def test_a_changed_token(people):
    token = people[0].event(24242, "Upload", GOOD)
    with pytest.raises(InvalidToken):
        check(replace(token, tags=(*token.tags, ("x", OTHER))), blob=OTHER)


@given(
    st.none()
    | st.text()
    | st.binary().map(lambda data: "Nostr " + base64.b64encode(data).decode())
    | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(
        lambda value: "Nostr " + base64.b64encode(json.dumps(value).encode()).decode()
    )
)
def test_any_other_header_is_refused(header):
    with pytest.raises(InvalidToken):
        parse_token(header)
