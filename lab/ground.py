"""The ground of the lab: which hosts there are, where they stand, and what they are called.

Addresses come from the ranges kept for documentation (RFC 5737), names from the domains kept for it
(RFC 2606). 192.0.2.0/24 is the country; the other two ranges lie abroad. The upper half of one of
them belongs to providers of people, the rest to hosters.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from lab.censor import Ground

COUNTRY = IPv4Network("192.0.2.0/24")
"""The network of the country: its border is the one that is watched."""
HOSTERS = (IPv4Network("203.0.113.0/24"), IPv4Network("198.51.100.0/25"))
"""Networks of foreign hosters."""


@dataclass(frozen=True, slots=True)
class Host:
    """A machine in the lab: a network namespace with one cable."""

    name: str
    """The name of its namespace."""
    address: str
    """Its IPv4 address."""
    names: tuple[str, ...] = ()
    """Its names in the DNS."""

    @property
    def inside(self) -> bool:
        """Whether it stands in the country."""
        return IPv4Address(self.address) in COUNTRY


ANA = Host("ana", "192.0.2.10")
BORIS = Host("boris", "192.0.2.11")
MAIL_INSIDE = Host("mail-inside", "192.0.2.25", ("mail.inside.example",))
DROP_INSIDE = Host("drop-inside", "192.0.2.30", ("drop.inside.example",))
RESOLVER = Host("resolver", "192.0.2.53")
WEB_INSIDE = Host("web-inside", "192.0.2.80", ("news.inside.example",))
CENSOR = Host("censor", "192.0.2.99")
CLARA = Host("clara", "198.51.100.210")
RELAY1 = Host("relay1", "203.0.113.11", ("relay1.example",))
RELAY2 = Host("relay2", "203.0.113.12", ("relay2.example",))
RELAY3 = Host("relay3", "198.51.100.13", ("relay3.example",))
MAIL_ABROAD = Host("mail-abroad", "198.51.100.25", ("mail.abroad.example",))
NAMES_ABROAD = Host("names-abroad", "198.51.100.53")
"""The name server that knows all names. The resolver inside asks it across the border for
everything that is not domestic, so that a forged answer can win that race."""
WEB_ABROAD = Host("web-abroad", "203.0.113.80", ("www.plain.example",))

PEOPLE = (ANA, BORIS, CLARA)
RELAYS = (RELAY1, RELAY2, RELAY3)
HOSTS = (
    *PEOPLE,
    *RELAYS,
    MAIL_INSIDE,
    DROP_INSIDE,
    RESOLVER,
    WEB_INSIDE,
    CENSOR,
    MAIL_ABROAD,
    NAMES_ABROAD,
    WEB_ABROAD,
)
"""All hosts of an ordinary world."""
WAITING = tuple(Host(f"waiting{number}", f"192.0.2.{100 + number}") for number in range(12))
"""Spare hosts inside, for nodes that only wait (`lab.idle`)."""
BY_NAME = {host.name: host for host in (*HOSTS, *WAITING)}


def ordinary() -> Ground:
    """What a censor knows: our relays are listed, the domestic servers are spared."""
    domestic = (MAIL_INSIDE, DROP_INSIDE, RESOLVER, WEB_INSIDE)
    return Ground(
        listed_names=frozenset(name for relay in RELAYS for name in relay.names),
        listed_addresses=frozenset(relay.address for relay in RELAYS),
        hosters=HOSTERS,
        allowed_names=frozenset(name for host in domestic for name in host.names),
        allowed_addresses=frozenset(host.address for host in domestic),
        people=frozenset(host.address for host in PEOPLE if host.inside),
    )
