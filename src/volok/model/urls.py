"""URLs of relays: one way to write each, so that equal relays are equal text."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit

from volok.model.relay_link import InvalidFragment, parse_fragment

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
    default port, user and trailing slash. A wss:// URL may end in a fragment that pins the key of
    the relay (`volok.model.relay_link`); no other fragment is accepted.
    """
    parts, host, port = _split(url)
    fragment = f"#{parse_fragment(parts.fragment).to_text()}" if parts.fragment else ""
    netloc = f"[{host}]" if ":" in host else host
    if port is not None and port != _DEFAULT_PORTS[parts.scheme]:
        netloc += f":{port}"
    query = f"?{parts.query}" if parts.query else ""
    return f"{parts.scheme}://{netloc}{parts.path.rstrip('/')}{query}{fragment}"


def relay_host(url: str) -> str:
    """The host of a relay in lower case, without its port. Raises InvalidUrl."""
    return _split(url)[1]


def blossom_base(relay_url: str) -> str:
    """Where the Blossom server beside a relay is: scheme and host without a slash at the end.

    BUD-01 puts its endpoints at the root. A relay with a pinned key has them below its own path,
    which is secret. Raises InvalidUrl.
    """
    parts = urlsplit(normalise_relay_url(relay_url))
    path = parts.path if parts.fragment else ""
    return f"{'https' if parts.scheme == 'wss' else 'http'}://{parts.netloc}{path}"


def blossom_url(relay_url: str, name: str) -> str:
    """The URL of an endpoint or a blob beside a relay; it keeps the fragment of the relay's, for
    the path that makes the request. Raises InvalidUrl."""
    fragment = urlsplit(normalise_relay_url(relay_url)).fragment
    return f"{blossom_base(relay_url)}/{name}" + (f"#{fragment}" if fragment else "")


def url_in_requests(relay_url: str) -> str:
    """The URL without its fragment, as it may go out."""
    return relay_url.partition("#")[0]


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
        if parts.scheme != "wss":
            raise InvalidUrl("The address has a # in it.")
        try:
            parse_fragment(parts.fragment)
        except InvalidFragment as error:
            raise InvalidUrl(str(error)) from error
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
