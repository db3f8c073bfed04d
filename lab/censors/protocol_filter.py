"""Ports 53, 80 and 443 carry DNS, HTTP and TLS only; whatever else is sent there is dropped.

1. Only TCP connections that somebody inside opens to one of these ports are looked at. Each of the
   three protocols may be spoken on each of the three ports.
2. The first packet with payload always passes. The client's first two, joined as they come (no
   reassembly, no look at sequence numbers), have to look like one of the protocols.
3. If they do not, the second and all that follow from the client are dropped for a minute. What the
   server sends passes.
4. Another such connection to the same server starts the minute anew for all of them.
5. New connections to the same server are judged by themselves.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from lab.censor import DROP, PASS, Base, Censor, Ground, Parameters, Verdict
from lab.packets import TCP, End, Flow, Packet, Way

PORTS = frozenset({53, 80, 443})
"""The ports that are looked at."""
METHODS = (b"GET ", b"POST ", b"HEAD ", b"PUT ", b"DELETE ", b"OPTIONS ", b"CONNECT ")
"""How an HTTP request begins."""
_LEAST_HTTP = 8
_LEAST_DNS = 14
_LONGEST_RECORD = 2**14 + 256


@dataclass(frozen=True, slots=True)
class Settings:
    """How a censor filters protocols."""

    residual: float
    """Seconds for which a connection is blocked."""


@dataclass(slots=True)
class _State:
    """The connections that are of interest; those that were found in order are forgotten."""

    fresh: dict[Flow, bytes] = field(default_factory=dict)
    """The first payload of connections that are not judged yet; empty before it came."""
    blocked: set[Flow] = field(default_factory=set)
    until: dict[tuple[str, End], float] = field(default_factory=dict)


def is_tls(payload: bytes) -> bool:
    """Whether it begins with the header of a TLS handshake record; the rest is not looked at."""
    return (
        len(payload) >= 5
        and payload[0] == 22
        and payload[1] == 3
        and payload[2] <= 4
        and 0 < int.from_bytes(payload[3:5], "big") <= _LONGEST_RECORD
    )


def is_http(payload: bytes) -> bool:
    """Whether it begins with a method of HTTP/1."""
    return len(payload) >= _LEAST_HTTP and payload.startswith(METHODS)


def is_dns(payload: bytes) -> bool:
    """Whether it begins with the length and header of a DNS query over TCP with one question."""
    return (
        len(payload) >= _LEAST_DNS
        and not payload[4] & 0xF8
        and payload[6:8] == b"\0\1"
        and payload[8:10] == b"\0\0"
    )


class ProtocolFilter(Base):
    """See the module."""

    def __init__(self, settings: Settings) -> None:
        """It needs no lists: what is not one of three protocols is blocked."""
        self.settings = settings
        self._state = _State()

    def see(self, packet: Packet, now: float) -> Verdict:
        """See Censor."""
        if packet.proto != TCP or packet.way is not Way.OUT or packet.dport not in PORTS:
            return PASS
        state, flow = self._state, packet.flow
        if packet.syn:
            state.blocked.discard(flow)
            state.fresh[flow] = b""
            return PASS
        if flow in state.blocked:
            if now < state.until[_server(flow)]:
                return DROP
            state.blocked.discard(flow)
            return PASS
        if packet.rst:
            state.fresh.pop(flow, None)
            return PASS
        if not packet.payload or flow not in state.fresh:
            return PASS
        first = state.fresh.pop(flow)
        joined = first + packet.payload
        if is_tls(joined) or is_http(joined) or is_dns(joined):
            return PASS
        if not first:
            state.fresh[flow] = packet.payload
            return PASS
        state.blocked.add(flow)
        state.until[_server(flow)] = now + self.settings.residual
        return DROP


def _server(flow: Flow) -> tuple[str, End]:
    return flow.inner[0], flow.outer


def make(parameters: Parameters, ground: Ground, rng: Random) -> Censor:
    """A censor with these drawn parameters."""
    return ProtocolFilter(Settings(residual=float(parameters["residual"])))
