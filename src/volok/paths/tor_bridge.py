"""Bridge lines (torrc's `Bridge`) as people paste them. Pure."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from volok.model.transport import is_transport_name

MOST_BRIDGE = 1000
"""Characters of one line."""

_PLACE = re.compile(r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|(?P<ipv4>[0-9.]+)):(?P<port>[0-9]{1,5})")
_FINGERPRINT = re.compile("[0-9A-Fa-f]{40}")
_PARAMETER = re.compile(r"[A-Za-z0-9_.-]+=[!-~]*")


class InvalidBridge(ValueError):
    """This is not a bridge line: one reads `obfs4 ADDRESS:PORT FINGERPRINT cert=… iat-mode=0`."""


@dataclass(frozen=True, slots=True)
class Bridge:
    """One bridge."""

    transport: str
    """Empty for one that speaks Tor's own protocol."""
    rest: str
    """Address, fingerprint and parameters."""

    def to_text(self) -> str:
        """The line, without `Bridge` in front."""
        return f"{self.transport} {self.rest}".strip()


def parse_bridge(line: str) -> Bridge:
    """Read [Bridge] [TRANSPORT] ADDRESS:PORT [FINGERPRINT] [KEY=VALUE …]. Raises InvalidBridge.

    Nothing but these words gets through, so that a line cannot set anything else in a torrc.
    """
    if len(line) > MOST_BRIDGE or not line.isascii() or not line.strip().isprintable():
        raise InvalidBridge(InvalidBridge.__doc__ or "")
    words = line.split()
    if words and words[0].lower() == "bridge":
        del words[0]
    transport = words.pop(0) if words and is_transport_name(words[0]) else ""
    place = words.pop(0) if words else ""
    if not _is_place(place):
        raise InvalidBridge(InvalidBridge.__doc__ or "")
    fingerprint = [words.pop(0)] if words and _FINGERPRINT.fullmatch(words[0]) else []
    if any(not _PARAMETER.fullmatch(word) or "#" in word or '"' in word for word in words):
        raise InvalidBridge(InvalidBridge.__doc__ or "")
    if words and not transport:
        raise InvalidBridge(InvalidBridge.__doc__ or "")
    return Bridge(transport, " ".join((place, *fingerprint, *words)))


def _is_place(text: str) -> bool:
    found = _PLACE.fullmatch(text)
    if found is None or not 0 < int(found["port"]) < 65536:
        return False
    try:
        ipaddress.ip_address(found["ipv6"] or found["ipv4"])
    except ValueError:
        return False
    return True
