"""The local networks that this computer is in, and which addresses lie on them.

A local network is what stands behind an interface on which everybody hears everybody: no loopback,
no tunnel, no bridge of virtual machines. An address lies on it when the interface reaches it
without a router: nothing else is ever dialled, whatever somebody on the network announces.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import ifaddr

DEVICES = Path("/sys/class/net")
MOST_NETWORKS = 4
"""Local networks that are used at once."""

_UP, _LOOPBACK, _MULTICAST = 0x1, 0x8, 0x1000
_ELSEWHERE = (
    *("tun", "tap", "wg", "ppp", "utun", "ipsec", "gif", "stf", "zt", "tailscale", "nordlynx"),
    *("proton", "mullvad", "awdl", "llw", "docker", "br-", "virbr", "vnet", "vmnet", "vboxnet"),
    *("lxc", "lxd", "cni", "flannel", "cali", "podman", "rmnet", "wwan"),
)
"""How the names of tunnels, of mobile data and of bridges to virtual machines begin."""


@dataclass(frozen=True, slots=True)
class Interface:
    """One interface to a local network."""

    name: str
    index: int
    v4: tuple[ipaddress.IPv4Interface, ...]
    v6: ipaddress.IPv6Address | None = None
    """Its link-local address."""

    @property
    def addresses(self) -> tuple[str, ...]:
        """Our own addresses there, in text, without scope."""
        return (*(str(one.ip) for one in self.v4), *([str(self.v6)] if self.v6 else []))


def local_interfaces(devices: Path = DEVICES) -> list[Interface]:
    """The interfaces to local networks, at most MOST_NETWORKS. Raises OSError."""
    found = []
    for adapter in ifaddr.get_adapters():
        if not is_local(adapter.name, _flags(devices, adapter.name)):
            continue
        v4 = [
            ipaddress.IPv4Interface(f"{one.ip}/{one.network_prefix}")
            for one in adapter.ips
            if isinstance(one.ip, str)
        ]
        v6 = [ipaddress.IPv6Address(one.ip[0]) for one in adapter.ips if isinstance(one.ip, tuple)]
        # A prefix of 31 or 32 bits is a link to one other end, or to nobody.
        v4 = sorted(one for one in v4 if one.network.prefixlen < 31 and not one.is_loopback)
        near = min((one for one in v6 if one.is_link_local), default=None)
        if adapter.index is not None and v4:
            found.append(Interface(adapter.name, adapter.index, tuple(v4), near))
    return sorted(found, key=lambda one: one.index)[:MOST_NETWORKS]


def is_local(name: str, flags: int | None) -> bool:
    """Whether an interface of this name, with these flags (netdevice(7); None where the system does
    not tell), is one to a local network."""
    if flags is not None and (flags & _LOOPBACK or not flags & _UP or not flags & _MULTICAST):
        return False
    return not name.lower().startswith(_ELSEWHERE)


def dialable(addresses: Iterable[str], interface: Interface) -> list[str]:
    """Those of the addresses that may be dialled from this interface, in the form in which a socket
    takes them; what is no address is left out, and so are our own."""
    found = []
    for text in addresses:
        try:
            address = ipaddress.ip_address(text.partition("%")[0])
        except ValueError:
            continue
        if isinstance(address, ipaddress.IPv6Address):
            if interface.v6 is not None and address.is_link_local and address != interface.v6:
                found.append(f"{address}%{interface.index}")
        elif _is_near(address, interface):
            found.append(str(address))
    return list(dict.fromkeys(found))


def _is_near(address: ipaddress.IPv4Address, interface: Interface) -> bool:
    if address.is_loopback or address.is_multicast or address.is_unspecified:
        return False
    return any(
        address in one.network
        and address not in (one.ip, one.network.network_address, one.network.broadcast_address)
        for one in interface.v4
    ) and all(address != one.ip for one in interface.v4)


def _flags(devices: Path, name: str) -> int | None:
    try:
        return int((devices / name / "flags").read_text(), 16)
    except (OSError, ValueError):
        return None
