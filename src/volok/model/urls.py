"""URLs of relays: one way to write each, so that equal relays are equal text."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit

MAX_URL = 255
"""Characters in the URL of a relay; what a field of NIP-19 holds."""

_DEFAULT_PORTS = {"ws": 80, "wss": 443}
_PLACE = re.compile(
    r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|(?P<name>[^\[\]:]+))(?::(?P<port>[0-9]{1,5}))?"
)
_LABEL = re.compile("[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_REST = re.compile(r"[A-Za-z0-9._~:/?@!$&'()*+,;=%-]*")


class InvalidUrl(ValueError):
    """This is not the address of a relay: one begins with wss:// and holds no user name."""


def normalise_relay_url(url: str) -> str:
    """The URL of a relay in its one form. Raises InvalidUrl.

    Scheme ws or wss and host in lower case (a name beyond ASCII in its IDNA form), without the
    default port, user, fragment and trailing slash.
    """
    parts, host, port = _split(url)
    netloc = f"[{host}]" if ":" in host else host
    if port is not None and port != _DEFAULT_PORTS[parts.scheme]:
        netloc += f":{port}"
    query = f"?{parts.query}" if parts.query else ""
    return f"{parts.scheme}://{netloc}{parts.path.rstrip('/')}{query}"


def relay_host(url: str) -> str:
    """The host of a relay in lower case, without its port. Raises InvalidUrl."""
    return _split(url)[1]


def blossom_base(relay_url: str) -> str:
    """Where the Blossom server beside a relay is: scheme and host without a slash at the end.

    BUD-01 puts its endpoints at the root. Raises InvalidUrl.
    """
    parts = urlsplit(normalise_relay_url(relay_url))
    return f"{'https' if parts.scheme == 'wss' else 'http'}://{parts.netloc}"


def _split(url: str) -> tuple[SplitResult, str, int | None]:
    text = url.strip()
    if len(text) > MAX_URL:
        raise InvalidUrl("The address is too long.")
    if any(ord(character) <= 0x20 or character == "\x7f" for character in text):
        raise InvalidUrl("The address has a space in it.")
    try:
        parts = urlsplit(text)
    except ValueError as error:
        raise InvalidUrl("This is not an address.") from error
    if parts.scheme not in _DEFAULT_PORTS:
        raise InvalidUrl("The address of a relay begins with wss:// or ws://.")
    if "@" in parts.netloc:
        raise InvalidUrl("The address has a user name in it.")
    if "#" in text:
        raise InvalidUrl("The address has a # in it.")
    place = _PLACE.fullmatch(parts.netloc)
    if place is None or not _REST.fullmatch(parts.path + parts.query):
        raise InvalidUrl("This is not an address.")
    port = None if place["port"] is None else int(place["port"])
    if port is not None and not 0 < port < 65536:
        raise InvalidUrl("The port is not between 1 and 65535.")
    return parts, _host(place["name"], place["ipv6"]), port


def _host(name: str | None, ipv6: str | None) -> str:
    try:
        if name is None:
            return ipaddress.IPv6Address(ipv6).compressed
        host = name.encode("idna").decode().lower().removesuffix(".")
        if host.rpartition(".")[2].isdigit():
            return ipaddress.IPv4Address(host).compressed
    except ValueError as error:
        raise InvalidUrl("The address names no host.") from error
    if len(host) > 253 or not all(map(_LABEL.fullmatch, host.split("."))):
        raise InvalidUrl("The address names no host.")
    return host
