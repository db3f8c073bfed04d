"""Keys and references as people copy them (NIP-19) and as links (NIP-21).

bech32 (BIP-173, not bech32m) is an encoding with a checksum, nothing more. Limits: a whole text
has at most 5,000 characters, a field of an entity at most 255 bytes. Unknown fields are ignored.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from volok.model.event import is_hex32, is_kind

MAX_LENGTH = 5000
"""Characters in an encoded entity (NIP-19)."""

_CHARSET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_VALUES = {character: value for value, character in enumerate(_CHARSET)}
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_ENTITY = re.compile(f"(?P<prefix>[a-z]{{1,83}})1(?P<data>[{_CHARSET}]{{6,}})")

_SPECIAL, _RELAY, _AUTHOR, _KIND = range(4)


class InvalidEntity(ValueError):
    """This is not a Nostr key or reference, or a character of it is wrong."""


@dataclass(frozen=True, slots=True)
class Npub:
    """A public key."""

    pubkey: str


@dataclass(frozen=True, slots=True)
class Nsec:
    """A secret key, 32 bytes."""

    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Note:
    """The id of an event."""

    id: str


@dataclass(frozen=True, slots=True)
class Nprofile:
    """A public key and relays where its owner is found."""

    pubkey: str
    relays: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Nevent:
    """The id of an event, relays where it is found, its author and its kind."""

    id: str
    relays: tuple[str, ...] = ()
    author: str | None = None
    kind: int | None = None


@dataclass(frozen=True, slots=True)
class Naddr:
    """The address of a replaceable or addressable event; `identifier` is its d tag."""

    identifier: str
    pubkey: str
    kind: int
    relays: tuple[str, ...] = ()


Entity = Npub | Nsec | Note | Nprofile | Nevent | Naddr


def encode(entity: Entity) -> str:
    """The bech32 text of an entity. Raises InvalidEntity for what it cannot carry."""
    match entity:
        case Npub(pubkey):
            text = bech32_encode("npub", _key(pubkey))
        case Nsec(secret):
            text = bech32_encode("nsec", _exactly_32(secret))
        case Note(name):
            text = bech32_encode("note", _key(name))
        case Nprofile(pubkey, relays):
            text = _encode_fields("nprofile", _key(pubkey), relays, None, None)
        case Nevent(name, relays, author, kind):
            text = _encode_fields("nevent", _key(name), relays, author, kind)
        case Naddr(identifier, pubkey, kind, relays):
            text = _encode_fields("naddr", _encoded(identifier, "utf-8"), relays, pubkey, kind)
    if len(text) > MAX_LENGTH:
        raise InvalidEntity("There is too much in it.")
    return text


def decode(text: str) -> Entity:
    """Read the bech32 text of an entity. Raises InvalidEntity."""
    if len(text) > MAX_LENGTH:
        raise InvalidEntity("It is too long.")
    prefix, data = bech32_decode(text)
    match prefix:
        case "npub":
            return Npub(_exactly_32(data).hex())
        case "nsec":
            return Nsec(_exactly_32(data))
        case "note":
            return Note(_exactly_32(data).hex())
        case "nprofile" | "nevent" | "naddr":
            return _decode_fields(prefix, data)
    raise InvalidEntity("It begins with an unknown word.")


def to_uri(entity: Entity) -> str:
    """The `nostr:` link to an entity (NIP-21). Raises InvalidEntity, also for a secret key."""
    if isinstance(entity, Nsec):
        raise InvalidEntity("A secret key never becomes a link.")
    return f"nostr:{encode(entity)}"


def parse_uri(text: str) -> Entity:
    """Read a `nostr:` link (NIP-21). Raises InvalidEntity, also for a secret key."""
    scheme, colon, rest = text.partition(":")
    if not colon or scheme.lower() != "nostr":
        raise InvalidEntity("The link does not begin with nostr:.")
    entity = decode(rest)
    if isinstance(entity, Nsec):
        raise InvalidEntity("A secret key is never a link.")
    return entity


def bech32_encode(prefix: str, data: bytes) -> str:
    """bech32 (BIP-173) of bytes under a prefix of lower-case letters, of any length."""
    values = _regroup(data, 8, 5)
    spare = -len(data) * 8 % 5
    if spare:
        values.append((data[-1] << spare) & 31)
    checksum = _polymod([*_expanded(prefix), *values, *[0] * 6]) ^ 1
    values += [(checksum >> 5 * (5 - place)) & 31 for place in range(6)]
    return f"{prefix}1{''.join(_CHARSET[value] for value in values)}"


def bech32_decode(text: str) -> tuple[str, bytes]:
    """The prefix, in lower case, and the bytes of a bech32 text. Raises InvalidEntity."""
    lower = text.lower()
    # BIP-173: lower or upper case, never both. isascii, since lower() folds other letters, too.
    match = _ENTITY.fullmatch(lower) if text.isascii() and text in (lower, text.upper()) else None
    if match is None:
        raise InvalidEntity("It holds characters that do not belong in it.")
    prefix, values = match["prefix"], [_VALUES[character] for character in match["data"]]
    if _polymod([*_expanded(prefix), *values]) != 1:
        raise InvalidEntity("A character of it is wrong.")
    del values[-6:]
    spare = len(values) * 5 % 8
    if spare >= 5 or (spare and values[-1] & ((1 << spare) - 1)):
        raise InvalidEntity("Its end is wrong.")
    return prefix, bytes(_regroup(values, 5, 8))


def _regroup(values: Iterable[int], wide: int, narrow: int) -> list[int]:
    """Cut groups of `wide` bits into whole groups of `narrow` bits; spare bits are left out."""
    result, held, bits = [], 0, 0
    for value in values:
        held, bits = (held << wide) | value, bits + wide
        while bits >= narrow:
            bits -= narrow
            result.append(held >> bits)
            held &= (1 << bits) - 1
    return result


def _expanded(prefix: str) -> list[int]:
    codes = prefix.encode()
    return [*(code >> 5 for code in codes), 0, *(code & 31 for code in codes)]


def _polymod(values: Iterable[int]) -> int:
    checksum = 1
    for value in values:
        top = checksum >> 25
        checksum = (checksum & 0x1FFFFFF) << 5 ^ value
        for place, generator in enumerate(_GENERATOR):
            if top >> place & 1:
                checksum ^= generator
    return checksum


def _exactly_32(data: bytes) -> bytes:
    if len(data) != 32:
        raise InvalidEntity("It does not hold 32 bytes.")
    return data


def _key(text: str) -> bytes:
    if not is_hex32(text):
        raise InvalidEntity("A key or id is 64 lower-case hexadecimal characters.")
    return bytes.fromhex(text)


def _encoded(text: str, encoding: str) -> bytes:
    try:
        return text.encode(encoding)
    except UnicodeEncodeError as error:
        raise InvalidEntity("It holds text that cannot be encoded.") from error


def _decoded(data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise InvalidEntity("It holds text that cannot be read.") from error


def _encode_fields(
    prefix: str, special: bytes, relays: tuple[str, ...], author: str | None, kind: int | None
) -> str:
    fields = [(_SPECIAL, special), *((_RELAY, _encoded(relay, "ascii")) for relay in relays)]
    if author is not None:
        fields.append((_AUTHOR, _key(author)))
    if kind is not None:
        if not is_kind(kind):
            raise InvalidEntity("The kind is not between 0 and 65535.")
        fields.append((_KIND, kind.to_bytes(4, "big")))
    if any(len(value) > 255 for _, value in fields):
        raise InvalidEntity("A field of it is longer than 255 bytes.")
    return bech32_encode(prefix, b"".join(bytes([t, len(v)]) + v for t, v in fields))


def _decode_fields(prefix: str, data: bytes) -> Entity:
    fields: dict[int, list[bytes]] = {}
    while data:
        if len(data) < 2 or len(data) < 2 + data[1]:
            raise InvalidEntity("A field of it is cut.")
        fields.setdefault(data[0], []).append(data[2 : 2 + data[1]])
        data = data[2 + data[1] :]
    special, author, kind = (fields.get(name, [None])[0] for name in (_SPECIAL, _AUTHOR, _KIND))
    if special is None:
        raise InvalidEntity("It names nothing.")
    relays = tuple(_decoded(relay, "ascii") for relay in fields.get(_RELAY, []))
    if prefix == "nprofile":
        return Nprofile(_exactly_32(special).hex(), relays)
    by = None if author is None else _exactly_32(author).hex()
    number = None if kind is None else int.from_bytes(kind, "big")
    if kind is not None and (len(kind) != 4 or not is_kind(number)):
        raise InvalidEntity("The kind is not between 0 and 65535.")
    if prefix == "nevent":
        return Nevent(_exactly_32(special).hex(), relays, by, number)
    if by is None or number is None:
        raise InvalidEntity("An address has an author and a kind.")
    return Naddr(_decoded(special, "utf-8"), by, number, relays)
