"""Our own relays: `volok relay` as an operator runs it, with nginx for TLS before it."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from lab import ground
from lab.ground import Host
from lab.services.web import serve
from lab.world import World

PORT = 7777
"""The port of the relay itself, on its host's loopback."""
RECORD = 1300
"""Bytes of a whole TLS record at most: large ones fill a counted connection too soon."""


@dataclass(frozen=True, slots=True)
class Relay:
    """A relay under wss://NAME."""

    host: Host
    """Where it runs; its name is the host's first."""

    async def start(self, world: World) -> None:
        """See lab.world.Service."""
        home, name = world.home(self.host.name), self.host.names[0]
        url = f"wss://{name}"
        volok = [sys.executable, "-m", "volok", "relay"]
        options = ["--port", str(PORT), "--data", str(home / "relay"), "--url", url]
        with (home / "relay.log").open("wb") as log:
            await world.run(self.host.name, [*volok, *options], stdout=log, stderr=log)
        issued = world.authority.issue(self.host.names, [self.host.address])
        await serve(
            world,
            self.host,
            f"""\
  server {{
    listen {self.host.address}:443 ssl;
    ssl_certificate {issued.certificate};
    ssl_certificate_key {issued.key};
    ssl_buffer_size {RECORD};
    client_max_body_size 0;
    location / {{
      proxy_pass http://127.0.0.1:{PORT};
      proxy_http_version 1.1;
      proxy_set_header Host $host;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
      proxy_read_timeout 1h;
      proxy_buffering off;
      proxy_request_buffering off;
    }}
  }}""",
        )
        await world.listening(self.host.name, PORT, "127.0.0.1")
        world.relay_urls[self.host.name] = url


def ordinary() -> list[Relay]:
    """The three relays abroad."""
    return [Relay(host) for host in ground.RELAYS]
