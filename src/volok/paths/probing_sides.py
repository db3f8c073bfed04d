"""Side checks: what a network lets pass besides ordinary TLS, tried at one of the person's relays.

1. QUIC: a computer where nothing listens on UDP port 443 says so (ICMP port unreachable, RFC 792),
   and that answer reaches the socket that sent. A datagram that is no QUIC is answered so, an
   Initial packet (RFC 9000, 17.2.2) is not: it was dropped. Where nothing answers, nothing is told.
2. Any protocol: five bytes that begin like a TLS record and turn out to be none, in two packets. A
   server breaks off; where nothing comes back, the second packet was dropped.
3. Random bytes: some censors block, by lot, a connection that begins with bytes which look fully
   encrypted, and then the whole server for minutes. So on demand only.
4. Several greetings at once: some censors then leave that name unanswered for a minute or two. So
   on demand only.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from volok.paths.doctor_seen import Hello, Outcome
from volok.paths.probing_connection import Connector, Peer

FILTERED_PORTS = (53, 80, 443)
"""Ports on which some networks let their own protocols pass only."""
_QUIC_PORT = 443
_REACTION = 1.2
_PATIENCE = 2.5
_BETWEEN_PACKETS = 0.25
_AT_ONCE = 6
_AFTERWARDS = 0.6
_LOTS = 24
"""Connections with random bytes: of a censor that blocks a quarter of them, one in a thousand would
go unnoticed."""
_RANDOM_BYTES = 200
_FEW_BITS, _MANY_BITS = 3.6, 4.4


class SideProber:
    """Makes the checks; each gives True (passes), False (does not), or None (cannot be told)."""

    def __init__(self, connector: Connector, random: Callable[[int], bytes]) -> None:
        self._connector = connector
        self._random = random

    async def quic(self, address: str) -> bool | None:
        """Whether a QUIC Initial packet reaches this address."""
        ordinary = b"\x00" * 24
        if not await self._is_refused(address, ordinary):
            return None
        for _ in range(2):
            if await self._is_refused(address, self._initial()):
                return True
        return False if await self._is_refused(address, ordinary) else None

    async def any_protocol(self, address: str, port: int) -> bool | None:
        """Whether bytes that fit no protocol reach this port."""
        if port not in FILTERED_PORTS:
            return None
        for _ in range(2):
            if await self._reacts(address, port, b"\x16\x03\x01", b"\xff\xff" + bytes(30)):
                return True
        return False

    async def random(self, address: str, port: int) -> bool | None:
        """Whether bytes that look encrypted reach this port each time."""
        for _ in range(_LOTS):
            if not await self._reacts(address, port, self._looks_encrypted()):
                opened = await self._connector.open(address, port)
                if isinstance(opened, socket.socket):
                    opened.close()
                    return None
                return False
        return True

    async def parallel(self, peer: Peer, address: str) -> bool | None:
        """Whether this name is still greeted after several greetings at once."""
        before = await self._connector.attempt(peer, address, Hello.NAMED)
        if not before.greeted:
            return None
        # Past the limit on connections at once, which is there for this very censor.
        await asyncio.gather(
            *(self._connector.unlimited(peer, address, Hello.NAMED) for _ in range(_AT_ONCE))
        )
        await asyncio.sleep(_AFTERWARDS)
        after = await self._connector.attempt(peer, address, Hello.NAMED)
        if after.greeted:
            return True
        return False if after.outcome is Outcome.SILENT else None

    async def _is_refused(self, address: str, payload: bytes) -> bool:
        """Whether a datagram is answered by there being nobody."""
        loop = asyncio.get_running_loop()
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as asking:
                asking.setblocking(False)
                asking.connect((address, _QUIC_PORT))
                asking.send(payload)
                async with asyncio.timeout(_REACTION):
                    await loop.sock_recv(asking, 1)
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
        return False

    async def _reacts(self, address: str, port: int, *pieces: bytes) -> bool:
        """Whether anything comes back to these pieces, each in a packet of its own."""
        opened = await self._connector.open(address, port)
        if isinstance(opened, Outcome):
            return False
        loop = asyncio.get_running_loop()
        with opened:
            try:
                for number, piece in enumerate(pieces):
                    await asyncio.sleep(_BETWEEN_PACKETS if number else 0)
                    await loop.sock_sendall(opened, piece)
                async with asyncio.timeout(_PATIENCE):
                    await loop.sock_recv(opened, 1)
            except TimeoutError:
                return False
            except OSError:
                return True
        return True

    def _initial(self) -> bytes:
        head = b"\xc3\x00\x00\x00\x01" + b"\x08" + self._random(8) + b"\x08" + self._random(8)
        # No token; the rest is one packet of 1,200 bytes in all, which nobody can decrypt.
        return (head + b"\x00\x44\x96" + self._random(1200))[:1200]

    def _looks_encrypted(self) -> bytes:
        while True:
            data = self._random(_RANDOM_BYTES)
            bits = int.from_bytes(data).bit_count() / len(data)
            # Neither half printable nor beginning like text or TLS, as such bytes may by chance.
            printable = sum(0x20 <= one <= 0x7E for one in data)
            if (
                _FEW_BITS < bits < _MANY_BITS
                and data[0] >= 0x80
                and printable < _RANDOM_BYTES * 0.45
            ):
                return data
