"""What is kept of the paths that a person added, as JSON in the vault."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from urllib.parse import urlsplit

from volok.app.path_views import ConfiguredPath
from volok.model.urls import InvalidUrl, normalise_relay_url
from volok.paths.ground import relay_of
from volok.paths.proxy_address import InvalidProxy, parse_proxy
from volok.paths.tor_bridge import InvalidBridge, parse_bridge

MOST_PATHS = 20
MOST_BRIDGES = 20
TOR = "tor:"
"""The URL of a Tor that is found on this computer, or started."""


def make_entry(
    name: str, url: str, relays: Sequence[str], only: bool, bridges: Sequence[str]
) -> ConfiguredPath:
    """Check and normalise a path. Raises InvalidProxy, InvalidBridge, InvalidUrl."""
    address = tor_url(url) or parse_proxy(url).to_url()
    lines = tuple(parse_bridge(line).to_text() for line in bridges)
    if lines and address != TOR:
        raise InvalidBridge("Bridges are for a Tor that the program starts: path add tor.")
    if len(lines) > MOST_BRIDGES:
        raise InvalidBridge(f"Give at most {MOST_BRIDGES} bridges.")
    named = tuple(normalise_relay_url(relay) for relay in relays)
    return ConfiguredPath(name, address, named, only, lines)


def tor_url(url: str) -> str | None:
    """The URL of a Tor in its one form: `tor:`, or tor://ADDRESS:PORT of one that runs; None for
    what is no Tor. Raises InvalidProxy."""
    text = url.strip().lower()
    if text in ("tor", TOR, f"{TOR}//"):
        return TOR
    if not text.startswith(f"{TOR}//"):
        return None
    try:
        parts = urlsplit(text)
        address = ipaddress.ip_address(parts.hostname or "")
        if parts.port and not (parts.path.strip("/") or parts.username or parts.query):
            host = f"[{address}]" if address.version == 6 else str(address)
            return f"{TOR}//{host}:{parts.port}"
    except ValueError:
        pass
    raise InvalidProxy("A Tor that runs elsewhere reads tor://ADDRESS:PORT (its SOCKS port).")


def parse_tor(url: str) -> tuple[str, int] | None:
    """Where a Tor takes SOCKS, as its URL says; None: it is to be found or started."""
    if url == TOR:
        return None
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or 0


def parse_configured(value: object) -> tuple[ConfiguredPath, ...]:
    """Read what lies in the vault; entries that make no sense are left out."""
    found: list[ConfiguredPath] = []
    for entry in value if isinstance(value, list) else ():
        try:
            name, bridges = entry["name"], entry.get("bridges", ())
            made = make_entry(name, entry["url"], entry["relays"], bool(entry["only"]), bridges)
            if type(name) is str and name and all(one.name != name for one in found):
                found.append(made)
        except (KeyError, TypeError, AttributeError, InvalidProxy, InvalidBridge, InvalidUrl):
            continue
    return tuple(found[:MOST_PATHS])


def serves(entry: ConfiguredPath, url: str) -> bool:
    """Whether a path is for the relay of this URL; every port of its host is."""
    return not entry.relays or _host(url) in map(_host, entry.relays)


def _host(url: str) -> str:
    return relay_of(url).rpartition(":")[0]
