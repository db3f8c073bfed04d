"""`parallel-ban`: parallel TLS handshakes with one name at a hoster make handshakes time out.

1. Three signs have to come together: the server stands in a suspicious network, the ClientHello
   looks like a browser's, and several handshakes of one client with one name follow each other
   within a few hundred milliseconds.
2. The handshake that fills the count is dropped, and for about a minute so is every further one of
   this client with this name: the hello and all that comes after it, both ways, without a reset.
   Connections whose handshakes came before stay as they are. Trying again does not prolong it.
3. Each name has an account of its own, so a new one starts afresh at once.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from functools import lru_cache
from math import inf
from random import Random

from lab.censor import DROP, PASS, Base, Censor, Ground, Parameters, Verdict
from lab.censors.sni_rst import Depth, Hellos
from lab.packets import TCP, Flow, Packet, Way
from lab.tls import Hello


@dataclass(frozen=True, slots=True)
class Settings:
    """The thresholds of one operator."""

    handshakes: int
    """Parallel handshakes that bring the ban; the last of them is dropped already."""
    spacing_seconds: float
    """Two handshakes are parallel when less time lies between them."""
    window_seconds: float
    """Parallel handshakes are counted within so long."""
    ban_seconds: float
    """How long handshakes time out."""
    nameless_counts: bool
    """Whether handshakes without a name are counted, too, by the server's address."""
    reassemble_records: bool
    """Whether a ClientHello is read that is cut into several TLS records."""


@dataclass(slots=True)
class _Account:
    last: float = -inf
    """When the last handshake came."""
    parallel: deque[float] = field(default_factory=deque)
    """When parallel ones came, the first of each row included."""
    banned_until: float = -inf


class ParallelBan(Base):
    """See the module."""

    def __init__(self, settings: Settings, ground: Ground) -> None:
        """`ground.hosters` are the suspicious networks."""
        self._settings = settings
        self._hosted = lru_cache(maxsize=4096)(ground.hosted)
        self._hellos = Hellos(Depth.RECORDS if settings.reassemble_records else Depth.STREAM)
        self._frozen: set[Flow] = set()
        self._accounts: dict[tuple[str, str], _Account] = {}

    def see(self, packet: Packet, now: float) -> Verdict:
        """Count handshakes; drop those that are banned."""
        if packet.proto != TCP or packet.way is Way.LOCAL:
            return PASS
        flow = packet.flow
        if not self._hosted(flow.outer[0]):
            return PASS
        if packet.syn:
            self._frozen.discard(flow)
        if flow in self._frozen:
            return DROP
        hello = self._hellos.see(packet)
        if hello is None or not hello.browser_like or not self._banned(flow, hello, now):
            return PASS
        self._frozen.add(flow)
        return DROP

    def _banned(self, flow: Flow, hello: Hello, now: float) -> bool:
        settings = self._settings
        if hello.name is None and not settings.nameless_counts:
            return False
        key = (flow.inner[0], hello.name or flow.outer[0])
        account = self._accounts.setdefault(key, _Account())
        if now < account.banned_until:
            return True
        parallel = account.parallel
        if now - account.last < settings.spacing_seconds:
            if not parallel or parallel[-1] != account.last:
                parallel.append(account.last)
            parallel.append(now)
        account.last = now
        while parallel and parallel[0] < now - settings.window_seconds:
            parallel.popleft()
        if len(parallel) < settings.handshakes:
            return False
        parallel.clear()
        account.last = -inf
        account.banned_until = now + settings.ban_seconds
        return True


def make(parameters: Parameters, ground: Ground, rng: Random) -> Censor:
    """A ban with drawn thresholds."""
    return ParallelBan(
        Settings(
            handshakes=int(parameters["handshakes"]),
            spacing_seconds=float(parameters["spacing_seconds"]),
            window_seconds=float(parameters["window_seconds"]),
            ban_seconds=float(parameters["ban_seconds"]),
            nameless_counts=bool(parameters["nameless_counts"]),
            reassemble_records=bool(parameters["reassemble_records"]),
        ),
        ground,
    )
