"""Which hosts may lead into a local network: only those that the person chose.

1. Addresses of relays come from contacts as well, and one of them may be an informer. Through them
   nobody may make this computer knock at itself or at its neighbours, so only addresses of the
   public internet are connected to.
2. Free of that are the relays and drops that the person chose, whatever they lead to; and where
   one of these relays is itself written as one of a local network, everything is.
3. What a name leads to is looked at after the lookup, for the very address that is connected to.
   Behind a proxy it is the proxy that looks names up, in its own network.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from volok.model.hints import is_local_host, is_public, leads_outside
from volok.model.relay_link import InvalidFragment, parse_fragment


class PrivateAddress(OSError):
    """This address leads into a local network. Only relays that you add yourself may."""


class Guard:
    """Shared by all paths of a node. Hosts are in lower case."""

    def __init__(self) -> None:
        self._own: frozenset[str] | None = None
        self._drops: set[str] = set()

    def own_relays(self, hosts: Iterable[str]) -> None:
        """The hosts of the relays that the person chose. With none of them, or with one of a local
        network among them, nothing is guarded."""
        chosen = frozenset(hosts)
        self._own = None if not chosen or any(map(is_local_host, chosen)) else chosen

    def own_drop(self, host: str) -> None:
        """The host of a drop that the person chose."""
        self._drops.add(host)

    def covers(self, host: str) -> bool:
        """Whether this host may lead to the public internet alone."""
        return self._own is not None and host.lower() not in self._own | self._drops

    def allows_transports(self, url: str) -> bool:
        """Whether the pluggable transports that a relay's URL names may be used."""
        host, fragment = urlsplit(url).hostname or "", url.partition("#")[2]
        try:
            transports = parse_fragment(fragment).transports if fragment else ()
        except InvalidFragment:
            return False
        return not self.covers(host) or all(leads_outside(one, host) for one in transports)

    def check(self, host: str, address: str) -> None:
        """Raises PrivateAddress when this host may not lead to this address."""
        if self.covers(host) and not is_public(address):
            raise PrivateAddress(PrivateAddress.__doc__)
