"""Our own relays: `volok relay` as an operator runs it, by itself on port 443 behind a cover."""

from __future__ import annotations

import sys
from asyncio.subprocess import PIPE
from dataclasses import dataclass

from lab import ground
from lab.ground import Host
from lab.world import World, WorldBroken
from volok.relay.link import links, recall

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
            running = await world.run(
                self.host.name, [*volok, *where, *data, *tls], stdout=PIPE, stderr=log
            )
        assert running.stdout is not None
        if not await running.stdout.readline():  # it prints its own address once it listens
            said = (home / "relay.log").read_text(errors="replace").strip()
            raise WorldBroken(f"The relay on {self.host.name} did not start: {said}")
        # What `volok relay link` prints.
        (world.relay_urls[self.host.name],) = links(recall(home / "relay"), [name])


def ordinary() -> list[Relay]:
    """The three relays abroad."""
    return [Relay(host) for host in ground.RELAYS]
