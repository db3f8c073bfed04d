"""Payloads, contents, invites and safety numbers as bytes: round trips and garbage."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volok.chat.content import Text, parse_content
from volok.chat.invite_codec import (
    MAX_LINK,
    InvalidInvite,
    InviteBundle,
    bundle_hash,
    encode_bundle,
    encode_file,
    encode_link,
    open_bundle,
    parse_bundle,
    parse_file,
    parse_link,
    seal_bundle,
)
from volok.chat.payload import InvalidPayload, Payload, encode_payload, parse_body, parse_payload
from volok.chat.records import from_text, to_text
from volok.chat.safety import safety_number
from volok.native import NativeCrypto

CRYPTO = NativeCrypto()
KINDS = (
    "hello", "welcome", "keys", "epoch", "text", "reaction", "edit", "delete", "timer", "ack",
    "nack", "invite-warning", "piece", "x",
)  # fmt: skip
FIELDS = (
    "name", "inbox", "sealing", "reset", "key", "token", "relays", "text", "n", "reply", "timer",
    "once", "files", "to", "seconds", "sessions", "read", "session", "start", "stop", "lost",
    "data",
)  # fmt: skip
KEY = st.binary(min_size=32, max_size=32)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
RELAYS = st.lists(
    st.from_regex(r"wss://[a-z]{1,40}\.example(:[1-9][0-9]{2,3})?", fullmatch=True), max_size=6
)


def _bundle(name: str = "Ana", relays: tuple[str, ...] = ("wss://r.example",)) -> InviteBundle:
    return InviteBundle(
        inbox=bytes(32),
        identity=bytes([1]) * 32,
        olm_key=bytes([2]) * 32,
        multiple=False,
        expires_at=1_900_000_000,
        sealing=CRYPTO.sealing_key().public,
        name=name,
        relays=relays,
    )


@given(KEY, KEY, st.binary(min_size=16, max_size=16), st.dictionaries(st.text(), JSON, max_size=3))
def test_payload_round_trip(one: bytes, other: bytes, content: bytes, body: dict[str, Any]) -> None:
    payload = Payload(one, other, content, content, bytes(8), 7, {**body, "type": "text"})
    assert parse_payload(encode_payload(payload)) == payload


@given(st.binary(max_size=400))
def test_any_bytes_as_payload(data: bytes) -> None:
    with contextlib.suppress(InvalidPayload):
        parse_payload(data)
    with contextlib.suppress(InvalidPayload):
        parse_payload(bytes([1]) + data.ljust(140, b"{"))


@given(
    st.sampled_from(KINDS),
    st.dictionaries(
        st.sampled_from(FIELDS),
        JSON,
        max_size=8,
    ),
)
def test_any_body_is_a_content_or_a_stated_error(kind: str, fields: dict[str, Any]) -> None:
    body = parse_body(json.dumps({**fields, "type": kind}).encode())
    with contextlib.suppress(InvalidPayload):
        content = parse_content(body)
        assert content is not None or kind == "x"


def test_deeply_nested_json_is_a_stated_error() -> None:
    with pytest.raises(InvalidPayload):
        parse_body(b'{"type":' + b"[" * 100_000)


def test_names_of_files_are_made_safe() -> None:
    file = {
        "kind": "picture",
        "name": "../../etc/passwd\u202egnp.exe",
        "mime": "image/png",
        "size": 1,
        "key": to_text(bytes(32)),
        "chunks": [["ab" * 32, 1040]],
    }
    content = parse_content({"type": "text", "text": "", "n": 1, "files": [file]})
    assert isinstance(content, Text)
    assert not set(content.files[0].name) & set("/\\\u202e")


@given(st.binary(max_size=80))
def test_text_of_bytes_round_trip(data: bytes) -> None:
    assert from_text(to_text(data)) == data


@given(st.text(max_size=80), RELAYS)
def test_bundle_round_trip(name: str, relays: list[str]) -> None:
    data = encode_bundle(_bundle(name, tuple(relays)))
    parsed = parse_bundle(data)
    assert parsed.relays == tuple(relays)
    assert name.encode().startswith(parsed.name.encode())
    secret = bytes(16)
    sealed = seal_bundle(CRYPTO, secret, data)
    assert len(sealed) == 2160
    assert open_bundle(CRYPTO, secret, sealed) == data
    with pytest.raises(InvalidInvite):
        open_bundle(CRYPTO, bytes([1]) * 16, sealed)


@given(KEY, RELAYS)
def test_link_round_trip(secret: bytes, relays: list[str]) -> None:
    bundle = encode_bundle(_bundle(relays=tuple(relays)))
    link = encode_link(secret[:16], bundle, tuple(relays))
    assert len(link) <= MAX_LINK
    parsed = parse_link(f"Take this: {link}\nSee you")
    assert (parsed.secret, parsed.hash) == (secret[:16], bundle_hash(bundle))
    assert set(parsed.relays) <= set(relays)
    assert bool(parsed.relays) == bool(relays)


def test_a_link_leaves_out_transports_that_do_not_fit() -> None:
    plain = f"wss://203.0.113.11:8443/{'s' * 22}#{'A' * 22}"
    short, long = f"{plain}&pt=obfs4;:1;a=b", f"{plain}&pt=obfs4;:4443;cert={'c' * 70}"
    bundle = encode_bundle(_bundle(relays=(long,)))
    assert parse_bundle(bundle).relays == (long,)
    assert parse_link(encode_link(bytes(16), bundle, (long,))).relays == (plain,)
    assert parse_link(encode_link(bytes(16), bundle, (short,))).relays == (short,)


@given(st.text(max_size=120), st.binary(max_size=1600))
def test_garbage_is_a_stated_error(text: str, data: bytes) -> None:
    for parser, value in (
        (parse_link, text),
        (parse_link, "volok:i1/" + text),
        (parse_bundle, data),
        (parse_bundle, b"\x01" + data.ljust(1400, b"\xff")),
        (parse_file, data),
    ):
        with contextlib.suppress(InvalidInvite):
            parser(value)  # type: ignore[operator]


@given(st.integers(0, 1500), st.integers(1, 255))
def test_an_altered_invite_file_is_refused(place: int, change: int) -> None:
    data = bytearray(encode_file(encode_bundle(_bundle())))
    data[place % len(data)] ^= change
    with pytest.raises(InvalidInvite):
        parse_file(bytes(data))


def test_safety_number() -> None:
    one, other = bytes(range(32)), bytes(range(32, 64))
    number = safety_number(one, other)
    assert number == safety_number(other, one)
    assert number != safety_number(one, one)
    # Frozen: people compare it between versions.
    assert number.digits == "657477641989578545361067374680230300071244021979070685336553"
