"""Real mail providers on loopback for tests: Debian's Postfix and Dovecot, as the lab runs them.

Each has an address of its own in 127.0.0.0/8, so that ports are the usual ones and runs that go on
at the same time do not meet.
"""

from __future__ import annotations

import asyncio
import contextlib
import imaplib
import os
import secrets
import shutil
import signal
import ssl
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from lab.authority import Authority, Certificate
from lab.ground import Host
from lab.services.mail import LMTP, LONG_AGO, MASTER, Account, MailServer
from lab.world import World

from volok.paths.mail_account import MailAccount, usual_account

REASON = next(
    (
        reason
        for reason, missing in (
            ("Postfix and Dovecot run as root only.", os.geteuid() != 0),
            ("Postfix is not installed.", not MASTER.exists()),
            ("Dovecot is not installed.", not LMTP.exists() or not shutil.which("dovecot")),
        )
        if missing
    ),
    None,
)
"""Why these tests cannot run here; None when they can."""

PASSWORD = 'pass wörd "1"'


class _Loopback:
    """The part of a world of the lab that its mail server asks for, on this machine itself."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.authority = Authority(folder / "authority")

    def home(self, host: str) -> Path:
        home = self._folder / host
        home.mkdir(exist_ok=True)
        return home

    async def run(
        self, host: str, argv: tuple[str, ...], **streams: Any
    ) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(*argv, cwd=self.home(host), **streams)


class _LoopbackServer(MailServer):
    """Postfix takes no address of 127.0.0.0/8 for one of its interfaces but 127.0.0.1; its services
    may listen on any. And a mailbox that is full takes nothing more."""

    def _write(self, folder: Path, issued: Certificate) -> None:
        super()._write(folder, issued)
        main, master = folder / "postfix" / "main.cf", folder / "postfix" / "master.cf"
        address = self.host.address
        main.write_text(
            main.read_text().replace(f"interfaces = {address}", "interfaces = 127.0.0.1")
        )
        master.write_text(
            "".join(
                f"{address}:{line}\n" if line[:1].isdigit() else f"{line}\n"
                for line in master.read_text().splitlines()
            )
        )
        dovecot = folder / "dovecot.conf"
        dovecot.write_text(f"{dovecot.read_text()}\nplugin {{\n  quota_grace = 0\n}}\n")
        for file in (main, master, dovecot):
            os.utime(file, LONG_AGO)


@dataclass(frozen=True)
class Providers:
    """Two providers that deliver to each other: ana and boris are with one, clara with the other;
    the mailbox of `small` holds next to nothing."""

    folder: Path
    hosts: dict[str, Host]
    """By domain."""

    @property
    def authority(self) -> Path:
        """The certificate that is to be trusted."""
        return self.folder / "authority" / "root.pem"

    @property
    def tls(self) -> ssl.SSLContext:
        """Trusts the providers."""
        return ssl.create_default_context(cafile=str(self.authority))

    def account(self, person: str, **changed: str) -> MailAccount:
        """Somebody's account; `changed` as with `usual_account`."""
        domain = "abroad.example" if person == "clara" else "inside.example"
        server = self.hosts[domain].address
        values = {
            "address": f"{person}@{domain}",
            "user": "",
            "password": PASSWORD,
            "imap": server,
            "smtp": server,
        }
        return usual_account(**(values | changed))

    def box(self, person: str) -> Path:
        """Where the provider keeps somebody's mail (a maildir)."""
        domain = "abroad.example" if person == "clara" else "inside.example"
        return self.folder / self.hosts[domain].name / "mail" / "boxes" / person

    def imap(self, person: str) -> imaplib.IMAP4_SSL:
        """Somebody's own mail program."""
        account = self.account(person)
        box = imaplib.IMAP4_SSL(account.imap.host, ssl_context=self.tls)
        box.authenticate("PLAIN", lambda _: f"\0{account.user}\0{account.password}".encode())
        return box

    def empty(self) -> None:
        """Delete all mail."""
        for person in ("ana", "boris", "clara"):
            with self.imap(person) as box:
                for folder in ("INBOX", "Sent"):
                    box.select(folder)
                    box.uid("STORE", "1:*", "+FLAGS.SILENT", r"(\Deleted)")
                    box.expunge()

    def mails(self, person: str, folder: str = "") -> list[Path]:
        """The files in a folder of somebody's mailbox."""
        return sorted(
            path
            for place in ("new", "cur")
            for path in (self.box(person) / folder).glob(f"{place}/*")
        )


@contextmanager
def providers() -> Iterator[Providers]:
    """Run both."""
    root = Path(tempfile.mkdtemp(prefix="volok-mail-"))
    root.chmod(0o755)  # the servers have users of their own
    made = Providers(
        root, {domain: _host(domain) for domain in ("inside.example", "abroad.example")}
    )
    inside, abroad = made.hosts.values()
    try:
        world = cast(World, _Loopback(root))

        async def start() -> None:
            people = tuple(
                Account(person, "inside.example", PASSWORD) for person in ("ana", "boris")
            )
            clara = (Account("clara", "abroad.example", PASSWORD),)
            for server in (
                _LoopbackServer(
                    inside, "inside.example", people, (("abroad.example", abroad.address),)
                ),
                _LoopbackServer(
                    abroad,
                    "abroad.example",
                    clara,
                    (("inside.example", inside.address),),
                    quota="1M",
                ),
            ):
                await server.start(world)

        asyncio.run(start())
        yield made
    finally:
        _stop(root / host.name / "mail" for host in made.hosts.values())
        shutil.rmtree(root, ignore_errors=True)


def free_address() -> str:
    """An address of this machine that nobody else uses, as good as surely."""
    return ".".join(["127", *(str(1 + secrets.randbelow(253)) for _ in range(3))])


def _host(domain: str) -> Host:
    return Host(f"mail-{domain.partition('.')[0]}", free_address(), (f"mail.{domain}",))


def _stop(folders: Iterable[Path]) -> None:
    """End providers, by the process ids that they wrote down."""
    ended = []
    for folder in folders:
        for pid in ("dovecot/master.pid", "spool/pid/master.pid"):
            with contextlib.suppress(ProcessLookupError, FileNotFoundError):
                ended.append(int((folder / pid).read_text()))
                os.kill(ended[-1], signal.SIGTERM)
    end = time.monotonic() + 3
    for number in ended:
        with contextlib.suppress(FileNotFoundError):
            while time.monotonic() < end:
                os.readlink(f"/proc/{number}/exe")  # there is none once it has ended
                time.sleep(0.02)
