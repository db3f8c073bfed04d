"""Places that a contact may tell us of: relays, shared folders on servers, mail addresses. Pure.

A hint is one address as text; its scheme tells its kind:

| kind | text |
|---|---|
| relay | wss://HOST[:PORT][/PATH][#FRAGMENT] as in `volok.model.urls`; ws:// for onions alone |
| webdav | webdavs://HOST[:PORT]/PATH |
| sftp | sftp://HOST[:PORT]/PATH |
| s3 | s3+https://HOST[:PORT]/BUCKET[/PREFIX] |
| mail | mailto:ADDRESS (RFC 6068, one plain address) |

1. A hint carries no user name and no password, and no query.
2. Who tells it may be an informer, and must not choose where our computer knocks: an address of a
   local network, a name that only such a network knows, and a port on which other services live
   are refused. What a name leads to is known only when it is looked up; `is_public` is asked again
   then. Pluggable transports that are written as local ones are left out of a relay's address.
3. Kinds that we do not know are not errors: a newer version may tell them.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from urllib.parse import unquote, urlsplit

from volok.model.relay_link import parse_fragment
from volok.model.transport import Transport
from volok.model.urls import InvalidUrl, normalise_relay_url, relay_host

RELAY, WEBDAV, SFTP, S3, MAIL = "relay", "webdav", "sftp", "s3", "mail"

MAX_HINT = 512
"""Characters of a hint."""

_KINDS = {"wss": RELAY, "ws": RELAY, "webdavs": WEBDAV, "sftp": SFTP, "s3+https": S3}
_PORTS = {RELAY: 443, WEBDAV: 443, S3: 443, SFTP: 22}
_FIRST_FREE_PORT = 1024
_BAD_PORTS = frozenset(
    {
        *(1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566),
        *(*range(6665, 6670), 6679, 6697, 10080),
    }
)
"""Of the ports from 1024 up, those on which no browser opens a connection either (WHATWG Fetch,
section 2.9)."""
_PATH = re.compile(r"[A-Za-z0-9._~%/+-]*")
_MAX_PATH = 200
_ONION = re.compile(r"(?:[a-z0-9-]+\.)*[a-z2-7]{56}\.onion")
_LOCAL_ENDS = ("local", "localhost", "localdomain", "internal", "intranet", "lan", "home", "corp")
_LOCAL_NAMES = (*_LOCAL_ENDS, "private", "arpa", "invalid", "onion")
"""Last labels of names that no public name server knows (RFC 6761, 6762, 8375, and habits)."""
_MAIL = re.compile(r"[A-Za-z0-9.!#$&'*+/=^_`{|}~-]{1,64}@(?P<domain>[A-Za-z0-9.-]{3,190})")

_NOT_PUBLIC_4 = tuple(
    ipaddress.IPv4Network(text)
    for text in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
        *("172.16.0.0/12", "192.0.0.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15"),
        *("224.0.0.0/4", "240.0.0.0/4"),
    )
)
"""Special-purpose ranges (RFC 6890 and its registry). Those for documentation lead nowhere and are
left: the laboratory stands on them."""
_PUBLIC_6 = ipaddress.IPv6Network("2000::/3")
_NOT_PUBLIC_6 = tuple(map(ipaddress.IPv6Network, ("2001::/23", "2002::/16", "3fff::/20")))
"""Teredo and 6to4 hold an IPv4 address, which could be any."""
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class InvalidHint(ValueError):
    """This address cannot be passed on or taken up as a hint."""


@dataclass(frozen=True, slots=True)
class Hint:
    """One place."""

    kind: str
    """`relay`, `webdav`, `sftp`, `s3` or `mail`."""
    place: str
    """Its address in one form, so that equal places are equal text."""


def parse_hint(text: str) -> Hint | None:
    """Read a hint; None for a scheme that we do not know. Raises InvalidHint."""
    if len(text) > MAX_HINT:
        raise InvalidHint("The address is too long.")
    if not text.isascii() or not text.isprintable() or " " in text:
        raise InvalidHint("The address holds something that no address has.")
    scheme, colon, rest = text.partition(":")
    scheme = scheme.lower()
    if colon and scheme == "mailto":
        return Hint(MAIL, f"mailto:{_mail(rest)}")
    kind = _KINDS.get(scheme)
    if kind is None or not colon:
        return None
    return Hint(kind, _relay(text) if kind == RELAY else _server(kind, scheme, text))


def parse_hints(texts: Iterable[str], relays: int, others: int) -> tuple[Hint, ...]:
    """Of what somebody tells, that which makes sense: so many relays at most, and so many other
    places; the first count. Never raises."""
    found: dict[str, Hint] = {}
    left = {True: relays, False: others}
    for text in texts:
        try:
            hint = parse_hint(text)
        except InvalidHint:
            continue
        if hint is None or hint.place in found or not left[hint.kind == RELAY]:
            continue
        left[hint.kind == RELAY] -= 1
        found[hint.place] = hint
    return tuple(found.values())


def is_public(address: str) -> bool:
    """Whether an IP address, as text, is one of the public internet."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address):
        inner = parsed.ipv4_mapped
        if parsed in _NAT64:
            inner = ipaddress.IPv4Address(int(parsed) & 0xFFFFFFFF)
        if inner is None:
            return parsed in _PUBLIC_6 and not any(parsed in net for net in _NOT_PUBLIC_6)
        parsed = inner
    return not any(parsed in net for net in _NOT_PUBLIC_4)


def is_local_host(host: str) -> bool:
    """Whether a host, in lower case, is written as one of a local network: by an address that is
    not public, or by a name that no public name server knows."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        labels = host.split(".")
        return len(labels) < 2 or labels[-1] in _LOCAL_NAMES
    return not is_public(host)


def leads_outside(transport: Transport, relay_host: str) -> bool:
    """Whether a transport is written as one that leads to the public internet. What a name leads to
    is for the transport's own program to find."""
    return not is_local_host(transport.host or relay_host) and _is_usual(transport.port)


def _relay(text: str) -> str:
    try:
        url = normalise_relay_url(text)
        host = relay_host(url)
    except InvalidUrl as error:
        raise InvalidHint(str(error)) from error
    parts = urlsplit(url)
    if parts.fragment:
        pin = parse_fragment(parts.fragment)
        safe = tuple(one for one in pin.transports if leads_outside(one, host))
        url = f"{url.partition('#')[0]}#{replace(pin, transports=safe).to_text()}"
    _check_host(host, onion=True)
    if parts.scheme == "ws" and not _ONION.fullmatch(host):
        raise InvalidHint("Only addresses that begin with wss:// are passed on.")
    _check_place(parts.port or (80 if parts.scheme == "ws" else 443), parts.path, parts.query)
    return url


def _server(kind: str, scheme: str, text: str) -> str:
    try:
        # The rules for hosts and ports are the same everywhere.
        url = normalise_relay_url("wss" + text[len(scheme) :])
        host = relay_host(url)
    except InvalidUrl as error:
        raise InvalidHint("This is not the address of a server.") from error
    parts = urlsplit(url)
    if parts.fragment or not parts.path.strip("/"):
        raise InvalidHint("The address names no folder.")
    _check_host(host, onion=False)
    port = urlsplit(text).port or _PORTS[kind]
    _check_place(443 if port == _PORTS[kind] else port, parts.path, parts.query)
    place = f"[{host}]" if ":" in host else host
    return f"{scheme}://{place}{'' if port == _PORTS[kind] else f':{port}'}{parts.path}"


def _check_host(host: str, *, onion: bool) -> None:
    if onion and _ONION.fullmatch(host):
        return
    if is_local_host(host):
        raise InvalidHint("The address leads into a local network.")


def _check_place(port: int, path: str, query: str) -> None:
    if not _is_usual(port):
        raise InvalidHint("The port is one on which other services live.")
    if query or len(path) > _MAX_PATH or not _PATH.fullmatch(path):
        raise InvalidHint("The path of the address is not a plain one.")
    if ".." in unquote(path).split("/"):
        raise InvalidHint("The path of the address is not a plain one.")


def _is_usual(port: int) -> bool:
    return port in (80, 443) or (port >= _FIRST_FREE_PORT and port not in _BAD_PORTS)


def _mail(address: str) -> str:
    match = _MAIL.fullmatch(address)
    if match is None:
        raise InvalidHint("This is no mail address.")
    domain = match["domain"].lower()
    labels = domain.split(".")
    if is_local_host(domain) or not all(labels) or labels[-1].isdigit():
        raise InvalidHint("This is no mail address.")
    return f"{address.rpartition('@')[0]}@{domain}"
