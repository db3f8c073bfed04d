"""Invites as text, bytes and files: the bundle, the link, and the sealed bundle on the relays.

An invite is a 16-byte secret. From it come a locator key pair (the bundle lies on the relays as a
kind-1059 event addressed to it) and the key under which the bundle is encrypted. The link carries
the secret, the hash of the bundle and the relays; the hash means that whoever reads the link later
cannot put another bundle in its place.

Everything here is pure. Parsers raise `InvalidInvite` and nothing else.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import struct
from dataclasses import dataclass

from volok.model.crypto import (
    HPKE_OVERHEAD,
    SEALING_PUBLIC_BYTES,
    Crypto,
    CryptoError,
    hkdf,
)
from volok.model.envelope import BUCKETS
from volok.model.relay_link import without_transports

MAX_LINK = 200
"""Characters of a link: what fits comfortably into a small QR code and a text message."""

_PREFIX = "volok:i1/"
_LINK = re.compile(r"volok:i1/([A-Za-z0-9_-]{64})(?:/(\S*))?")
_FILE_MAGIC = b"volok-invite\x01"
_HEAD = struct.Struct(f">B32s32s32sBQ{SEALING_PUBLIC_BYTES}s")
_SEALED = BUCKETS[0] + HPKE_OVERHEAD
"""Length of a sealed bundle: the same as that of the smallest envelope."""
_MULTIPLE = 1
MAX_NAME = 64


class InvalidInvite(ValueError):
    """This is not a whole Volok invite. Ask for it again and copy all of it."""


@dataclass(frozen=True, slots=True)
class InviteBundle:
    """What somebody needs to start a conversation with the person who invites."""

    inbox: bytes
    """x-only public key of the invite's inbox, 32 bytes."""
    identity: bytes
    """Olm identity key of the invite's account, 32 bytes."""
    olm_key: bytes
    """A one-time key, or a fallback key where several people may use the invite; 32 bytes."""
    multiple: bool
    expires_at: int
    """Unix seconds."""
    sealing: bytes
    """Public sealing key, 1,216 bytes."""
    name: str
    """How the inviter calls themselves; at most 64 bytes of UTF-8."""
    relays: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class InviteLink:
    """A parsed link."""

    secret: bytes
    hash: bytes
    """SHA-256 of the encoded bundle."""
    relays: tuple[str, ...]


def clip(text: str, length: int) -> str:
    """Cut text to at most `length` bytes of UTF-8, between characters."""
    return text.encode()[:length].decode(errors="ignore")


def encode_bundle(bundle: InviteBundle) -> bytes:
    """Encode a bundle; relays that do not fit into one small envelope are left out."""
    out = bytearray(
        _HEAD.pack(
            1,
            bundle.inbox,
            bundle.identity,
            bundle.olm_key,
            _MULTIPLE if bundle.multiple else 0,
            bundle.expires_at,
            bundle.sealing,
        )
    )
    for text in (clip(bundle.name, MAX_NAME), *bundle.relays):
        raw = text.encode()
        if len(raw) > 255 or len(out) + 1 + len(raw) > _SEALED - 30:
            continue
        out += bytes([len(raw)]) + raw
    return bytes(out)


def parse_bundle(data: bytes) -> InviteBundle:
    """Raises InvalidInvite."""
    if len(data) < _HEAD.size + 1 or data[0] != 1:
        raise InvalidInvite("The bundle of this invite cannot be read.")
    _, inbox, identity, olm_key, flags, expires_at, sealing = _HEAD.unpack_from(data)
    texts: list[str] = []
    at = _HEAD.size
    try:
        while at < len(data):
            piece = data[at + 1 : at + 1 + data[at]]
            if len(piece) != data[at]:
                raise InvalidInvite("The bundle of this invite is cut.")
            texts.append(piece.decode())
            at += 1 + len(piece)
    except UnicodeDecodeError as error:
        raise InvalidInvite("The bundle of this invite cannot be read.") from error
    return InviteBundle(
        inbox,
        identity,
        olm_key,
        bool(flags & _MULTIPLE),
        expires_at,
        sealing,
        texts[0],
        tuple(texts[1:]),
    )


def bundle_hash(data: bytes) -> bytes:
    """SHA-256 of an encoded bundle."""
    return hashlib.sha256(data).digest()


def locator_secret(secret: bytes) -> bytes:
    """The secp256k1 secret key under whose public key the sealed bundle is found."""
    return hkdf(secret, b"volok invite 1 locator")


def seal_bundle(crypto: Crypto, secret: bytes, data: bytes) -> bytes:
    """Encrypt an encoded bundle under the invite's secret, as long as the smallest envelope."""
    padded = struct.pack(">H", len(data)) + data
    padded = padded.ljust(_SEALED - 28, b"\0")
    nonce = crypto.random(12)
    key = hkdf(secret, b"volok invite 1 bundle")
    return nonce + crypto.encrypt(key, nonce, padded, b"")


def open_bundle(crypto: Crypto, secret: bytes, sealed: bytes) -> bytes:
    """The inverse of `seal_bundle`: the encoded bundle. Raises InvalidInvite."""
    key = hkdf(secret, b"volok invite 1 bundle")
    try:
        padded = crypto.decrypt(key, sealed[:12], sealed[12:], b"")
    except CryptoError as error:
        raise InvalidInvite("This invite was altered.") from error
    if len(padded) < 2:
        raise InvalidInvite("This invite is cut.")
    (length,) = struct.unpack_from(">H", padded)
    return padded[2 : 2 + length]


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _short(url: str) -> str:
    return url.removeprefix("wss://")


def encode_link(secret: bytes, bundle: bytes, relays: tuple[str, ...]) -> str:
    """The link: at most 200 characters; relays that do not fit are left out (the bundle has them).

    Raises InvalidInvite when there are relays and not one of them fits.
    """
    link = _PREFIX + _encode(secret + bundle_hash(bundle))
    fitted = False
    for url in relays:
        # Transports take much room; who reaches the relay without them finds them in the bundle.
        for text in (url, without_transports(url)):
            longer = link + ("," if fitted else "/") + _short(text)
            if len(longer) <= MAX_LINK:
                link, fitted = longer, True
                break
    if relays and not fitted:
        raise InvalidInvite("The address of your relay is too long for a link; use a file.")
    return link


def parse_link(text: str) -> InviteLink:
    """Find the link in what somebody pasted. Raises InvalidInvite."""
    found = _LINK.search(text)
    if found is None:
        raise InvalidInvite(InvalidInvite.__doc__ or "")
    try:
        raw = base64.urlsafe_b64decode(found[1])
    except (binascii.Error, ValueError) as error:
        raise InvalidInvite(InvalidInvite.__doc__ or "") from error
    relays = tuple(
        url if "://" in url else "wss://" + url for url in (found[2] or "").split(",") if url
    )
    return InviteLink(raw[:16], raw[16:], relays)


def encode_file(bundle: bytes) -> bytes:
    """A self-contained invite for where there is no network."""
    return _FILE_MAGIC + bundle_hash(bundle) + bundle


def parse_file(data: bytes) -> bytes:
    """The encoded bundle in an invite file. Raises InvalidInvite."""
    at = len(_FILE_MAGIC)
    if data[:at] != _FILE_MAGIC:
        raise InvalidInvite("This file is not a Volok invite.")
    bundle = data[at + 32 :]
    if bundle_hash(bundle) != data[at : at + 32]:
        raise InvalidInvite("This invite file is damaged. Ask for it again.")
    return bundle
