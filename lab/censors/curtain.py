"""`curtain`: connections to foreign hosters freeze silently after a number of bytes or of packets.

1. Each TCP connection and each UDP flow with a hoster has an account: payload bytes of each
   direction apart, and packets of both together, SYN and empty ACK included.
2. The packet that would exceed a limit is dropped, and so is every later one, both ways. Nothing
   is forged: both ends wait until they lose patience.
3. A new SYN on the same ports is a new connection. UDP has no SYN; a flow is new after a pause.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from random import Random

from lab.censor import DROP, PASS, Base, Censor, Ground, Parameters, Verdict
from lab.packets import TCP, UDP, Flow, Packet, Way

MOST_FLOWS = 50_000
"""Flows that are remembered; the oldest is forgotten beyond that."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The limits of one operator."""

    counts: str
    """What is counted: `bytes`, `packets`, or `either`, whichever limit is reached first."""
    payload_bytes: int
    """Bytes of TCP or UDP payload that may pass in one direction."""
    packets: int
    """Packets that may pass, both directions together."""
    udp_idle_seconds: float
    """The pause after which packets between the same UDP ports are a new flow."""


@dataclass(slots=True)
class _Account:
    last: float
    packets: int = 0
    payload: dict[Way, int] = field(default_factory=lambda: {Way.OUT: 0, Way.IN: 0})
    frozen: bool = False


class Curtain(Base):
    """See the module."""

    def __init__(self, settings: Settings, ground: Ground) -> None:
        """`ground.hosters` are the networks concerned."""
        self._settings = settings
        self._hosted = lru_cache(maxsize=4096)(ground.hosted)
        self._accounts: dict[Flow, _Account] = {}

    def see(self, packet: Packet, now: float) -> Verdict:
        """Drop what exceeds its flow's limits, and all that follows."""
        if packet.way is Way.LOCAL or packet.proto not in {TCP, UDP}:
            return PASS
        flow = packet.flow
        if not self._hosted(flow.outer[0]):
            return PASS
        account = self._account(flow, packet, now)
        account.last = now
        account.packets += 1
        account.payload[packet.way] += len(packet.payload)
        account.frozen = account.frozen or self._exceeded(account, packet.way)
        return DROP if account.frozen else PASS

    def _account(self, flow: Flow, packet: Packet, now: float) -> _Account:
        account = self._accounts.get(flow)
        idle = packet.proto == UDP and account is not None
        if account is None or packet.syn or (idle and self._paused(account, now)):
            self._accounts.pop(flow, None)
            while len(self._accounts) >= MOST_FLOWS:
                del self._accounts[next(iter(self._accounts))]
            account = self._accounts[flow] = _Account(last=now)
        return account

    def _paused(self, account: _Account, now: float) -> bool:
        return now - account.last > self._settings.udp_idle_seconds

    def _exceeded(self, account: _Account, way: Way) -> bool:
        settings = self._settings
        too_many_bytes = account.payload[way] > settings.payload_bytes
        too_many_packets = account.packets > settings.packets
        return (too_many_bytes and settings.counts != "packets") or (
            too_many_packets and settings.counts != "bytes"
        )


def make(parameters: Parameters, ground: Ground, rng: Random) -> Censor:
    """A curtain with drawn limits."""
    return Curtain(
        Settings(
            counts=str(parameters["counts"]),
            payload_bytes=int(parameters["payload_bytes"]),
            packets=int(parameters["packets"]),
            udp_idle_seconds=float(parameters["udp_idle_seconds"]),
        ),
        ground,
    )
