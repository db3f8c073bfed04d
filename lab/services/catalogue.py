"""All services of an ordinary world."""

from __future__ import annotations

import shutil

from lab.enter import LabUnavailable
from lab.services import mail, names, relay, web
from lab.services.dav import CloudFolder
from lab.services.s3 import ObjectStore
from lab.services.sftp import Shell
from lab.world import Service

PROGRAMS = {
    "dnsmasq": "dnsmasq-base",
    "nginx": "nginx-light",
    "postconf": "postfix",
    "dovecot": "dovecot-imapd",
}
"""The programs that the services are, and the Debian package that has each."""


def missing() -> list[str]:
    """Debian packages that the services need and that are not installed."""
    packages = {PROGRAMS[program] for program in PROGRAMS if shutil.which(program) is None}
    if not mail.LMTP.exists():
        packages.add("dovecot-lmtpd")
    return sorted(packages)


def ordinary() -> list[Service]:
    """Name servers, websites, relays, mail on both sides; a cloud folder, an object store and
    SFTP inside.

    Raises LabUnavailable when a Debian package is missing.
    """
    if packages := missing():
        raise LabUnavailable(f"The lab needs these Debian packages: {', '.join(packages)}.")
    return [
        *names.ordinary(),
        *web.ordinary(),
        *relay.ordinary(),
        *mail.ordinary(),
        CloudFolder(),
        ObjectStore(),
        Shell(),
    ]
