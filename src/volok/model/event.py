"""Nostr events (NIP-01): their shape, canonical form, id and signature.

The rules of this file:

1. Ids, keys and signatures are lower-case hexadecimal text, as on the wire.
2. An `Event` is a value. `parse_event` takes an object that a JSON decoder gave and raises
   `InvalidEvent` for whatever is not exactly the shape of NIP-01; nothing else raises.
3. Shape is not truth: `verify_event` checks that the id is the hash and the signature holds.
4. Fields that NIP-01 does not name are dropped: no signature covers them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from volok.model.crypto import Signer, Verifier

Tags = tuple[tuple[str, ...], ...]

MAX_KIND = 65535
MAX_TIME = 2**53
"""The largest number of seconds that every JSON implementation reads exactly."""

_HEX_32 = re.compile("[0-9a-f]{64}")
_HEX_64 = re.compile("[0-9a-f]{128}")

_ID, _PUBKEY, _SIG = slice(7, 71), slice(83, 147), slice(-130, -2)
_KIND_AFTER = 162
_SIG_BYTES = 138
"""Where canonical JSON has the values of these fields, the number of `created_at` and, counted from
the end, the comma before `sig`."""

compact_json = json.JSONEncoder(
    ensure_ascii=False, check_circular=False, separators=(",", ":")
).encode
"""JSON text as NIP-01 hashes it: no white space, nothing escaped that need not be."""

quoted = json.encoder.encode_basestring
"""What `compact_json` makes of a string, much sooner."""


class InvalidEvent(ValueError):
    """This is not a Nostr event."""


def is_hex32(value: object) -> bool:
    """Whether `value` is 32 bytes in lower-case hexadecimal: an event id or a public key."""
    return type(value) is str and _HEX_32.fullmatch(value) is not None


def is_time(value: object) -> bool:
    """Whether `value` is a number of Unix seconds that NIP-01 can carry."""
    return type(value) is int and 0 <= value <= MAX_TIME


def is_kind(value: object) -> bool:
    """Whether `value` is the number of a kind (NIP-01)."""
    return type(value) is int and 0 <= value <= MAX_KIND


@dataclass(frozen=True, slots=True, init=False)
class Event:
    """A signed Nostr event (NIP-01)."""

    id: str
    pubkey: str
    created_at: int
    """Unix seconds."""
    kind: int
    tags: Tags
    content: str
    sig: str
    raw: bytes = field(default=b"", init=False, compare=False, repr=False)
    """Canonical JSON if it is known already; `to_json` gives it in any case."""

    def __init__(
        self, id: str, pubkey: str, created_at: int, kind: int, tags: Tags, content: str, sig: str
    ) -> None:
        # What the decorator would write takes twice as long, and a relay makes many.
        _set_id(self, id)
        _set_pubkey(self, pubkey)
        _set_created_at(self, created_at)
        _set_kind(self, kind)
        _set_tags(self, tags)
        _set_content(self, content)
        _set_sig(self, sig)
        _set_raw(self, b"")

    def to_json(self) -> bytes:
        """The event as one compact JSON object in UTF-8, keys in the order of NIP-01."""
        if not self.raw:
            # A cache of what the other fields say already, so the value stays the same.
            _set_raw(self, _canonical(self))
        return self.raw

    def tag(self, name: str) -> str | None:
        """The first value of the first tag called `name` that has one."""
        for tag in self.tags:
            if tag[0] == name and len(tag) > 1:
                return tag[1]
        return None

    def values(self, name: str) -> tuple[str, ...]:
        """The first value of every tag called `name`, in order."""
        return tuple(tag[1] for tag in self.tags if tag[0] == name and len(tag) > 1)


_set_id, _set_pubkey, _set_created_at, _set_kind, _set_tags, _set_content, _set_sig, _set_raw = (
    getattr(Event, one.name).__set__ for one in fields(Event)
)


def parse_event(obj: object, raw: bytes = b"") -> Event:
    """Read an event from what a JSON decoder gave. Raises InvalidEvent.

    `raw` may hand over the canonical JSON of the same event, as a store has it.
    """
    if type(obj) is not dict:
        raise InvalidEvent("An event is an object.")
    if not is_hex32(obj.get("id")):
        raise InvalidEvent("The id is not 64 lower-case hexadecimal characters.")
    if not is_hex32(obj.get("pubkey")):
        raise InvalidEvent("The pubkey is not 64 lower-case hexadecimal characters.")
    if not is_time(obj.get("created_at")):
        raise InvalidEvent("created_at is not a number of seconds.")
    if not is_kind(obj.get("kind")):
        raise InvalidEvent("The kind is not between 0 and 65535.")
    content, sig = obj.get("content"), obj.get("sig")
    if type(content) is not str:
        raise InvalidEvent("The content is not a string.")
    if type(sig) is not str or _HEX_64.fullmatch(sig) is None:
        raise InvalidEvent("The sig is not 128 lower-case hexadecimal characters.")
    _check_tags(obj.get("tags"))
    event = event_of(obj, raw)
    event.to_json()  # Made here because it also finds text that UTF-8 cannot carry.
    return event


def event_of(obj: Mapping[str, Any], raw: bytes) -> Event:
    """The same for what is known to be an event. Anything may be raised where it is none."""
    event = Event(
        obj["id"],
        obj["pubkey"],
        obj["created_at"],
        obj["kind"],
        tuple(map(tuple, obj["tags"])),
        obj["content"],
        obj["sig"],
    )
    if raw:
        _set_raw(event, raw)
    return event


def event_id(
    pubkey: str, created_at: int, kind: int, tags: Iterable[Sequence[str]], content: str
) -> str:
    """The id of an event: the SHA-256 of its serialisation (NIP-01).

    Raises InvalidEvent when the text holds lone surrogates, which UTF-8 cannot carry.
    """
    text = compact_json([0, pubkey, created_at, kind, tuple(tags), content])
    return hashlib.sha256(_utf8(text)).hexdigest()


def sign_event(
    signer: Signer,
    secret_key: bytes,
    created_at: int,
    kind: int,
    tags: Iterable[Sequence[str]],
    content: str,
) -> Event:
    """Make a signed event with a 32-byte secret key.

    Raises InvalidEvent when the parts do not make an event, CryptoError for a bad key.
    """
    fields = [list(tag) for tag in tags]
    pubkey = signer.public_key(secret_key).hex()
    name = event_id(pubkey, created_at, kind, fields, content)
    return parse_event(
        {
            "id": name,
            "pubkey": pubkey,
            "created_at": created_at,
            "kind": kind,
            "tags": fields,
            "content": content,
            "sig": signer.sign(secret_key, bytes.fromhex(name)).hex(),
        }
    )


def verify_event(event: Event, verifier: Verifier) -> bool:
    """Whether the id is the hash of the event and the signature is its author's (BIP-340)."""
    parts = (event.pubkey, event.created_at, event.kind, event.tags, event.content)
    return event.id == event_id(*parts) and _is_signed(event, verifier)


def verify_raw(raw: bytes, verifier: Verifier) -> bool:
    """The same, quicker, for the canonical JSON that `Event.to_json` gives."""
    name = raw[_ID]
    return name == _hash_of(raw) and verifier.verify(
        *(bytes.fromhex(part.decode()) for part in (raw[_PUBKEY], name, raw[_SIG]))
    )


def _is_signed(event: Event, verifier: Verifier) -> bool:
    return verifier.verify(
        bytes.fromhex(event.pubkey), bytes.fromhex(event.id), bytes.fromhex(event.sig)
    )


def _hash_of(raw: bytes) -> bytes:
    """What `event_id` gives, from canonical JSON: all but the names of the fields stands there."""
    middle = raw[_KIND_AFTER:-_SIG_BYTES]
    number, _, rest = middle.partition(b',"kind":')
    kind, _, rest = rest.partition(b',"tags":')
    # Within a string every quotation mark has a backslash before it, so this is none.
    tags, _, content = rest.partition(b',"content":')
    text = b'[0,"%b",%b,%b,%b,%b]' % (raw[_PUBKEY], number, kind, tags, content)
    return hashlib.sha256(text).hexdigest().encode()


def kind_of(raw: bytes) -> int:
    """The kind of an event in canonical JSON, without parsing the rest of it."""
    # What stands before is as long as ever, but for a number.
    start = raw.index(b',"kind":', _KIND_AFTER) + 8
    return int(raw[start : raw.index(b",", start)])


def _check_tags(value: object) -> None:
    if type(value) is not list:
        raise InvalidEvent("The tags are not a list.")
    for tag in value:
        if type(tag) is not list or not tag:
            raise InvalidEvent("A tag is not a list of at least one string.")
        for item in tag:
            if type(item) is not str:
                raise InvalidEvent("A tag holds something that is not a string.")


def _canonical(event: Event) -> bytes:
    # Hexadecimal text and numbers need no escaping. `compact_json` would set up an encoder.
    tags = ",".join([f"[{','.join(map(quoted, tag))}]" for tag in event.tags])
    return _utf8(
        f'{{"id":"{event.id}","pubkey":"{event.pubkey}","created_at":{event.created_at},'
        f'"kind":{event.kind},"tags":[{tags}],"content":{quoted(event.content)},'
        f'"sig":"{event.sig}"}}'
    )


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InvalidEvent("The text holds lone surrogates.") from error
