"""Whether bytes look fully encrypted: the rules by which the Great Firewall of China chose.

Source: Wu and others, "How the Great Firewall of China Detects and Blocks Fully Encrypted Traffic",
USENIX Security 2023, algorithm 1 (https://www.usenix.org/conference/usenixsecurity23/presentation/wu-mingshi).
A first payload is exempt when any rule below holds; what is not exempt looks encrypted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_NOT_PRINTABLE = bytes(byte for byte in range(256) if not 0x20 <= byte <= 0x7E)
_TLS = re.compile(rb"[\x16\x17]\x03[\x00-\x09]")
_HTTP = (b"GET ", b"PUT ", b"POST ", b"HEAD ")


@dataclass(frozen=True, slots=True)
class Rules:
    """The thresholds of the exemptions, as measured."""

    few_bits: float = 3.4
    """At most so many set bits a byte on average: exempt."""
    many_bits: float = 4.6
    """At least so many set bits a byte on average: exempt."""
    printable_prefix: int = 6
    """The first bytes, so many, are printable ASCII: exempt."""
    printable_share: float = 0.5
    """More than this share of the bytes is printable ASCII: exempt."""
    printable_run: int = 20
    """More than so many printable ASCII bytes in a row: exempt."""


PUBLISHED = Rules()


def bits_per_byte(payload: bytes) -> float:
    """Set bits a byte on average, 0 to 8; random bytes have 4. Nothing has 0."""
    return int.from_bytes(payload, "big").bit_count() / len(payload) if payload else 0.0


def is_printable(payload: bytes) -> bool:
    """Whether all bytes are printable ASCII, 0x20 to 0x7E."""
    return payload.translate(None, _NOT_PRINTABLE) == payload


def printable_share(payload: bytes) -> float:
    """The share of printable ASCII bytes, 0 to 1. Nothing has 0."""
    return len(payload.translate(None, _NOT_PRINTABLE)) / len(payload) if payload else 0.0


def printable_run(payload: bytes) -> int:
    """The length of the longest run of printable ASCII bytes."""
    return max(map(len, re.findall(rb"[\x20-\x7e]+", payload)), default=0)


def is_tls(payload: bytes) -> bool:
    """Whether it begins as a TLS record does: handshake or application data, any version."""
    return _TLS.match(payload) is not None


def is_http(payload: bytes) -> bool:
    """Whether it begins with one of the four HTTP methods that are exempt."""
    return payload.startswith(_HTTP)


def looks_encrypted(payload: bytes, rules: Rules = PUBLISHED) -> bool:
    """Whether no exemption holds for a client's first payload."""
    prefix = payload[: rules.printable_prefix]
    exempt = (
        not rules.few_bits < bits_per_byte(payload) < rules.many_bits
        or (len(prefix) == rules.printable_prefix and is_printable(prefix))
        or printable_share(payload) > rules.printable_share
        or printable_run(payload) > rules.printable_run
        or is_tls(payload)
        or is_http(payload)
    )
    return not exempt
