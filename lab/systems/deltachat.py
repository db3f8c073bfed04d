"""Delta Chat on the bench: its core and its own library, unmodified, over the lab's mail servers.

1. Ana and Boris have mailboxes with the provider inside, Clara has one with the provider abroad. So
   nobody's client crosses the border; only the two mail servers do, when one delivers to the other.
2. People are introduced by SecureJoin, as with a QR code shown in person. All mail is encrypted.
3. Settings are those of the core but for the account: the two servers by name, with TLS from the
   first byte, as the core's own search would find them. They are given, for that search would ask
   servers that are not in the lab. The certificates of the lab's authority are taken without
   check, since the core knows only the public authorities; that changes nothing on the wire.
4. No time-out of the core is changed. Those of the lab's servers are: a mail that could not be
   delivered is tried again within seconds (see `lab.services.mail`), where providers wait minutes.
5. A picture is sent as a file, which the core does not make smaller: its bytes travel as with the
   other systems.
"""

from __future__ import annotations

import asyncio
from importlib.util import find_spec
from itertools import combinations
from pathlib import Path
from typing import Any

from lab import ground
from lab.ground import Host
from lab.services.mail import ACCOUNTS, INSIDE, Account
from lab.systems import PEOPLE, Arrival, Bench, Driver, SystemFailed

PERSON = "lab.services.deltachat_person"
"""The module of the driver."""
LIBRARIES = ("deltachat_rpc_client", "deltachat_rpc_server")
PATIENCE = 60.0
"""Seconds that signing in, or all introductions, may take while nothing is blocked."""


def login(account: Account, server: Host) -> dict[str, Any]:
    """What the core is told about an account, in the words of its JSON-RPC (EnteredLoginParam)."""
    name = server.names[0]
    return {
        "addr": account.address,
        "password": account.password,
        "imapServer": name,
        "imapPort": 993,
        "imapSecurity": "ssl",
        "imapUser": account.address,
        "smtpServer": name,
        "smtpPort": 465,
        "smtpSecurity": "ssl",
        "smtpUser": account.address,
        "smtpPassword": account.password,
        "certificateChecks": "acceptInvalidCertificates",
    }


def provider(account: Account) -> Host:
    """The mail server that an account is with."""
    return ground.MAIL_INSIDE if account.domain == INSIDE else ground.MAIL_ABROAD


class DeltaChat:
    """Three people with an account each."""

    name = "deltachat"
    sends_pictures = True
    uses_relays = False
    uses_mail = True

    def __init__(self) -> None:
        self._drivers: dict[str, Driver] = {}
        self._folder = Path()
        self._pictures = 0

    async def setup(self, world: Bench) -> None:
        """See System."""
        if not all(map(find_spec, LIBRARIES)):
            raise SystemFailed("Delta Chat is not installed; it comes with the extra `lab`.")
        self._folder = world.folder / self.name
        try:
            async with asyncio.timeout(PATIENCE):
                await asyncio.gather(*(self._start(world, person) for person in PEOPLE))
            async with asyncio.timeout(PATIENCE):
                await self._introduce()
        except TimeoutError as error:
            raise SystemFailed("Delta Chat's accounts were not ready in time.") from error

    async def send(self, sender: str, receiver: str, text: str) -> None:
        """See System."""
        await self._drivers[sender].ask("send", to=ACCOUNTS[receiver].address, text=text)

    async def received(self, person: str) -> list[Arrival]:
        """See System."""
        return list(self._drivers[person].texts)

    async def send_picture(self, sender: str, receiver: str, data: bytes) -> None:
        """See System."""
        self._pictures += 1
        file = self._folder / f"picture-{self._pictures}.jpg"
        file.write_bytes(data)
        address = ACCOUNTS[receiver].address
        await self._drivers[sender].ask("send_picture", to=address, file=str(file))

    async def pictures(self, person: str) -> list[float]:
        """See System."""
        return list(self._drivers[person].pictures)

    async def paths(self) -> list[str]:
        """See System."""
        return ["mail"]

    async def close(self) -> None:
        """See System."""
        await asyncio.gather(*(driver.close() for driver in self._drivers.values()))

    async def _start(self, world: Bench, person: str) -> None:
        folder = self._folder / person
        folder.mkdir(parents=True)
        driver = self._drivers[person] = await Driver.start(world, person, PERSON, str(folder))
        account = ACCOUNTS[person]
        await driver.ask("sign_in", login=login(account, provider(account)))

    async def _introduce(self) -> None:
        for host, guest in combinations(PEOPLE, 2):
            code = await self._drivers[host].ask("invite")
            await self._drivers[guest].ask("accept", code=code)
        for person in PEOPLE:
            others = [ACCOUNTS[other].address for other in PEOPLE if other != person]
            await self._drivers[person].ask("knows", addresses=others)
