"""A domestic cloud folder: WebDAV over TLS from WsgiDAV and Cheroot.

Run as a module (`python -m lab.services.dav`) with a JSON object of `_Options` as its argument,
this is the server itself.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from cheroot.ssl.builtin import BuiltinSSLAdapter
from cheroot.wsgi import Server
from wsgidav.wsgidav_app import WsgiDAVApp  # type: ignore[import-untyped]

from lab import ground
from lab.ground import Host
from lab.services import module
from lab.world import World

PORT = 443


@dataclass(frozen=True, slots=True)
class _Options:
    address: str
    folder: str
    certificate: str
    key: str
    users: dict[str, str]


@dataclass(frozen=True, slots=True)
class CloudFolder:
    """One folder under https://NAME/, shared by all who have an account."""

    host: Host = ground.DROP_INSIDE
    """Where it runs."""
    users: tuple[tuple[str, str], ...] = tuple(
        (person.name, f"{person.name}-dav") for person in ground.PEOPLE
    )
    """Names and passwords."""

    async def start(self, world: World) -> None:
        """See lab.world.Service."""
        folder = world.home(self.host.name) / "files"
        folder.mkdir()
        issued = world.authority.issue(self.host.names, [self.host.address])
        options = _Options(
            self.host.address,
            str(folder),
            str(issued.certificate),
            str(issued.key),
            dict(self.users),
        )
        await module.start(world, self.host, __name__, PORT, asdict(options))


def _serve(options: _Options) -> None:
    users = {name: {"password": password} for name, password in options.users.items()}
    application = WsgiDAVApp(
        {
            "provider_mapping": {"/": options.folder},
            "simple_dc": {"user_mapping": {"*": users}},
            "http_authenticator": {"accept_basic": True, "accept_digest": False},
            "property_manager": True,
            "lock_storage": True,
            "verbose": 1,
            "logging": {"enable": False},
        }
    )
    server = Server((options.address, PORT), application)
    server.ssl_adapter = BuiltinSSLAdapter(options.certificate, options.key)
    server.start()


if __name__ == "__main__":
    _serve(_Options(**module.options()))
