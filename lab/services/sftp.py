"""A domestic server that is reached by SSH: SFTP from asyncssh, one folder for all accounts.

Run as a module (`python -m lab.services.sftp`) with a JSON object of `_Options` as its argument,
this is the server itself.
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass
from pathlib import Path

import asyncssh

from lab import ground
from lab.ground import Host
from lab.services import module
from lab.world import World

PORT = 22


@dataclass(frozen=True, slots=True)
class _Options:
    address: str
    folder: str
    users: dict[str, str]


@dataclass(frozen=True, slots=True)
class Shell:
    """One folder under sftp://NAME/, shared by all who have an account."""

    host: Host = ground.DROP_INSIDE
    """Where it runs."""
    users: tuple[tuple[str, str], ...] = tuple(
        (person.name, f"{person.name}-sftp") for person in ground.PEOPLE
    )
    """Names and passwords."""

    async def start(self, world: World) -> None:
        """See lab.world.Service."""
        folder = world.home(self.host.name) / "sftp"
        folder.mkdir()
        options = _Options(self.host.address, str(folder), dict(self.users))
        await module.start(world, self.host, __name__, PORT, asdict(options))


async def _serve(options: _Options) -> None:
    class Account(asyncssh.SSHServer):
        def password_auth_supported(self) -> bool:
            return True

        def validate_password(self, username: str, password: str) -> bool:
            return options.users.get(username) == password

    def session(channel: asyncssh.SSHServerChannel[bytes]) -> asyncssh.SFTPServer:
        return asyncssh.SFTPServer(channel, chroot=options.folder.encode())

    host_key = asyncssh.generate_private_key("ssh-ed25519")
    (Path(options.folder) / "shared").mkdir()
    server = await asyncssh.create_server(
        Account,
        options.address,
        PORT,
        server_host_keys=[host_key],
        sftp_factory=session,
        family=0,
    )
    await server.wait_closed()


if __name__ == "__main__":
    asyncio.run(_serve(_Options(**module.options())))
