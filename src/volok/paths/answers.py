"""Every answer to a question, not only the first: what a forger sends comes before the true one.

A forger on the way sees a question and answers at once; the true answer comes all the same, a
little later (Duan et al., "Hold-On: Protecting Against On-Path DNS Poisoning", SATIN 2012). The
system takes the first and ignores the rest. Here the name servers of the system are asked once
more, and everything that they, or somebody in their name, say within a while is given.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

from volok.paths.dns_query import AAAA, A, InvalidAnswer, InvalidName, make_query, read_answer

Server = tuple[str, int]
"""Address and port of a name server."""

CONFIGURATION = Path("/etc/resolv.conf")
_PORT = 53
_SERVERS = 3
_MOST = 64
"""Addresses in the answers to one question; whoever sends more is not heard."""


def name_servers(configuration: str) -> tuple[Server, ...]:
    """Those in the text of a resolv.conf(5); lines that make no sense are left out."""
    found = []
    for line in configuration.splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == "nameserver":
            with suppress(ValueError):
                found.append(str(ipaddress.ip_address(words[1])))
    return tuple((address, _PORT) for address in dict.fromkeys(found))[:_SERVERS]


def read_name_servers(path: Path = CONFIGURATION) -> tuple[Server, ...]:
    """The name servers that this computer uses now; none where they cannot be told."""
    try:
        return name_servers(path.read_text(encoding="ascii", errors="replace"))
    except OSError:
        return ()


async def all_answers(
    host: str,
    found: Callable[[str], None],
    servers: Sequence[Server],
    seconds: float,
    random: Callable[[int], bytes],
) -> None:
    """Call `found` with every address of a host in every answer that comes in so many seconds.

    `random` gives so many random bytes. Where no name server can be asked, nothing is found.
    """
    try:
        queries = [make_query(int.from_bytes(random(2)), host, kind) for kind in (A, AAAA)]
    except InvalidName:
        return
    loop = asyncio.get_running_loop()
    with ExitStack() as stack:
        for server in servers:
            for query in queries:
                with suppress(OSError):
                    transport, _ = await loop.create_datagram_endpoint(
                        partial(_Listener, query, found), remote_addr=server
                    )
                    stack.callback(transport.close)
                    transport.sendto(query)
        if not servers:
            return
        await asyncio.sleep(seconds)


class _Listener(asyncio.DatagramProtocol):
    def __init__(self, query: bytes, found: Callable[[str], None]) -> None:
        self._query = query
        self._found = found
        self._left = _MOST

    def datagram_received(self, data: bytes, addr: object) -> None:
        with suppress(InvalidAnswer):
            for address in read_answer(data, self._query)[: self._left]:
                self._left -= 1
                self._found(address)

    def error_received(self, exc: Exception) -> None:
        """A name server that is not there gives no answer; the others may."""
