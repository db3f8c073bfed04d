"""Telling networks apart without storing where the person was.

A network is named by a keyed hash of its gateway's hardware address (or, where there is none, of
the gateway's address and the kind of interface). Without the key, which lies in the vault, nobody
can check a guess; names of networks and addresses are never stored.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from pathlib import Path

ROUTES = Path("/proc/net/route")
NEIGHBOURS = Path("/proc/net/arp")
OFFLINE = "offline"
"""The name while there is no default route."""
_UP, _GATEWAY = 0x1, 0x2
_NAME_LENGTH = 16


def network_name(routes: str, neighbours: str, key: bytes) -> str:
    """The opaque name of the network: 16 hexadecimal characters, or `OFFLINE`.

    `routes` and `neighbours` are the texts of /proc/net/route and /proc/net/arp (proc(5)), `key` is
    32 random bytes. Lines that make no sense are left out. Several default routes: the one that
    the system prefers.
    """
    found = sorted(_default_routes(routes))
    if not found:
        return OFFLINE
    _, interface, gateway = found[0]
    hardware = _hardware(neighbours, gateway, interface) if gateway else ""
    # The name of an interface may hold its own address; its first letters tell its kind.
    fact = hardware or f"{gateway} {interface[:2]}"
    return hmac.digest(key, fact.encode(), "sha256").hex()[:_NAME_LENGTH]


def read_network(key: bytes, routes: Path = ROUTES, neighbours: Path = NEIGHBOURS) -> str:
    """The name of the network that this computer is in now; `OFFLINE` where it cannot be told."""
    return network_name(_text(routes), _text(neighbours), key)


class NetworkReader:
    """Reads the name of the network at most every `every` seconds of the clock."""

    def __init__(self, key: bytes, clock: Callable[[], float], every: float = 1.0) -> None:
        self._key = key
        self._clock = clock
        self._every = every
        self._read_at: float | None = None
        self._name = OFFLINE

    def __call__(self) -> str:
        """The name of the network now, or a moment ago."""
        now = self._clock()
        if self._read_at is None or not 0 <= now - self._read_at < self._every:
            self._read_at, self._name = now, read_network(self._key)
        return self._name


def _default_routes(routes: str) -> list[tuple[int, str, str]]:
    found = []
    for line in routes.splitlines()[1:]:
        fields = line.split()
        try:
            interface, destination, gateway, mask = fields[0], fields[1], fields[2], fields[7]
            flags, metric = int(fields[3], 16), int(fields[6])
            is_default = int(destination, 16) == 0 and int(mask, 16) == 0
            address = ".".join(str(byte) for byte in int(gateway, 16).to_bytes(4, "little"))
        except (IndexError, ValueError, OverflowError):
            continue
        if is_default and flags & _UP:
            found.append((metric, interface, address if flags & _GATEWAY else ""))
    return found


def _hardware(neighbours: str, gateway: str, interface: str) -> str:
    for line in neighbours.splitlines()[1:]:
        fields = line.split()
        if len(fields) == 6 and fields[0] == gateway and fields[5] == interface:
            return "" if fields[3] == "00:00:00:00:00:00" else fields[3].lower()
    return ""


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
