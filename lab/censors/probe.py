"""`probe`: the censor looks at foreign servers for itself, and blocks those that reveal themselves.

1. The first payload that a client inside sends to a TCP server abroad makes that server a suspect.
   After a delay the censor's probers connect to it, with what was seen to be replayed. The next
   packet that crosses the border carries the suspicion to them.
2. A server is looked at once, and again only when it is still in use after a long time.
3. The address of a server that showed what it is is dropped from then on, both ways, all ports.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from math import inf
from random import Random

from lab.censor import DROP, PASS, Base, Censor, Ground, Parameters, Suspicion, Verdict
from lab.packets import TCP, End, Flow, Packet, Way

SEEN_BYTES = 4096
"""So much of a first payload is kept for the replay."""
LEAST_CLIENT_PORT = 10_000
"""When the opening of a connection was not seen, the end with a port below this is the server."""


@dataclass(frozen=True, slots=True)
class Settings:
    """When the probers come."""

    delay_seconds: float
    """From the first payload to the probe."""
    again_seconds: float
    """From one suspicion to the next about the same server."""


class Probe(Base):
    """See the module."""

    def __init__(self, settings: Settings) -> None:
        """Everything else is learnt from the traffic."""
        self._settings = settings
        self._opened: dict[Flow, bool] = {}
        self._suspected: dict[End, float] = {}
        self._waiting: deque[tuple[float, Suspicion]] = deque()
        self._blocked: set[str] = set()

    def see(self, packet: Packet, now: float) -> Verdict:
        """Drop blocked addresses; name a suspect whose time has come."""
        if packet.way is Way.LOCAL:
            return PASS
        blocked = packet.outer[0] in self._blocked
        if not blocked and packet.proto == TCP:
            self._watch(packet, now)
        if self._waiting and self._waiting[0][0] <= now:
            _, suspicion = self._waiting.popleft()
            return Verdict(passes=not blocked, suspicion=suspicion)
        return DROP if blocked else PASS

    def judged(self, suspicion: Suspicion, revealed: bool) -> None:
        """Block a server that revealed itself."""
        if revealed:
            self._blocked.add(suspicion.address)

    def _watch(self, packet: Packet, now: float) -> None:
        flow = packet.flow
        if packet.syn:
            self._opened[flow] = packet.way is Way.OUT
        elif packet.payload and packet.way is Way.OUT and self._is_server(flow):
            # The first payload is enough; a later one of the same connection tells nothing new.
            self._opened[flow] = False
            if now - self._suspected.get(flow.outer, -inf) >= self._settings.again_seconds:
                self._suspected[flow.outer] = now
                suspicion = Suspicion(*flow.outer, packet.payload[:SEEN_BYTES])
                self._waiting.append((now + self._settings.delay_seconds, suspicion))

    def _is_server(self, flow: Flow) -> bool:
        """Whether the outer end is a server that a client inside has begun to talk to."""
        return self._opened.get(flow, flow.outer[1] < LEAST_CLIENT_PORT)


def make(parameters: Parameters, ground: Ground, rng: Random) -> Censor:
    """Probers that come after a drawn delay."""
    return Probe(
        Settings(
            delay_seconds=float(parameters["delay_seconds"]),
            again_seconds=float(parameters["again_seconds"]),
        )
    )
