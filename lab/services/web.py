"""Websites, and the web server that an operator puts before a relay: Debian's nginx.

1. A site answers on ports 80 and 443; on 443 TLS 1.2 and 1.3 with a small P-256 certificate.
2. Its front page has 200,000 bytes and is not compressed, so that a freeze after 16 KB is seen.
3. TLS records are those of the server's own default (16 KB): this is somebody else's website.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path

from lab import ground
from lab.ground import Host
from lab.world import World

PAGE_BYTES = 200_000
"""The size of a front page."""


def page(title: str, size: int = PAGE_BYTES) -> bytes:
    """An HTML page of exactly `size` bytes."""
    head = f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title>\n".encode()
    lines = (f"<p>Paragraph {n} of what there is to read at {title}.</p>\n" for n in count(1))
    body = "".join(islice(lines, size // 40)).encode()
    return head + body[: size - len(head) - 1].ljust(size - len(head) - 1) + b"\n"


def configuration(folder: Path, servers: str) -> str:
    """The nginx configuration with these `server` blocks, keeping all its files in `folder`."""
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "\n".join(f"  {kind}_temp_path {folder}/{kind};" for kind in kinds)
    return f"""\
daemon off;
user root;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
{paths}
  access_log off;
  types {{ text/html html; }}
  ssl_protocols TLSv1.2 TLSv1.3;
  map $http_upgrade $connection_upgrade {{ default upgrade; '' close; }}
{servers}
}}
"""


async def serve(world: World, host: Host, servers: str) -> None:
    """Run nginx on a host with these `server` blocks, one of which listens on 443."""
    folder = world.home(host.name)
    file = folder / "nginx.conf"
    file.write_text(configuration(folder, servers))
    command = ["nginx", "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(file)]
    await world.run(host.name, command)
    await world.listening(host.name, 443)


@dataclass(frozen=True, slots=True)
class Website:
    """An ordinary website."""

    host: Host
    """Where it runs; its names are the host's."""

    async def start(self, world: World) -> None:
        """See lab.world.Service."""
        root = world.home(self.host.name) / "site"
        root.mkdir()
        (root / "index.html").write_bytes(page(self.host.names[0]))
        issued = world.authority.issue(self.host.names, [self.host.address])
        await serve(
            world,
            self.host,
            f"""\
  server {{
    listen {self.host.address}:80;
    listen {self.host.address}:443 ssl;
    ssl_certificate {issued.certificate};
    ssl_certificate_key {issued.key};
    root {root};
  }}""",
        )


def ordinary() -> list[Website]:
    """One website inside and one abroad."""
    return [Website(ground.WEB_INSIDE), Website(ground.WEB_ABROAD)]
