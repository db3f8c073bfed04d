"""`whitelist`: only listed domestic names and addresses are reachable.

1. TCP connections across the border can be opened, so a port test succeeds; but the first payload
   has to be a ClientHello that the list lets pass. Anything else is dropped, silently, with all
   that follows on that connection, and so is a server that speaks first.
2. All UDP across the border is dead, foreign name servers included, and ICMP, too.
3. Traffic inside the country is left alone. So are TCP connections of the listed domestic servers
   themselves: they are reached from abroad, and deliver there.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from lab.censor import DROP, PASS, Base, Censor, Ground, Parameters, Verdict
from lab.censors.dns_poison import is_listed
from lab.packets import TCP, Flow, Packet, Way
from lab.tls import Hello, HelloReader


@dataclass(frozen=True, slots=True)
class Settings:
    """What the list is about."""

    list_of: str
    """`names`: a listed name in the ClientHello is enough, wherever the server stands. `addresses`:
    the server's address has to be listed, the name does not matter. `both`: both have to be."""


class Whitelist(Base):
    """See the module."""

    def __init__(self, settings: Settings, ground: Ground) -> None:
        """`ground.allowed_names` and `ground.allowed_addresses` are the list."""
        self._settings = settings
        self._names = ground.allowed_names
        self._addresses = ground.allowed_addresses
        self._readers: dict[Flow, HelloReader] = {}
        self._judged: dict[Flow, bool] = {}

    def see(self, packet: Packet, now: float) -> Verdict:
        """Let pass what the list lets pass, and the opening of connections."""
        if packet.way is Way.LOCAL:
            return PASS
        if packet.proto != TCP:
            return DROP
        flow = packet.flow
        if flow.inner[0] in self._addresses:
            return PASS
        if packet.syn:
            self._judged.pop(flow, None)
            self._readers[flow] = reader = HelloReader()
            reader.opened(packet.seq)
        if not packet.payload:
            return PASS if self._judged.get(flow, True) else DROP
        return PASS if self._may_speak(flow, packet) else DROP

    def _may_speak(self, flow: Flow, packet: Packet) -> bool:
        listed = flow.outer[0] in self._addresses
        if listed and self._settings.list_of == "addresses":
            return True
        if (known := self._judged.get(flow)) is not None:
            return known
        if packet.way is Way.IN:
            return False
        reader = self._readers.setdefault(flow, HelloReader())
        # Data in a SYN (TCP Fast Open) stands one number after it.
        reader.add(packet.payload, packet.seq + packet.syn)
        if reader.result is None:
            # Parts of a hello pass, since the whole cannot come without them.
            return True
        del self._readers[flow]
        named = isinstance(reader.result, Hello) and is_listed(reader.result.name, self._names)
        passes = named and (listed or self._settings.list_of == "names")
        self._judged[flow] = passes
        return passes


def make(parameters: Parameters, ground: Ground, rng: Random) -> Censor:
    """A list of a drawn kind."""
    return Whitelist(Settings(list_of=str(parameters["list_of"])), ground)
