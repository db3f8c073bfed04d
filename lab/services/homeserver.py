"""A Matrix homeserver: Synapse, unmodified, with nginx for TLS before it.

1. Its settings are its own but for names, folders and keys, and for the limit on how fast one
   person may write: one message in five seconds would be measured instead of the network.
2. It federates with nobody, asks nobody for keys, and reports nothing.
3. The configuration is written as JSON, which is YAML, too.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab import ground
from lab.ground import Host
from lab.services.web import serve
from lab.world import World

PORT = 8008
"""The port of Synapse itself, on its host's loopback."""
MODULE = "synapse.app.homeserver"
REGISTER = "synapse._scripts.register_new_matrix_user"
UPLOAD = "50M"
"""The longest file, to Synapse and to nginx; Synapse's own value."""
WITHOUT_LIMIT = {"per_second": 1000, "burst_count": 1000}


@dataclass(frozen=True, slots=True)
class Homeserver:
    """The one homeserver of all three people."""

    host: Host = ground.MAIL_ABROAD
    """Where it runs; nothing else may listen on port 443 there."""

    @property
    def url(self) -> str:
        """Where clients find it."""
        return f"https://{self.host.names[0]}"

    def user(self, person: str) -> str:
        """The Matrix name of a person."""
        return f"@{person}:{self.host.names[0]}"

    async def start(self, world: World) -> None:
        """See lab.world.Service."""
        home = world.home(self.host.name) / "synapse"
        home.mkdir()
        self._write(home)
        command = [sys.executable, "-m", MODULE, "--config-path", str(home / "homeserver.yaml")]
        await world.done(self.host.name, [*command, "--generate-keys"])
        with (home / "output.log").open("wb") as log:
            await world.run(self.host.name, command, stdout=log, stderr=log)
        issued = world.authority.issue(self.host.names, [self.host.address])
        await serve(
            world,
            self.host,
            f"""\
  server {{
    listen {self.host.address}:443 ssl;
    ssl_certificate {issued.certificate};
    ssl_certificate_key {issued.key};
    client_max_body_size {UPLOAD};
    location / {{
      proxy_pass http://127.0.0.1:{PORT};
      proxy_http_version 1.1;
      proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto $scheme;
    }}
  }}""",
        )
        await world.listening(self.host.name, PORT, "127.0.0.1")

    async def register(self, world: World, people: Mapping[str, str]) -> None:
        """Make accounts; `people` are passwords by person. Raises WorldBroken."""
        config = world.home(self.host.name) / "synapse/homeserver.yaml"
        command = [sys.executable, "-m", REGISTER, "--no-admin", "--config", str(config)]
        here = f"http://127.0.0.1:{PORT}"
        await asyncio.gather(
            *(
                world.done(self.host.name, [*command, "-u", person, "-p", password, here])
                for person, password in people.items()
            )
        )

    def _write(self, home: Path) -> None:
        (home / "homeserver.yaml").write_text(json.dumps(configuration(self, home)))
        (home / "logging.yaml").write_text(json.dumps(logging(home)))


def configuration(server: Homeserver, home: Path) -> dict[str, Any]:
    """Synapse's settings, with all its files in `home`; the secrets are new each time."""
    listener = {
        "port": PORT,
        "bind_addresses": ["127.0.0.1"],
        "type": "http",
        "x_forwarded": True,
        "resources": [{"names": ["client"]}],
    }
    return {
        "server_name": server.host.names[0],
        "public_baseurl": f"{server.url}/",
        "report_stats": False,
        "pid_file": str(home / "pid"),
        "signing_key_path": str(home / "signing.key"),
        "media_store_path": str(home / "media"),
        "log_config": str(home / "logging.yaml"),
        "database": {"name": "sqlite3", "args": {"database": str(home / "homeserver.db")}},
        "registration_shared_secret": secrets.token_hex(),
        "macaroon_secret_key": secrets.token_hex(),
        "form_secret": secrets.token_hex(),
        "trusted_key_servers": [],
        "federation_domain_whitelist": [],
        "max_upload_size": UPLOAD,
        "rc_message": WITHOUT_LIMIT,
        "listeners": [listener],
    }


def logging(home: Path) -> dict[str, Any]:
    """Warnings to a file."""
    handler = {"class": "logging.FileHandler", "filename": str(home / "homeserver.log")}
    root: dict[str, str | Sequence[str]] = {"level": "WARNING", "handlers": ["file"]}
    return {"version": 1, "handlers": {"file": handler}, "root": root}
