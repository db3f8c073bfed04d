"""Connections that begin with bytes which look fully encrypted are blocked, now and then.

1. Of each TCP connection that somebody inside opens to a foreign hoster, the client's first payload
   is looked at, on any port. Nothing is reassembled. UDP is not looked at.
2. It is blocked unless one of the exemptions of `lab.entropy` holds: few or many bits set,
   printable bytes, TLS, HTTP.
3. Only a share of such connections is blocked, each by lot.
4. From then on the client's packets are dropped; what the server sends passes. The same goes for
   every connection between that client address, server address and server port, until the residual
   time is over; it is not prolonged by trying again.
5. A blocked connection itself stays blocked until its ports are used for a new one.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from lab.censor import DROP, PASS, Base, Censor, Ground, Parameters, Verdict
from lab.entropy import Rules, looks_encrypted
from lab.packets import TCP, End, Flow, Packet, Way


@dataclass(frozen=True, slots=True)
class Settings:
    """How a censor blocks what looks random."""

    share: float
    """The share of matching connections that is blocked, 0 to 1."""
    residual: float
    """Seconds for which client address, server address and server port stay blocked."""
    rules: Rules
    """The thresholds of the exemptions."""


class RandomBlock(Base):
    """See the module."""

    def __init__(self, settings: Settings, ground: Ground, rng: Random) -> None:
        """`rng` draws the lots."""
        self.settings = settings
        self._ground = ground
        self._rng = rng
        self._fresh: set[Flow] = set()
        """Opened, and no payload seen yet."""
        self._blocked: set[Flow] = set()
        self._until: dict[tuple[str, End], float] = {}

    def see(self, packet: Packet, now: float) -> Verdict:
        """See Censor."""
        if packet.proto != TCP or packet.way is not Way.OUT:
            return PASS
        flow = packet.flow
        if packet.syn:
            self._blocked.discard(flow)
            if self._ground.hosted(packet.dst):
                self._fresh.add(flow)
        if flow in self._blocked or self._residual(flow, now):
            return DROP
        if packet.payload and flow in self._fresh:
            self._fresh.discard(flow)
            if looks_encrypted(packet.payload, self.settings.rules) and self._lot():
                self._blocked.add(flow)
                self._until[flow.inner[0], flow.outer] = now + self.settings.residual
                return DROP
        elif packet.rst:
            self._fresh.discard(flow)
        return PASS

    def _lot(self) -> bool:
        return self._rng.random() < self.settings.share

    def _residual(self, flow: Flow, now: float) -> bool:
        key = flow.inner[0], flow.outer
        until = self._until.get(key)
        if until is None:
            return False
        if now < until:
            return True
        del self._until[key]
        return False


def make(parameters: Parameters, ground: Ground, rng: Random) -> Censor:
    """A censor with these drawn parameters."""
    settings = Settings(
        share=float(parameters["share"]),
        residual=float(parameters["residual"]),
        rules=Rules(
            few_bits=float(parameters["few_bits"]),
            many_bits=float(parameters["many_bits"]),
            printable_prefix=int(parameters["printable_prefix"]),
            printable_share=float(parameters["printable_share"]),
            printable_run=int(parameters["printable_run"]),
        ),
    )
    return RandomBlock(settings, ground, rng)
