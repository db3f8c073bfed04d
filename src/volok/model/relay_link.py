"""What the address of a relay says after its `#`: the pin of its key, a cover name, transports.

    wss://HOST[:PORT]/SECRET#PIN[&sni=NAME][&pt=TRANSPORT;[ADDRESS]:PORT[;KEY=VALUE]…]…

1. PIN is the first 16 bytes of the SHA-256 of the certificate's SubjectPublicKeyInfo (RFC 5280,
   section 4.1) in base64url without padding: 22 characters. The key shows whether this is the
   relay that is meant; no certificate authority is asked, and no date counts.
2. NAME is a host name that the ClientHello may show in place of the relay's own.
3. TRANSPORT is a pluggable transport (`volok.model.transport`) in front of the same relay.
4. The fragment never leaves the machine: neither in requests nor in the event of NIP-42.

Pure.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass

from volok.model.transport import InvalidTransport, Transport, parse_transport

PIN_BYTES = 16
"""Length of a pin."""

_PIN = "[A-Za-z0-9_-]{21}[AQgw]"
_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_FRAGMENT = re.compile(
    rf"(?P<pin>{_PIN})(?:&sni=(?P<sni>(?:{_LABEL}\.)*{_LABEL}))?(?P<transports>(?:&pt=[^&]*)*)"
)
_MAX_NAME = 253
MOST_TRANSPORTS = 4
"""Transports that one address may name."""

# Identifier octets of DER (X.690).
_INTEGER, _SEQUENCE, _BIT_STRING, _VERSION = 0x02, 0x30, 0x03, 0xA0
_AFTER_VERSION = (_INTEGER, _SEQUENCE, _SEQUENCE, _SEQUENCE, _SEQUENCE)
"""serialNumber, signature, issuer, validity, subject; the key follows."""


class InvalidFragment(ValueError):
    """What follows the # in this address is damaged. Copy the whole address again."""


class InvalidCertificate(ValueError):
    """This is not a certificate."""


@dataclass(frozen=True, slots=True)
class RelayPin:
    """How a relay is known by its key."""

    pin: bytes
    """`PIN_BYTES` bytes."""
    sni: str = ""
    """The cover name in lower case; empty for none."""
    transports: tuple[Transport, ...] = ()
    """Pluggable transports that lead to the same relay."""

    def to_text(self) -> str:
        """The fragment, without its `#`."""
        text = base64.urlsafe_b64encode(self.pin).rstrip(b"=").decode()
        cover = f"&sni={self.sni}" if self.sni else ""
        return text + cover + "".join(f"&pt={one.to_text()}" for one in self.transports)

    def accepts(self, certificate: bytes) -> bool:
        """Whether a certificate (DER) holds the pinned key."""
        try:
            return hmac.compare_digest(key_pin(certificate), self.pin)
        except InvalidCertificate:
            return False


def parse_fragment(text: str) -> RelayPin:
    """Read a fragment, given without its `#`. Raises InvalidFragment."""
    match = _FRAGMENT.fullmatch(text)
    if match is None:
        raise InvalidFragment(InvalidFragment.__doc__ or "")
    sni = (match["sni"] or "").lower()
    if len(sni) > _MAX_NAME or sni.rpartition(".")[2].isdigit():
        raise InvalidFragment("The cover name in this address is no host name.")
    texts = match["transports"].split("&pt=")[1:]
    if len(texts) > MOST_TRANSPORTS:
        raise InvalidFragment("This address names more transports than anybody can use.")
    try:
        transports = tuple(map(parse_transport, texts))
    except InvalidTransport as error:
        raise InvalidFragment(InvalidFragment.__doc__ or "") from error
    return RelayPin(base64.urlsafe_b64decode(match["pin"] + "=="), sni, transports)


def split_fragment(url: str) -> tuple[str, RelayPin | None]:
    """A URL as it goes into requests, and what its fragment says. Raises InvalidFragment."""
    plain, mark, fragment = url.partition("#")
    return plain, parse_fragment(fragment) if mark else None


def without_transports(url: str) -> str:
    """The same address, shorter: nothing is said of transports."""
    return url.partition("&pt=")[0]


def key_pin(certificate: bytes) -> bytes:
    """The pin of the key in a certificate (DER). Raises InvalidCertificate."""
    return hashlib.sha256(public_key_info(certificate)).digest()[:PIN_BYTES]


def public_key_info(certificate: bytes) -> bytes:
    """The SubjectPublicKeyInfo of a certificate, both in DER (RFC 5280, section 4.1).

    Everything up to it must stand exactly where the standard puts it, in lengths of one form
    only, so that no certificate is read in two ways. Raises InvalidCertificate.
    """
    start, end, after = _element(certificate, 0, len(certificate), _SEQUENCE)
    if after != len(certificate):
        raise InvalidCertificate("Something follows the certificate.")
    at, end, _ = _element(certificate, start, end, _SEQUENCE)
    if certificate[at : at + 1] == bytes([_VERSION]):
        _, _, at = _element(certificate, at, end, _VERSION)
    for kind in _AFTER_VERSION:
        _, _, at = _element(certificate, at, end, kind)
    inner, inner_end, after = _element(certificate, at, end, _SEQUENCE)
    _, _, bits = _element(certificate, inner, inner_end, _SEQUENCE)
    _, _, last = _element(certificate, bits, inner_end, _BIT_STRING)
    if last != inner_end:
        raise InvalidCertificate("The key of the certificate is not one.")
    return certificate[at:after]


def _element(data: bytes, at: int, end: int, kind: int) -> tuple[int, int, int]:
    """(start of the contents, their end, where the next element starts) of the element at `at`."""
    if at + 2 > end or data[at] != kind:
        raise InvalidCertificate("The certificate holds something out of place.")
    length, start = data[at + 1], at + 2
    if length & 0x80:
        count = length & 0x7F
        start += count
        if not 1 <= count <= 3 or start > end:
            raise InvalidCertificate("The certificate is cut.")
        length = int.from_bytes(data[at + 2 : start], "big")
        if length < 0x80 or length >> 8 * (count - 1) == 0:
            raise InvalidCertificate("The certificate is not in DER.")
    if start + length > end:
        raise InvalidCertificate("The certificate is cut.")
    return start, start + length, start + length
