"""Name servers: the true names, from Debian's dnsmasq.

The one abroad knows every name. The resolver inside knows the domestic ones and asks the one abroad
for the rest each time: it keeps no answer, so that a forged one lasts no longer than the forgery.
"""

from __future__ import annotations

from dataclasses import dataclass

from lab import ground
from lab.ground import Host
from lab.world import World

DNSMASQ = (
    *("dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts"),
    *("--bind-interfaces", "--user=root", "--pid-file=", "--cache-size=0", "--log-facility=-"),
)


@dataclass(frozen=True, slots=True)
class NameServer:
    """A name server on UDP and TCP port 53 of a host."""

    host: Host
    """Where it runs."""
    upstream: Host | None = None
    """Whom it asks for names outside the country; None for one that knows all names itself."""

    async def start(self, world: World) -> None:
        """See lab.world.Service."""
        known = [
            f"--host-record={name},{host.address}"
            for host in ground.HOSTS
            for name in host.names
            if host.inside or self.upstream is None
        ]
        rest = f"--server={self.upstream.address}" if self.upstream else "--local=/#/"
        # Its own zone it answers in full: also that there is no address of the other family.
        own = "--local=/inside.example/"
        listen = f"--listen-address={self.host.address}"
        with (world.home(self.host.name) / "names.log").open("wb") as log:
            await world.run(
                self.host.name, [*DNSMASQ, listen, *known, own, rest], stdout=log, stderr=log
            )
        await world.listening(self.host.name, 53)


def ordinary() -> list[NameServer]:
    """The resolver inside and the name server abroad."""
    return [
        NameServer(ground.RESOLVER, upstream=ground.NAMES_ABROAD),
        NameServer(ground.NAMES_ABROAD),
    ]
