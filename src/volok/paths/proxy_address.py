"""The address of a proxy, with its login. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit

KINDS = ("socks5", "http")
_LONGEST = 255
"""Bytes of a user name, a password or a host in SOCKS5."""


class InvalidProxy(ValueError):
    """This is not the address of a proxy: one reads socks5://HOST:PORT or http://HOST:PORT."""


@dataclass(frozen=True, slots=True)
class ProxyAddress:
    """A proxy and how to log in to it."""

    kind: str
    """`socks5` or `http`."""
    host: str
    port: int
    user: str = ""
    password: str = ""

    def to_url(self) -> str:
        """The URL that `parse_proxy` reads."""
        login = f"{quote(self.user, '')}:{quote(self.password, '')}@" if self.user else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.kind}://{login}{host}:{self.port}"

    @property
    def shown(self) -> str:
        """The same for a person, without the password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.kind}://{host}:{self.port}"


def parse_proxy(url: str) -> ProxyAddress:
    """Read socks5://[USER:PASSWORD@]HOST:PORT or http://…. Raises InvalidProxy."""
    try:
        parts = urlsplit(url.strip())
        host, port = parts.hostname, parts.port
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
    except ValueError as error:
        raise InvalidProxy(InvalidProxy.__doc__ or "") from error
    kind = {"socks5h": "socks5"}.get(parts.scheme, parts.scheme)
    extra = parts.path.strip("/") or parts.query or parts.fragment
    if kind not in KINDS or not host or not port or extra:
        raise InvalidProxy(InvalidProxy.__doc__ or "")
    texts = (host, user, password)
    if any(len(text.encode()) > _LONGEST or not text.isprintable() for text in texts):
        raise InvalidProxy("The name, user or password of this proxy cannot be right.")
    return ProxyAddress(kind, host, port, user, password)
