"""The kinds of content: each has one validator here and one hook in `volok.chat.hooks`.

A content is a JSON object whose `type` names its kind. `parse_content` gives the typed value or
raises `InvalidPayload`; unknown kinds give None and are ignored, so that an older version can talk
with a newer one. Byte strings are base64 (URL-safe, unpadded), ids hexadecimal.

| type | what it says |
|---|---|
| hello | we accepted your invite: our inbox, keys, relays, and a token only you can read |
| welcome | the answer to hello, with the token: from here on we talk |
| text | a message, with its files |
| reaction, edit, delete | about an earlier message |
| timer | messages of this conversation disappear after so many seconds |
| ack | what has come through, by session, and which messages were read |
| nack | frames of a session that are missing |
| keys | a new sealing key, reset key, relays or name |
| epoch | we were restored from a backup: start anew with these keys |
| invite-warning | somebody else tried the invite that brought us together |
| piece | bytes of a blob, where no relay takes blobs |
| hints | relays and other places that may be of use; all that the sender wants known now |
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from volok.chat.payload import Body, InvalidPayload
from volok.chat.records import from_text
from volok.model.crypto import SEALING_PUBLIC_BYTES
from volok.model.filenames import safe_name
from volok.model.hints import Hint, parse_hints
from volok.model.urls import InvalidUrl, normalise_relay_url

MAX_TEXT = 64 * 1024
MAX_RELAYS = 16
MAX_FILES = 32
MAX_CHUNKS = 512
MAX_FILE = 128 * 1024 * 1024
"""Bytes on relays of the largest file that is taken in; a message may have twice as much."""
MAX_TIMER = 366 * 86_400
MAX_THUMBNAIL = 8 * 1024
MAX_TOLD = 32
"""Entries of a content of hints that are looked at."""
MAX_RELAY_HINTS = 3
"""Relays that are taken from one contact."""
MAX_PLACE_HINTS = 3
"""Other places that are taken from one contact."""


@dataclass(frozen=True, slots=True)
class Introduction:
    """hello, welcome, keys and epoch: how to reach somebody. None: unchanged."""

    type: str
    name: str | None
    inbox: str | None
    sealing: bytes | None
    reset: bytes | None
    olm_key: bytes | None
    token: bytes | None
    relays: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Chunk:
    """One encrypted chunk of a file: a blob."""

    name: str
    size: int


@dataclass(frozen=True, slots=True)
class FileContent:
    """A file of a message."""

    kind: str
    name: str
    media_type: str
    size: int
    key: bytes
    chunks: tuple[Chunk, ...]
    width: int | None
    height: int | None
    duration: int | None
    thumbnail: bytes | None


@dataclass(frozen=True, slots=True)
class Text:
    """A message."""

    text: str
    counter: int
    reply: str | None
    timer: int
    once: bool
    files: tuple[FileContent, ...]


@dataclass(frozen=True, slots=True)
class About:
    """reaction, edit, delete: something about the message `to`."""

    type: str
    to: str
    text: str


@dataclass(frozen=True, slots=True)
class Timer:
    """A change of the disappearing timer; 0 is never."""

    seconds: int


@dataclass(frozen=True, slots=True)
class Ack:
    """Cumulative: in each session, every frame below the number has been taken in."""

    sessions: tuple[tuple[bytes, int], ...]
    read: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Nack:
    """Frames [start, stop) of a session are missing. `lost`: resealing did not help."""

    session: bytes
    start: int
    stop: int
    lost: bool


@dataclass(frozen=True, slots=True)
class InviteWarning:
    """Somebody else tried to use the invite."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes of the blob `name` from `start`."""

    name: str
    start: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Hints:
    """Places that the sender knows; they replace what it told before."""

    places: tuple[Hint, ...]


Content = Introduction | Text | About | Timer | Ack | Nack | InviteWarning | Piece | Hints

SILENT = frozenset({"ack"})
"""Kinds that ask for no receipt of their own."""


def _string(body: Body, name: str, limit: int, default: str | None = None) -> str:
    value = body.get(name, default)
    if not isinstance(value, str) or len(value.encode("utf-8", "surrogatepass")) > limit:
        raise InvalidPayload(f"{name} is wrong.")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InvalidPayload(f"{name} is no text.") from error
    return value


def _integer(body: Body, name: str, low: int, high: int, default: int | None = None) -> int:
    value = body.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise InvalidPayload(f"{name} is wrong.")
    return value


def _optional(body: Body, name: str, high: int) -> int | None:
    return _integer(body, name, 0, high) if body.get(name) is not None else None


def _bytes(value: object, low: int, high: int) -> bytes:
    if not isinstance(value, str):
        raise InvalidPayload("Bytes are wrong.")
    try:
        raw = from_text(value)
    except ValueError as error:
        raise InvalidPayload("Bytes are wrong.") from error
    if not low <= len(raw) <= high:
        raise InvalidPayload("Bytes have the wrong length.")
    return raw


def _maybe_bytes(body: Body, name: str, length: int) -> bytes | None:
    return _bytes(body[name], length, length) if body.get(name) is not None else None


def _hexadecimal(value: object, length: int) -> str:
    if not isinstance(value, str) or len(value) != length or value != value.lower():
        raise InvalidPayload("An id is wrong.")
    try:
        bytes.fromhex(value)
    except ValueError as error:
        raise InvalidPayload("An id is wrong.") from error
    return value


def _list(body: Body, name: str, limit: int) -> list[Any]:
    value = body.get(name, [])
    if not isinstance(value, list) or len(value) > limit:
        raise InvalidPayload(f"{name} is wrong.")
    return value


def _relays(body: Body) -> tuple[str, ...] | None:
    if body.get("relays") is None:
        return None
    urls = []
    for url in _list(body, "relays", MAX_RELAYS):
        try:
            urls.append(normalise_relay_url(url if isinstance(url, str) else ""))
        except InvalidUrl:
            continue
    return tuple(dict.fromkeys(urls))


def _introduction(body: Body) -> Introduction:
    return Introduction(
        type=body["type"],
        name=_string(body, "name", 64) if body.get("name") is not None else None,
        inbox=_hexadecimal(body["inbox"], 64) if body.get("inbox") is not None else None,
        sealing=_maybe_bytes(body, "sealing", SEALING_PUBLIC_BYTES),
        reset=_maybe_bytes(body, "reset", 32),
        olm_key=_maybe_bytes(body, "key", 32),
        token=_maybe_bytes(body, "token", 32),
        relays=_relays(body),
    )


def _complete(body: Body) -> Introduction:
    came = _introduction(body)
    needed = (came.name, came.inbox, came.sealing, came.reset, came.token, came.relays)
    if any(value is None for value in needed):
        raise InvalidPayload("An introduction that is not whole.")
    return came


def _hello(body: Body) -> Introduction:
    came = _complete(body)
    if came.olm_key is None:
        raise InvalidPayload("A hello without a key to answer to.")
    return came


def _file(value: object) -> FileContent:
    if not isinstance(value, dict):
        raise InvalidPayload("A file is wrong.")
    chunks = []
    for pair in _list(value, "chunks", MAX_CHUNKS):
        if not isinstance(pair, list) or len(pair) != 2:
            raise InvalidPayload("A chunk is wrong.")
        size = pair[1]
        if not isinstance(size, int) or isinstance(size, bool) or not 16 <= size <= 8 << 20:
            raise InvalidPayload("A chunk is wrong.")
        chunks.append(Chunk(_hexadecimal(pair[0], 64), size))
    if sum(chunk.size for chunk in chunks) > MAX_FILE:
        raise InvalidPayload("A file is too large.")
    kind = _string(value, "kind", 16)
    thumbnail = value.get("thumb")
    return FileContent(
        kind=kind if kind in ("picture", "voice") else "file",
        name=safe_name(_string(value, "name", 1024)),
        media_type=_string(value, "mime", 128),
        size=_integer(value, "size", 0, 1 << 40),
        key=_bytes(value.get("key"), 32, 32),
        chunks=tuple(chunks),
        width=_optional(value, "w", 100_000),
        height=_optional(value, "h", 100_000),
        duration=_optional(value, "ms", 1 << 32),
        thumbnail=None if thumbnail is None else _bytes(thumbnail, 0, MAX_THUMBNAIL),
    )


def _text(body: Body) -> Text:
    reply = body.get("reply")
    files = tuple(_file(value) for value in _list(body, "files", MAX_FILES))
    if sum(chunk.size for file in files for chunk in file.chunks) > 2 * MAX_FILE:
        raise InvalidPayload("Its files are too large.")
    return Text(
        text=_string(body, "text", MAX_TEXT),
        counter=_integer(body, "n", 0, 1 << 53),
        reply=None if reply is None else _hexadecimal(reply, 32),
        timer=_integer(body, "timer", 0, MAX_TIMER, 0),
        once=body.get("once") is True,
        files=files,
    )


def _about(body: Body) -> About:
    limit = {"reaction": 64, "edit": MAX_TEXT, "delete": 0}[body["type"]]
    return About(body["type"], _hexadecimal(body.get("to"), 32), _string(body, "text", limit, ""))


def _ack(body: Body) -> Ack:
    sessions = []
    for pair in _list(body, "sessions", 16):
        if not isinstance(pair, list) or len(pair) != 2:
            raise InvalidPayload("A receipt is wrong.")
        number = pair[1]
        if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < 1 << 62:
            raise InvalidPayload("A receipt is wrong.")
        sessions.append((_bytes(pair[0], 32, 32), number))
    read = tuple(_hexadecimal(value, 32) for value in _list(body, "read", 200))
    return Ack(tuple(sessions), read)


def _nack(body: Body) -> Nack:
    start = _integer(body, "start", 0, 1 << 62)
    return Nack(
        session=_bytes(body.get("session"), 32, 32),
        start=start,
        stop=_integer(body, "stop", start, start + 4096),
        lost=body.get("lost") is True,
    )


def _piece(body: Body) -> Piece:
    return Piece(
        name=_hexadecimal(body.get("name"), 64),
        start=_integer(body, "start", 0, 8 << 20),
        data=_bytes(body.get("data"), 1, 64 * 1024),
    )


def _hints(body: Body) -> Hints:
    told = _list(body, "places", MAX_TOLD)
    # What makes no sense is left out: the rest may be the only way that somebody has.
    places = (place for place in told if isinstance(place, str))
    return Hints(parse_hints(places, MAX_RELAY_HINTS, MAX_PLACE_HINTS))


_VALIDATORS: dict[str, Callable[[Body], Content]] = {
    "hello": _hello,
    "welcome": _complete,
    "keys": _introduction,
    "epoch": _introduction,
    "text": _text,
    "reaction": _about,
    "edit": _about,
    "delete": _about,
    "timer": lambda body: Timer(_integer(body, "seconds", 0, MAX_TIMER)),
    "ack": _ack,
    "nack": _nack,
    "invite-warning": lambda body: InviteWarning(),
    "piece": _piece,
    "hints": _hints,
}


def parse_content(body: Body) -> Content | None:
    """Validate a body. None for a kind that we do not know. Raises InvalidPayload."""
    validator = _VALIDATORS.get(body["type"])
    return None if validator is None else validator(body)
