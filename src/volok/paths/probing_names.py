"""Looking up the names of the person's own places, to see whether others answer for them.

1. The system is asked as every program asks it; then its name servers are, for all that they answer
   within a moment: a forged answer comes first, and sometimes the true one follows.
2. The same question is sent to the address that came out of it, where no name server is. Whoever
   answers stands in between, and forges (Anonymous, "The Collateral Damage of Internet Censorship
   by DNS Injection", CCR 2012). No address is asked that the system's answer did not name.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from volok.paths.dns_query import A, InvalidAnswer, InvalidName, make_query, read_answer
from volok.paths.doctor_seen import Lookup, NameSeen, is_public
from volok.paths.probing_settings import ProbeSettings

RESOLVERS = Path("/etc/resolv.conf")
_PORT = 53
_MOST_SERVERS = 2
_QUESTIONS = 3
"""Questions sent to where no name server is: a forger that draws its answers may draw the true one,
but not each time."""
_THREADS = 8
_DENIED = frozenset(
    getattr(socket, name) for name in ("EAI_NONAME", "EAI_NODATA") if hasattr(socket, name)
)


class NameProber:
    """Asks for names. Close it at the end."""

    def __init__(
        self,
        settings: ProbeSettings,
        random: Callable[[int], bytes],
        servers: Sequence[str] | None = None,
    ) -> None:
        """`servers` are the addresses of name servers; by default those of the system."""
        self._settings = settings
        self._random = random
        # A lookup by the system cannot be given up; see `volok.paths.names`.
        self._threads = ThreadPoolExecutor(_THREADS, "volok-doctor")
        self._servers = tuple(servers if servers is not None else system_servers())[:_MOST_SERVERS]

    async def look(self, host: str, known: Sequence[str]) -> NameSeen:
        """What a name leads to. `known` are addresses at which its place proved itself earlier."""
        if is_address(host):
            return NameSeen(Lookup.NOT_NEEDED, (host,))
        if host == "localhost" or host.endswith(".localhost"):  # no name server is asked (RFC 6761)
            return NameSeen(Lookup.NOT_NEEDED, (await self._system(host))[1])
        asking = asyncio.gather(*(self.ask(server, host) for server in self._servers))
        lookup, addresses = await self._system(host)
        heard = await asking
        answers = dict.fromkeys(answer for found in heard for answer in found if answer)
        injected = False
        for address in [one for one in (*addresses, *known) if is_public(one) and ":" not in one]:
            injected = await self._is_injected(address, host)
            break
        return NameSeen(lookup, addresses, tuple(answers), injected)

    async def ask(self, server: str, host: str) -> list[tuple[str, ...]]:
        """All answers of a name server to one question for IPv4 addresses, in their order."""
        try:
            query = make_query(int.from_bytes(self._random(2)), host, A)
        except InvalidName:
            return []
        asking = _Asking(query)
        loop = asyncio.get_running_loop()
        try:
            transport, _ = await loop.create_datagram_endpoint(
                lambda: asking, remote_addr=(server, _PORT)
            )
        except OSError:
            return []
        try:
            transport.sendto(query)
            try:
                async with asyncio.timeout(self._settings.lookup_wait / 2):
                    await asking.first.wait()
                await asyncio.sleep(self._settings.answer_wait)
            except TimeoutError:
                pass
        finally:
            transport.close()
        return asking.answers

    async def server_answers(self) -> bool | None:
        """Whether a name server of the system answers anything; None: none stands elsewhere."""
        servers = [one for one in self._servers if not ipaddress.ip_address(one).is_loopback]
        if not servers:
            return None
        # This name is answered without asking anybody else (RFC 6761, 6.3).
        found = await asyncio.gather(*(self._heard(server) for server in servers))
        return any(found)

    def close(self) -> None:
        """Ask nothing any more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _heard(self, server: str) -> bool:
        return bool(await self.ask(server, "localhost"))

    async def _is_injected(self, address: str, host: str) -> bool:
        heard = await asyncio.gather(*(self.ask(address, host) for _ in range(_QUESTIONS)))
        answers = {frozenset(answer) for found in heard for answer in found if answer}
        return len(answers) > 1 or any(address not in answer for answer in answers)

    async def _system(self, host: str) -> tuple[Lookup, tuple[str, ...]]:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._settings.lookup_wait):
                found = await loop.run_in_executor(self._threads, _addresses, host)
        except TimeoutError:
            return Lookup.NO_ANSWER, ()
        except socket.gaierror as error:
            denied = error.errno in _DENIED
            return (Lookup.NO_SUCH_NAME if denied else Lookup.NO_ANSWER), ()
        except (OSError, UnicodeError):
            return Lookup.NO_SUCH_NAME, ()
        return Lookup.ANSWERED, tuple(dict.fromkeys(found))


class _Asking(asyncio.DatagramProtocol):
    """Collects the answers to one question."""

    def __init__(self, query: bytes) -> None:
        self._query = query
        self.answers: list[tuple[str, ...]] = []
        self.first = asyncio.Event()

    def datagram_received(self, data: bytes, addr: object) -> None:
        try:
            self.answers.append(read_answer(data, self._query))
        except InvalidAnswer:
            return
        self.first.set()

    def error_received(self, exc: Exception) -> None:
        self.first.set()


def is_address(host: str) -> bool:
    """Whether a host is given by its address."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def system_servers(file: Path = RESOLVERS) -> list[str]:
    """The name servers of the system (resolv.conf(5)); none where it has no such file."""
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    words = [line.split() for line in lines]
    return [
        one[1] for one in words if len(one) > 1 and one[0] == "nameserver" and is_address(one[1])
    ]


def _addresses(host: str) -> list[str]:
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]
