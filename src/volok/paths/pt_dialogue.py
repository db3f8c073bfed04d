"""What a pluggable transport's program says when it is started (pt-spec, version 1). Pure.

1. Its standard output is a dialogue of lines. `VERSION 1` comes first; then for a client
   `CMETHOD NAME socks5 ADDRESS:PORT`, for a server `SMETHOD NAME ADDRESS:PORT [ARGS:K=V,…]`; then
   `CMETHODS DONE` or `SMETHODS DONE`. A line that ends in -ERROR ends it.
2. Other lines mean nothing to us: LOG and STATUS hold addresses, so they are not even kept.
3. A client that is not on loopback, or does not speak SOCKS5, is not used: it lies, or would show
   everybody on the network what we send.

Inputs are lines; the outcome is a `Method` or TransportFailed. No line raises anything else.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from volok.model.transport import is_parameter, is_transport_name

MOST_LINES = 500
"""Lines before it must be ready."""
MOST_LINE = 4096
"""Bytes of a line."""

_PLACE = re.compile(r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|(?P<ipv4>[0-9.]+)):(?P<port>[0-9]{1,5})")
_PAIRS = re.compile(r"((?:[^\\,=]|\\.)+)=((?:[^\\,=]|\\.)*)(?:,|$)")
_SPECIAL = re.compile(r"[\\;:=]")
_UNESCAPE = re.compile(r"\\(.)")


class TransportFailed(Exception):
    """The transport's program does not work."""


@dataclass(frozen=True, slots=True)
class Method:
    """A transport that is ready."""

    host: str
    """The IP address at which it listens."""
    port: int
    parameters: tuple[tuple[str, str], ...] = ()
    """Of a server: what its clients have to know."""


class Dialogue:
    """The dialogue about one transport, as `server` or as a client."""

    def __init__(self, name: str, server: bool) -> None:
        self._name = name
        self._server = server
        self._lines = 0
        self._agreed = False
        self._found: Method | None = None

    def said(self, line: str) -> Method | None:
        """Take one line, without its end; the method once it is ready. Raises TransportFailed."""
        self._lines += 1
        if self._lines > MOST_LINES or len(line) > MOST_LINE:
            raise TransportFailed("It talks without coming to the point.")
        word, _, rest = line.strip().partition(" ")
        side = "SMETHOD" if self._server else "CMETHOD"
        if word == "VERSION":
            self._agreed = rest.split(" ")[0] == "1"
        elif word.endswith("-ERROR"):
            raise TransportFailed(self._error(word))
        elif word == side:
            self._take(rest.split(" "))
        elif word == f"{side}S" and rest == "DONE":
            if not self._agreed or self._found is None:
                raise TransportFailed("It does not know this transport.")
            return self._found
        return None

    def _error(self, word: str) -> str:
        return {
            "VERSION-ERROR": "It does not speak version 1 of the transports' protocol.",
            "ENV-ERROR": "It does not understand how it was started.",
            "PROXY-ERROR": "It cannot use the proxy.",
        }.get(word, "It does not know this transport, or cannot listen.")

    def _take(self, words: Sequence[str]) -> None:
        if not words or words[0] != self._name:
            return
        place = words[1:2] if self._server else words[2:3]
        found = _PLACE.fullmatch(place[0]) if place else None
        if found is None or (not self._server and words[1] != "socks5"):
            raise TransportFailed("What it says of itself makes no sense.")
        try:
            address = ipaddress.ip_address(found["ipv6"] or found["ipv4"])
        except ValueError as error:
            raise TransportFailed("What it says of itself makes no sense.") from error
        port = int(found["port"])
        if not 0 < port < 65536 or not (self._server or address.is_loopback):
            raise TransportFailed("What it says of itself makes no sense.")
        texts = [word[5:] for word in words[2:] if self._server and word.startswith("ARGS:")]
        self._found = Method(str(address), port, parse_parameters("".join(texts[:1])))


def parse_parameters(text: str) -> tuple[tuple[str, str], ...]:
    """The parameters of a server: K=V,K=V with backslashes before `,` and `=` (pt-spec, 3.3.3).

    Raises TransportFailed.
    """
    found: list[tuple[str, str]] = []
    at = 0
    while at < len(text):
        match = _PAIRS.match(text, at)
        if match is None:
            raise TransportFailed("What it says of itself makes no sense.")
        key, value = (_UNESCAPE.sub(r"\1", part) for part in match.groups())
        if not is_parameter(key, value):
            raise TransportFailed("What it says of itself makes no sense.")
        found.append((key, value))
        at = match.end()
    return tuple(found)


def client_environment(name: str) -> dict[str, str]:
    """What a client is told (pt-spec, section 3.2)."""
    return {"TOR_PT_CLIENT_TRANSPORTS": name}


def server_environment(
    name: str, bind: str, forward_to: str, options: Mapping[str, str]
) -> dict[str, str]:
    """What a server is told: where to listen and where to pass on to (ADDRESS:PORT both), and the
    operator's options. Raises TransportFailed for what cannot be said."""
    if not is_transport_name(name):
        raise TransportFailed("This is not the name of a transport.")
    told = {
        "TOR_PT_SERVER_TRANSPORTS": name,
        "TOR_PT_SERVER_BINDADDR": f"{name}-{bind}",
        "TOR_PT_ORPORT": forward_to,
    }
    if options:
        pairs = []
        for key, value in options.items():
            if not is_parameter(key, value):
                raise TransportFailed("An option of a transport reads NAME:KEY=VALUE.")
            escaped = _SPECIAL.sub(r"\\\g<0>", value)
            pairs.append(f"{name}:{key}={escaped}")
        told["TOR_PT_SERVER_TRANSPORT_OPTIONS"] = ";".join(pairs)
    return told
