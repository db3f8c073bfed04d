"""One target for each parser, each with one invariant: it parses, or raises what it documents.

What parses must also come back unchanged from its own encoding. A target takes bytes, whatever
they are; anything that it raises is a bug. `run.py` feeds them, and a test replays the corpus.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import replace

from volok.chat.content import parse_content
from volok.chat.invite_codec import (
    InvalidInvite,
    encode_bundle,
    encode_file,
    parse_bundle,
    parse_file,
    parse_link,
)
from volok.chat.payload import InvalidPayload, encode_payload, parse_payload
from volok.model.envelope import InvalidEnvelope, encode_part, parse_part
from volok.model.event import InvalidEvent, parse_event
from volok.model.filenames import MAX_NAME, MAX_NAME_BYTES, safe_name
from volok.model.filters import InvalidFilter, parse_filter
from volok.model.nip19 import InvalidEntity, decode, encode, parse_uri, to_uri
from volok.model.supersession import address, deletion_targets, expiration, may_delete, supersedes
from volok.model.urls import InvalidUrl, blossom_base, normalise_relay_url, relay_host
from volok.sync.messages import InvalidMessage, parse_client_message, parse_relay_message

Target = Callable[[bytes], None]


def event(data: bytes) -> None:
    """`parse_event`, and the rules of supersession on what it gives."""
    try:
        parsed = parse_event(_json(data))
    except InvalidEvent:
        return
    assert parse_event(json.loads(parsed.to_json())) == parsed
    assert not supersedes(parsed, parsed)
    assert address(parsed) is None or parsed.kind < 40_000
    assert parsed.kind == 5 or not deletion_targets(parsed).ids
    assert not may_delete(parsed, parsed)
    assert (expiration(parsed) or 0) >= 0


def filter_(data: bytes) -> None:
    """`parse_filter`."""
    try:
        parsed = parse_filter(_json(data))
    except InvalidFilter:
        return
    assert parse_filter(parsed.to_object()) == parsed


def client_message(data: bytes) -> None:
    """`parse_client_message`."""
    try:
        parsed = parse_client_message(_json(data))
    except InvalidMessage:
        return
    assert parse_client_message(json.loads(parsed.to_text())) == parsed


def relay_message(data: bytes) -> None:
    """`parse_relay_message`."""
    try:
        parsed = parse_relay_message(_json(data))
    except InvalidMessage:
        return
    assert parse_relay_message(json.loads(parsed.to_text())) == parsed


def nip19(data: bytes) -> None:
    """`decode` and `parse_uri`."""
    text = _text(data)
    for read, write in ((decode, encode), (parse_uri, to_uri)):
        try:
            entity = read(text)
        except InvalidEntity:
            continue
        assert read(write(entity)) == entity


def url(data: bytes) -> None:
    """`normalise_relay_url` and what builds on it."""
    try:
        normal = normalise_relay_url(_text(data))
    except InvalidUrl:
        return
    assert normalise_relay_url(normal) == normal
    assert relay_host(normal) in normal
    assert blossom_base(normal).startswith("http")


def file_name(data: bytes) -> None:
    """`safe_name`, which refuses nothing."""
    name = safe_name(_text(data))
    assert safe_name(name) == name
    assert 0 < len(name) <= MAX_NAME
    assert len(name.encode()) <= MAX_NAME_BYTES
    assert name[0] not in ".-"
    assert not set(name) & set('/\\\0:*?"<>|\u202e\u2066')


def part(data: bytes) -> None:
    """`parse_part` of the envelope."""
    try:
        parsed = parse_part(data)
    except InvalidEnvelope:
        return
    assert parse_part(encode_part(parsed)) == parsed


def payload(data: bytes) -> None:
    """`parse_payload` and `parse_content`: what the inside of an Olm frame may hold."""
    try:
        parsed = parse_payload(data)
        parse_content(parsed.body)
    except InvalidPayload:
        return
    plain = replace(parsed, body={"type": "x"})  # a float may come as infinity, and not go back
    assert parse_payload(encode_payload(plain)) == plain


def invite(data: bytes) -> None:
    """`parse_link`, `parse_bundle` and `parse_file`."""
    with contextlib.suppress(InvalidInvite):
        link = parse_link(data.decode("latin-1"))
        assert (len(link.secret), len(link.hash)) == (16, 32)
    with contextlib.suppress(InvalidInvite):
        bundle = parse_bundle(data)
        assert parse_bundle(encode_bundle(bundle)).inbox == bundle.inbox
    with contextlib.suppress(InvalidInvite):
        assert encode_file(parse_file(data)) == data


TARGETS: dict[str, Target] = {
    "event": event,
    "filter": filter_,
    "client_message": client_message,
    "relay_message": relay_message,
    "nip19": nip19,
    "url": url,
    "file_name": file_name,
    "part": part,
    "payload": payload,
    "invite": invite,
}


def _json(data: bytes) -> object:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):  # Not what is tested here.
        return None


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8", "surrogatepass")  # A JSON decoder can give lone surrogates.
    except UnicodeDecodeError:
        return data.decode("latin-1")
