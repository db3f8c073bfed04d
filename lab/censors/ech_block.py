"""A ClientHello that hides its name behind a known outer name is dropped with its connection.

1. Both have to be there: a known outer name, and the extension of encrypted ClientHello. The name
   without the extension passes; so does the extension with another name, as browsers send it to all
   servers to keep the real ones company.
2. The hello and all that follows vanish, both ways and without an RST, until a new SYN with the
   same ports.
3. Known are the outer name of the one great provider and the listed names.

Over QUIC the same was seen; here QUIC has a profile of its own, `quic-block`.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from lab.censor import DROP, PASS, Base, Censor, Ground, Parameters, Verdict
from lab.censors.dns_poison import is_listed
from lab.censors.sni_rst import Depth, Hellos
from lab.packets import TCP, Flow, Packet, Way


@dataclass(frozen=True, slots=True)
class Settings:
    """How a censor blocks encrypted ClientHello."""

    outer_name: str
    """The outer name that is known everywhere, in lower case."""
    depth: Depth
    """What is put together before it is read."""


class EchBlock(Base):
    """See the module."""

    def __init__(self, settings: Settings, ground: Ground) -> None:
        """`ground` lists further outer names."""
        self.settings = settings
        self._names = ground.listed_names | {settings.outer_name}
        self._hellos = Hellos(settings.depth)
        self._blocked: set[Flow] = set()

    def see(self, packet: Packet, now: float) -> Verdict:
        """See Censor."""
        if packet.proto != TCP or packet.way is Way.LOCAL:
            return PASS
        flow = packet.flow
        if packet.syn and packet.way is Way.OUT:
            self._blocked.discard(flow)
        if flow in self._blocked:
            return DROP
        hello = self._hellos.see(packet)
        if hello is None or not hello.has_ech or not is_listed(hello.name, self._names):
            return PASS
        self._blocked.add(flow)
        return DROP


def make(parameters: Parameters, ground: Ground, rng: Random) -> Censor:
    """A censor with these drawn parameters. Raises ValueError for an unknown depth."""
    settings = Settings(
        outer_name=str(parameters["outer_name"]).lower(), depth=Depth(parameters["depth"])
    )
    return EchBlock(settings, ground)
