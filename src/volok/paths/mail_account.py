"""A mail account that a person has: its address, its servers, and how to log in. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

IMAPS, SUBMISSIONS = 993, 465
"""Ports on which TLS begins at once (RFC 8314); on any other it is asked for by STARTTLS."""

_LONGEST = 254
_LOCAL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}")
_HOST = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*")


class InvalidMailAddress(ValueError):
    """This is no mail address: one reads NAME@DOMAIN."""


class InvalidMailServer(ValueError):
    """This is no mail server: one reads HOST or HOST:PORT."""


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where a provider takes mail, or gives it out."""

    host: str
    port: int

    @property
    def tls_at_once(self) -> bool:
        """Whether TLS begins with the first byte; else by STARTTLS, before anything is said."""
        return self.port in (IMAPS, SUBMISSIONS)

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class MailAccount:
    """How to use an account."""

    address: str
    user: str
    """The name to log in with; with most providers the address."""
    password: str = field(repr=False)
    imap: MailServer
    smtp: MailServer

    @property
    def domain(self) -> str:
        """The part of the address after the @."""
        return self.address.rpartition("@")[2]


def parse_address(text: str) -> str:
    """A mail address as it is written on an envelope (RFC 5321, without quoted names and
    internationalised ones), its domain in lower case. Raises InvalidMailAddress."""
    local, at, domain = text.strip().rpartition("@")
    sound = at and len(text) <= _LONGEST and _LOCAL.fullmatch(local) and _HOST.fullmatch(domain)
    if not sound or "." not in domain or local[0] == "." or local[-1] == "." or ".." in local:
        raise InvalidMailAddress(InvalidMailAddress.__doc__ or "")
    return f"{local}@{domain.lower()}"


def parse_server(text: str, port: int) -> MailServer:
    """Read HOST or HOST:PORT; `port` is what goes without saying. Raises InvalidMailServer."""
    host, colon, number = text.strip().partition(":")
    if colon:
        if not (number.isascii() and number.isdigit() and 0 < int(number[:6]) < 65_536):
            raise InvalidMailServer(InvalidMailServer.__doc__ or "")
        port = int(number)
    if not _HOST.fullmatch(host):
        raise InvalidMailServer(InvalidMailServer.__doc__ or "")
    return MailServer(host.lower(), port)


def usual_account(address: str, user: str, password: str, imap: str, smtp: str) -> MailAccount:
    """An account whose servers are, where they are not given, `imap.` and `smtp.` of the domain.

    Raises InvalidMailAddress, InvalidMailServer.
    """
    address = parse_address(address)
    domain = address.rpartition("@")[2]
    return MailAccount(
        address,
        user or address,
        password,
        parse_server(imap or f"imap.{domain}", IMAPS),
        parse_server(smtp or f"smtp.{domain}", SUBMISSIONS),
    )
