"""Our own relays: `volok relay` as an operator runs it, by itself on port 443 behind a cover."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass

from lab import ground
from lab.ground import Host
from lab.world import World

PORT = 443


@dataclass(frozen=True, slots=True)
class Relay:
    """A relay with a certificate of the lab's authority, so that any client may use it; people get
    the address that `volok relay link` prints."""

    host: Host
    """Where it runs; its name is the host's first."""
    hidden: bool = True
    """Whether it stands behind a secret path; in the open, it is what probes of a censor find."""

    async def start(self, world: World) -> None:
        """See lab.world.Service."""
        home, name = world.home(self.host.name), self.host.names[0]
        issued = world.authority.issue(self.host.names, [self.host.address])
        data = ["--data", str(home / "relay")]
        volok = [sys.executable, "-m", "volok", "relay"]
        tls = ["--tls", "--cert", str(issued.certificate), "--key", str(issued.key)]
        where = ["--host", self.host.address, "--port", str(PORT)]
        where += ["--secret-path", "auto" if self.hidden else "none"]
        with (home / "relay.log").open("wb") as log:
            await world.run(self.host.name, [*volok, *where, *data, *tls], stdout=log, stderr=log)
        await world.listening(self.host.name, PORT, self.host.address)
        link = await world.done(self.host.name, [*volok, "link", *data, "--host", name, "--json"])
        world.relay_urls[self.host.name] = str(json.loads(link)["url"])


def ordinary() -> list[Relay]:
    """The three relays abroad."""
    return [Relay(host) for host in ground.RELAYS]
