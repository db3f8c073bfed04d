"""Mail providers, one inside and one abroad: Debian's Postfix and Dovecot.

1. Ports 25 (between servers), 587 with STARTTLS and 465 with TLS for submission, 143 with STARTTLS
   and 993 with TLS for IMAP. Submission takes the sender's own address only.
2. Each server lives in one folder and reads nothing from /etc. It uses no DNS for delivery: where
   the other provider stands is written down.
3. Retries come after seconds instead of minutes, for a run is short.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from lab import ground
from lab.authority import Certificate
from lab.ground import Host
from lab.services import mail_text
from lab.world import World, WorldBroken

MASTER = Path("/usr/lib/postfix/sbin/master")
LMTP = Path("/usr/lib/dovecot/lmtp")
USER = 8
"""Debian's user and group `mail`; Dovecot refuses to deliver as root."""
LONG_AGO = (1, 1)
"""Postfix dozes while its configuration is younger than two seconds, so it is made old."""


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody's mailbox."""

    person: str
    """The local part of the address."""
    domain: str
    password: str

    @property
    def address(self) -> str:
        """The mail address."""
        return f"{self.person}@{self.domain}"


INSIDE, ABROAD = "inside.example", "abroad.example"
ACCOUNTS = {
    person: Account(person, domain, f"{person}-mail")
    for person, domain in (("ana", INSIDE), ("boris", INSIDE), ("clara", ABROAD))
}
"""The mailboxes of the people, by host."""


@dataclass(frozen=True, slots=True)
class MailServer:
    """The provider of one domain."""

    host: Host
    """Where it runs; the certificate has its names and address."""
    domain: str
    accounts: tuple[Account, ...]
    peers: tuple[tuple[str, str], ...] = ()
    """Other domains and the addresses of their servers; all others are refused."""
    quota: str = "100M"
    """The size of a mailbox, as Dovecot writes sizes."""
    longest: int = 25 * 1024 * 1024
    """Bytes of one message, as with most providers."""

    async def start(self, world: World) -> None:
        """See lab.world.Service."""
        folder = world.home(self.host.name) / "mail"
        self._make_folders(folder)
        self._write(folder, world.authority.issue(self.host.names, [self.host.address]))
        await self._run(world, "dovecot", "-c", str(folder / "dovecot.conf"))
        await self._run(world, str(MASTER), "-c", str(folder / "postfix"), "-w")

    async def _run(self, world: World, *command: str) -> None:
        """Start a server that goes to the background and returns when it listens.

        It keeps what it was given to write to, so that is a file: a pipe would never end.
        """
        said = world.home(self.host.name) / "start.log"
        with said.open("ab") as log:
            process = await world.run(self.host.name, command, stdout=log, stderr=log)
        if await process.wait():
            text = said.read_text(errors="replace").strip()
            raise WorldBroken(f"{command[0]} on {self.host.name} did not start: {text}")

    def _make_folders(self, folder: Path) -> None:
        """What `postfix check` would make, without its two seconds of shell."""
        for name in ("postfix", "data", "dovecot", "boxes", "spool/pid"):
            (folder / name).mkdir(parents=True)
        for name in mail_text.QUEUES:
            (folder / "spool" / name).mkdir(mode=0o700)
            shutil.chown(folder / "spool" / name, "postfix")
        for name, mode in (("maildrop", 0o730), ("public", 0o710)):
            (folder / "spool" / name).mkdir()
            (folder / "spool" / name).chmod(mode)
            shutil.chown(folder / "spool" / name, "postfix", "postdrop")
        shutil.chown(folder / "data", "postfix")
        os.chown(folder / "boxes", USER, USER)

    def _write(self, folder: Path, issued: Certificate) -> None:
        passwords = "".join(f"{one.address}:{{PLAIN}}{one.password}\n" for one in self.accounts)
        values = {
            "folder": str(folder),
            "name": self.host.names[0],
            "domain": self.domain,
            "address": self.host.address,
            "certificate": str(issued.certificate),
            "key": str(issued.key),
            "quota": self.quota,
            "longest": str(self.longest),
            "user": str(USER),
            "boxes": _table({one.address: "1" for one in self.accounts}),
            "owners": _table({one.address: one.address for one in self.accounts}),
            "transports": _table({name: f"smtp:[{at}]:25" for name, at in self.peers}),
        }
        files = {
            "postfix/main.cf": mail_text.MAIN.substitute(values),
            "postfix/master.cf": mail_text.MASTER,
            "dovecot.conf": mail_text.DOVECOT.substitute(values),
            "passwords": passwords,
        }
        for name, text in files.items():
            (folder / name).write_text(text)
            os.utime(folder / name, LONG_AGO)
        (folder / "passwords").chmod(0o640)
        shutil.chown(folder / "passwords", group="dovecot")


def _table(entries: dict[str, str]) -> str:
    """A Postfix table written into the configuration itself."""
    inner = ", ".join(f"{{ {name} = {value} }}" for name, value in entries.items())
    return f"inline:{{ {inner} }}" if entries else ""


def ordinary() -> list[MailServer]:
    """A provider inside for ana and boris, and one abroad for clara."""
    people = {
        domain: tuple(one for one in ACCOUNTS.values() if one.domain == domain)
        for domain in (INSIDE, ABROAD)
    }
    inside, abroad = ground.MAIL_INSIDE, ground.MAIL_ABROAD
    return [
        MailServer(inside, INSIDE, people[INSIDE], ((ABROAD, abroad.address),)),
        MailServer(abroad, ABROAD, people[ABROAD], ((INSIDE, inside.address),)),
    ]
