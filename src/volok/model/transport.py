"""A pluggable transport in the address of a relay: its name, its place, its parameters. Pure.

    NAME;[HOST]:PORT[;KEY=VALUE]…        obfs4;:4443;cert=…;iat-mode=0

1. NAME is a C identifier (pt-spec, section 2). HOST is a name or an address, IPv6 in brackets;
   without one it is the relay's own.
2. What is no letter, digit or one of ._~:/?@!$'()*+=- is written as %XX (RFC 3986, 2.1).
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import quote, unquote

MOST_PARAMETERS = 510
"""Bytes of parameters as SOCKS carries them: a user name and a password (RFC 1929)."""

_NAME = re.compile("[A-Za-z_][A-Za-z0-9_]{0,31}")
_KEY = re.compile("[A-Za-z0-9_.-]{1,32}")
_LABEL = "[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST = re.compile(rf"(?:{_LABEL}\.)*{_LABEL}")
_PLACE = re.compile(r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|(?P<name>[^\[\]:]*)):(?P<port>[0-9]{1,5})")
_ESCAPED = re.compile("%[0-9A-F]{2}")
_PLAIN = "._~:/?@!$'()*+=-"


class InvalidTransport(ValueError):
    """This is no transport: one reads NAME;HOST:PORT;KEY=VALUE."""


@dataclass(frozen=True, slots=True)
class Transport:
    """A pluggable transport that leads to a relay."""

    name: str
    """What kind it is, such as `obfs4`."""
    host: str
    """Where it listens, in lower case, IPv6 without brackets; empty: at the relay's own host."""
    port: int
    parameters: tuple[tuple[str, str], ...] = ()
    """What a client has to know of it, in its order."""

    def to_text(self) -> str:
        """What `parse_transport` reads."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        pairs = [f"{key}={quote(value, _PLAIN)}" for key, value in self.parameters]
        return ";".join((self.name, f"{host}:{self.port}", *pairs))


def parse_transport(text: str) -> Transport:
    """Read NAME;[HOST]:PORT[;KEY=VALUE]…. Raises InvalidTransport."""
    name, _, rest = text.partition(";")
    place, *pairs = rest.split(";")
    found = _PLACE.fullmatch(place)
    if not is_transport_name(name) or found is None or not 0 < int(found["port"]) < 65536:
        raise InvalidTransport(InvalidTransport.__doc__ or "")
    parameters = tuple(_parameter(pair) for pair in pairs)
    made = Transport(name, _host(found["ipv6"], found["name"]), int(found["port"]), parameters)
    if len(parameters_text(parameters)) > MOST_PARAMETERS:
        raise InvalidTransport("The parameters of this transport are too long.")
    return made


def is_transport_name(text: str) -> bool:
    """Whether this may be the name of a transport."""
    return _NAME.fullmatch(text) is not None


def is_parameter(key: str, value: str) -> bool:
    """Whether a parameter can be written into an address."""
    return bool(_KEY.fullmatch(key)) and value.isascii() and value.isprintable()


def parameters_text(parameters: tuple[tuple[str, str], ...]) -> str:
    """Parameters as a client of the transport is given them (pt-spec, section 3.5): `;` between
    them, with `;`, `=` and backslashes of a value escaped by a backslash."""
    pairs = []
    for key, value in parameters:
        escaped = value.replace("\\", "\\\\").replace(";", "\\;").replace("=", "\\=")
        pairs.append(f"{key}={escaped}")
    return ";".join(pairs)


def _parameter(text: str) -> tuple[str, str]:
    key, mark, written = text.partition("=")
    if written.count("%") != len(_ESCAPED.findall(written)):
        raise InvalidTransport(InvalidTransport.__doc__ or "")
    value = unquote(written) if written.isascii() else "\0"
    if not mark or not is_parameter(key, value):
        raise InvalidTransport(InvalidTransport.__doc__ or "")
    return key, value


def _host(ipv6: str | None, name: str | None) -> str:
    try:
        if ipv6 is not None:
            return ipaddress.IPv6Address(ipv6).compressed
        host = (name or "").lower()
        if host.rpartition(".")[2].isdigit():
            return ipaddress.IPv4Address(host).compressed
    except ValueError as error:
        raise InvalidTransport("The address of this transport names no host.") from error
    if host and (len(host) > 253 or not _HOST.fullmatch(host)):
        raise InvalidTransport("The address of this transport names no host.")
    return host
