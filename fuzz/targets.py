"""One target for each parser, each with one invariant: it parses, or raises what it documents.

What parses must also come back unchanged from its own encoding. A target takes bytes, whatever
they are; anything that it raises is a bug. `run.py` feeds them, and a test replays the corpus.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256

import orjson

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
from volok.relay.frames import CLOSE, FrameReader, Message
from volok.relay.outputs import (
    CheckAuth,
    Output,
    Query,
    SendEntry,
    SendText,
    Subscribe,
    TakeIn,
    Tally,
    Unsubscribe,
)
from volok.relay.protocol import Connection
from volok.relay.settings import RelaySettings
from volok.store.store import Entry, Outcome
from volok.sync.messages import InvalidMessage, parse_client_message, parse_relay_message
from volok.sync.negentropy import Responder
from volok.sync.negentropy_codec import InvalidFrame
from volok.sync.negentropy_records import Records

Target = Callable[[bytes], None]

_LONGEST = 1000
_HEAD = 7
_ROUNDS = 64
_SPOKEN = ("AUTH", "CLOSED", "COUNT", "EOSE", "EVENT", "NEG-ERR", "NOTICE", "OK")
_FRAME_LIMIT = 4096
_RESPONDER = Responder(
    Records.of(n.to_bytes(8, "big") + sha256(bytes([n])).digest() for n in range(100)),
    _FRAME_LIMIT,
)


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


def frames(data: bytes) -> None:
    """`FrameReader`: in pieces or as a whole, the same bytes give the same messages."""
    whole, pieces = FrameReader(_LONGEST), FrameReader(_LONGEST)
    messages = whole.receive(data)
    found: list[Message] = []
    step = 1 + len(data) % 7
    for start in range(0, len(data), step):
        found += pieces.receive(data[start : start + step])
    assert found == messages
    assert pieces.failure == whole.failure
    assert whole.failure is None or 1000 < whole.failure < 1016
    assert all(len(message.payload) <= _LONGEST for message in messages)
    assert all(len(message.payload) <= 125 for message in messages if message.opcode >= CLOSE)


def connection(data: bytes) -> None:
    """`Connection`: lines are frames, and whatever it asks for is answered at once. Every text that
    it sends is a message, every EVENT gets one OK, and no line raises."""
    talk = _Talk()
    for line in data.split(b"\n")[:_ROUNDS]:
        talk.line(line)
    talk.carry_out(talk.connection.closed())


class _Talk:
    """A connection, and an outside that answers what it asks for."""

    def __init__(self) -> None:
        self.settings = RelaySettings(max_subscriptions=4, max_filters=4, max_message_length=4096)
        self.connection = Connection(self.settings, "challenge")
        self.head = _HEAD
        self.oks = 0
        self.open: set[str] = set()
        self.carry_out(self.connection.opened())

    def line(self, line: bytes) -> None:
        """One frame."""
        try:
            value = orjson.loads(line)
        except orjson.JSONDecodeError:
            self.carry_out(self.connection.frame_malformed())
            return
        before = self.oks
        self.carry_out(self.connection.frame_received(value, len(line), 1_800_000_000, self.head))
        with contextlib.suppress(InvalidMessage):
            parse_client_message(value)
            assert self.oks - before == (value[0] in ("EVENT", "AUTH"))

    def carry_out(self, outputs: list[Output]) -> None:
        """Do what it says, and answer."""
        connection = self.connection
        for output in outputs:
            match output:
                case SendText(text):
                    self.sent(text)
                case SendEntry(head, entry):
                    self.sent(f"{head}{entry.raw.decode()}]")
                case TakeIn(event):
                    self.head += 1
                    self.carry_out(connection.event_settled(event, Outcome.ADDED))
                    entry = Entry(self.head, event.to_json(), event)
                    self.carry_out(connection.entry_appeared(tuple(self.open), entry))
                case CheckAuth(event):
                    self.carry_out(connection.auth_checked(event, None))
                case Subscribe(name):
                    self.open.add(name)
                    assert len(self.open) <= self.settings.max_subscriptions
                case Unsubscribe(name):
                    self.open.remove(name)
                case Query():
                    self.carry_out(connection.query_answered(output, []))
                case Tally(name):
                    self.carry_out(connection.tallied(name, 3))

    def sent(self, text: str) -> None:
        """A text frame goes to the client."""
        message = orjson.loads(text.encode())
        assert message[0] in _SPOKEN, message
        self.oks += message[0] == "OK"


def negentropy(data: bytes) -> None:
    """`Responder.answer`: a frame within its limit, or InvalidFrame."""
    try:
        answer = _RESPONDER.answer(data)
    except InvalidFrame:
        return
    assert answer[0] == 0x61
    assert len(answer) <= _FRAME_LIMIT


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
    "frames": frames,
    "connection": connection,
    "negentropy": negentropy,
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
