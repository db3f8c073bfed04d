"""Events: shape, canonical form, id, signature (NIP-01)."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

import nostr_sdk
import pytest
from hypothesis import given
from hypothesis import strategies as st

from volok.model.crypto import CryptoError
from volok.model.event import (
    MAX_KIND,
    MAX_TIME,
    Event,
    InvalidEvent,
    compact_json,
    event_id,
    kind_of,
    parse_event,
    sign_event,
    verify_event,
    verify_raw,
)
from volok.native import NativeCrypto

CRYPTO = NativeCrypto()
SECRET = bytes(range(1, 33))
PUBKEY = CRYPTO.public_key(SECRET).hex()
GOOD: dict[str, Any] = json.loads(
    sign_event(CRYPTO, SECRET, 1_700_000_000, 1, [("e", "a" * 64), ("t", "x")], "Hi").to_json()
)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=50)
tags = st.lists(st.lists(texts, min_size=1, max_size=4), max_size=4)
junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=70),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4)
    ),
    max_leaves=10,
)
nearly = st.builds(lambda field, value: {**GOOD, field: value}, st.sampled_from([*GOOD]), junk)


@given(st.integers(0, MAX_TIME), st.integers(0, 65535), tags, texts)
def test_signed_events_come_back_from_their_json(
    created_at: int, kind: int, tags: list[list[str]], content: str
) -> None:
    event = sign_event(CRYPTO, SECRET, created_at, kind, tags, content)
    again = parse_event(json.loads(event.to_json()))
    assert again == event
    assert again.to_json() == event.to_json()
    assert verify_event(again, CRYPTO)
    assert (event.pubkey, event.created_at, event.kind) == (PUBKEY, created_at, kind)
    assert (event.tags, event.content) == (tuple(map(tuple, tags)), content)


@given(junk | nearly)
def test_what_is_no_event_raises_invalid_event(obj: object) -> None:
    try:
        event = parse_event(obj)
    except InvalidEvent:
        return
    assert json.loads(event.to_json()) == obj


def test_id_is_the_hash_of_the_canonical_serialisation() -> None:
    content = 'line\n quote" back\\slash \r\t\b\f / é 😀 \u2028 \x7f'
    serialised = (
        f'[0,"{PUBKEY}",12,1,[["t","ü"]],'
        '"line\\n quote\\" back\\\\slash \\r\\t\\b\\f / é 😀 \u2028 \x7f"]'
    )
    expected = hashlib.sha256(serialised.encode()).hexdigest()
    assert event_id(PUBKEY, 12, 1, [("t", "ü")], content) == expected


@given(tags, texts)
def test_another_implementation_agrees(tags: list[list[str]], content: str) -> None:
    event = sign_event(CRYPTO, SECRET, 1, 1, tags, content)
    theirs = nostr_sdk.Event.from_json(event.to_json().decode())
    assert theirs.verify()
    assert theirs.as_json().encode() == event.to_json()


def test_to_json_has_the_keys_in_order_and_no_spaces() -> None:
    event = parse_event(dict(reversed(GOOD.items())))
    assert event.to_json().decode() == compact_json(
        {
            "id": event.id,
            "pubkey": PUBKEY,
            "created_at": 1_700_000_000,
            "kind": 1,
            "tags": [["e", "a" * 64], ["t", "x"]],
            "content": "Hi",
            "sig": event.sig,
        }
    )
    assert event.to_json() is event.to_json()


def test_known_json_is_kept_and_does_not_count_for_equality() -> None:
    event = parse_event(GOOD)
    kept = parse_event(GOOD, event.to_json())
    assert kept.raw is event.raw
    bare = Event(*(getattr(event, name) for name in GOOD))
    assert (bare.raw, bare == event, hash(bare)) == (b"", True, hash(event))
    assert bare.to_json() == event.to_json()


def test_nul_is_carried_and_escaped() -> None:
    event = sign_event(CRYPTO, SECRET, 1, 1, [("t", "\0")], "a\0b")
    assert b'"a\\u0000b"' in event.to_json()
    assert b"\0" not in event.to_json()
    assert parse_event(json.loads(event.to_json())).content == "a\0b"


def test_fields_that_no_signature_covers_are_dropped() -> None:
    assert parse_event({**GOOD, "seen_on": ["wss://relay.example"]}) == parse_event(GOOD)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", GOOD["id"].upper()),
        ("id", GOOD["id"][:-1]),
        ("id", GOOD["id"] + "\n"),
        ("pubkey", "g" * 64),
        ("pubkey", None),
        ("sig", GOOD["sig"] + "00"),
        ("sig", GOOD["id"]),
        ("created_at", True),
        ("created_at", -1),
        ("created_at", 1.0),
        ("created_at", MAX_TIME + 1),
        ("kind", 65536),
        ("kind", -1),
        ("kind", False),
        ("kind", "1"),
        ("tags", None),
        ("tags", {}),
        ("tags", [[]]),
        ("tags", ["e"]),
        ("tags", [["e", None]]),
        ("tags", [["e", ["x"]]]),
        ("tags", [["e", "\udfff"]]),
        ("content", None),
        ("content", 1),
        ("content", "\ud800"),
    ],
)
def test_wrong_field(field: str, value: object) -> None:
    with pytest.raises(InvalidEvent):
        parse_event({**GOOD, field: value})


@pytest.mark.parametrize("field", GOOD)
def test_missing_field(field: str) -> None:
    with pytest.raises(InvalidEvent):
        parse_event({name: value for name, value in GOOD.items() if name != field})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", "0" * 64),
        ("pubkey", CRYPTO.public_key(bytes([7]) * 32).hex()),
        ("pubkey", "f" * 64),
        ("created_at", 1_700_000_001),
        ("kind", 2),
        ("tags", []),
        ("content", "Ho"),
        ("sig", "0" * 128),
    ],
)
def test_altered_events_do_not_verify(field: str, value: object) -> None:
    assert verify_event(parse_event(GOOD), CRYPTO)
    assert not verify_event(parse_event({**GOOD, field: value}), CRYPTO)


def test_an_id_made_to_fit_does_not_help_a_forger() -> None:
    forged = {**GOOD, "content": "Ho"}
    forged["id"] = event_id(PUBKEY, forged["created_at"], 1, forged["tags"], "Ho")
    assert not verify_event(parse_event(forged), CRYPTO)


def test_signing_refuses_what_is_no_event_or_key() -> None:
    with pytest.raises(InvalidEvent):
        sign_event(CRYPTO, SECRET, 1, 1, [], "\ud800")
    with pytest.raises(InvalidEvent):
        sign_event(CRYPTO, SECRET, -1, 1, [], "")
    with pytest.raises(InvalidEvent):
        sign_event(CRYPTO, SECRET, 1, 1, [()], "")
    with pytest.raises(CryptoError):
        sign_event(CRYPTO, bytes(32), 1, 1, [], "")


def test_tags_by_name() -> None:
    tags = [["p"], ["p", "one", "more"], ["e", "x"], ["p", "two"], ["P", "three"]]
    event = parse_event({**GOOD, "tags": tags})
    assert event.tag("p") == "one"
    assert event.values("p") == ("one", "two")
    assert event.tag("d") is None
    assert event.values("d") == ()


_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.sampled_from(
    [',"content":', '],"content":"', '","tags":[', "\\", '\\",\\"content\\":\\"', ',"kind":1,']
)


@given(
    st.lists(st.lists(_TEXTS, min_size=1, max_size=3), max_size=3),
    _TEXTS,
    st.integers(0, MAX_KIND),
    st.integers(0, MAX_TIME),
)
def test_id_and_kind_are_found_in_canonical_json(tags, content, kind, created_at) -> None:
    name = event_id(PUBKEY, created_at, kind, tags, content)
    event = parse_event(
        {
            "id": name,
            "pubkey": PUBKEY,
            "created_at": created_at,
            "kind": kind,
            "tags": tags,
            "content": content,
            "sig": CRYPTO.sign(SECRET, bytes.fromhex(name)).hex(),
        }
    )
    assert kind_of(event.to_json()) == kind
    assert verify_raw(event.to_json(), CRYPTO)
    assert not verify_raw(replace(event, id="0" * 64).to_json(), CRYPTO)
    altered = {**json.loads(event.to_json()), "content": content + "x"}
    assert not verify_raw(parse_event(altered).to_json(), CRYPTO)
