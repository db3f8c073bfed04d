"""A SOCKS5 client (RFC 1928) that always logs in when it has a login (RFC 1929).

Tor tells circuits apart by the login, and pluggable transports are given their parameters in it: a
proxy that is offered both ways may leave it out, so no other way is offered.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Callable
from dataclasses import dataclass

_VERSION, _CONNECT, _SUCCEEDED = 5, 1, 0
_NO_LOGIN, _LOGIN = 0, 2
_IPV4, _NAME, _IPV6 = 1, 3, 4
_ADDRESS_BYTES = {_IPV4: 4, _IPV6: 16}
LONGEST = 255
"""Bytes of a user name, a password or a host."""


class SocksRefused(OSError):
    """The proxy does not take us there."""

    def __init__(self, reply: int) -> None:
        super().__init__(SocksRefused.__doc__)
        self.reply = reply
        """The field REP of its answer (RFC 1928, section 6); 255: it refused the login; -1: what
        it said is not SOCKS5."""


@dataclass(frozen=True, slots=True)
class Login:
    """User name and password, 1 to 255 bytes each."""

    user: bytes
    password: bytes


def greeting(login: Login | None) -> bytes:
    """The first thing that a client says."""
    return bytes((_VERSION, 1, _NO_LOGIN if login is None else _LOGIN))


def login_request(login: Login) -> bytes:
    """RFC 1929, section 2. Raises ValueError for a login that does not fit."""
    if not (0 < len(login.user) <= LONGEST and 0 < len(login.password) <= LONGEST):
        raise ValueError("This login does not fit.")
    lengths = bytes((len(login.user),)), bytes((len(login.password),))
    return b"\x01" + lengths[0] + login.user + lengths[1] + login.password


def connect_request(host: str, port: int) -> bytes:
    """RFC 1928, section 4. A name goes as it is: the proxy resolves it. Raises ValueError."""
    try:
        address = ipaddress.ip_address(host)
        place = bytes((_IPV4 if address.version == 4 else _IPV6,)) + address.packed
    except ValueError:
        name = host.encode("idna")
        if not 0 < len(name) <= LONGEST:
            raise ValueError("This host does not fit.") from None
        place = bytes((_NAME, len(name))) + name
    return bytes((_VERSION, _CONNECT, 0)) + place + port.to_bytes(2, "big")


async def through(
    proxy: tuple[str, int], host: str, port: int, login: Login | None = None
) -> socket.socket:
    """A connection to `host` made by the proxy at an IP address and port.

    It is a plain socket, non-blocking. Raises SocksRefused, other OSErrors, ValueError.
    """
    loop = asyncio.get_running_loop()
    family = socket.AF_INET6 if ":" in proxy[0] else socket.AF_INET
    connection = socket.socket(family, socket.SOCK_STREAM)
    try:
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await loop.sock_connect(connection, proxy)
        await _ask(connection, greeting(login), 2, lambda got: got == greeting(login)[::2])
        if login is not None:
            await _ask(connection, login_request(login), 2, lambda got: got[1] == 0, refused=255)
        head = await _ask(
            connection, connect_request(host, port), 4, lambda got: got[0] == _VERSION
        )
        if head[1] != _SUCCEEDED:
            raise SocksRefused(head[1])
        size = _ADDRESS_BYTES.get(head[3])
        if size is None:
            size = (await _exactly(connection, 1))[0]
        await _exactly(connection, size + 2)
    except BaseException:
        connection.close()
        raise
    return connection


async def _ask(
    connection: socket.socket,
    request: bytes,
    length: int,
    fine: Callable[[bytes], bool],
    refused: int = -1,
) -> bytes:
    await asyncio.get_running_loop().sock_sendall(connection, request)
    answer = await _exactly(connection, length)
    if not fine(answer):
        raise SocksRefused(refused)
    return answer


async def _exactly(connection: socket.socket, length: int) -> bytes:
    # Never more: what follows belongs to whoever uses the connection.
    data = b""
    while len(data) < length:
        piece = await asyncio.get_running_loop().sock_recv(connection, length - len(data))
        if not piece:
            raise ConnectionResetError("The proxy closed the connection.")
        data += piece
    return data
