"""Forged DNS answers: for a listed name one comes first, and the true one follows.

1. The censor stands beside the cable: it forges, but the query goes on and is answered truly. The
   query is held back for as long as a forged answer is ahead in the measurements.
2. It looks at UDP to port 53, whichever address that goes to, and forges A and AAAA answers only.
3. Up to three forgers answer, each with an address of its own.
4. A query over TCP cannot be answered first; some censors reset its connection instead.

What passes: other names, other record types, other ports, and queries that come from abroad.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from random import Random

from lab import dns
from lab.censor import PASS, Base, Censor, Ground, Parameters, Verdict
from lab.packets import TCP, UDP, Packet, Way, build_udp, reset_both

FORGED_A = (
    "203.0.113.201",
    "198.51.100.202",
    "203.0.113.203",
    "10.10.34.34",
    "127.0.0.1",
    "0.0.0.0",
)
"""Where forged A records point: foreign machines that are not there (China), the address of a block
page (Iran), or nowhere."""
FORGED_AAAA = ("2001::1", "2001::4a7d:c8b6", "2001::c73b:9587")
"""Where forged AAAA records point: into the Teredo network (China)."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How a censor poisons."""

    head_start: float
    """Seconds for which a forged answer is ahead of the true one."""
    forgers: int
    """How many answers are forged for one query, 1 to 3."""
    ttl: int
    """Seconds for which a forged record may be kept."""
    resets_tcp: bool
    """Whether connections that ask for a listed name over TCP are reset."""


def is_listed(name: str | None, names: Collection[str]) -> bool:
    """Whether a name, or one that it is a part of, is among `names` (lower case)."""
    if not name or not names:
        return False
    labels = name.lower().rstrip(".").split(".")
    return any(".".join(labels[start:]) in names for start in range(len(labels)))


class DnsPoison(Base):
    """See the module."""

    def __init__(self, settings: Settings, ground: Ground, rng: Random) -> None:
        """`rng` chooses the forged addresses."""
        self.settings = settings
        self._names = ground.listed_names
        self._rng = rng

    def see(self, packet: Packet, now: float) -> Verdict:
        """See Censor."""
        if packet.way is not Way.OUT or packet.dport != dns.PORT or not packet.payload:
            return PASS
        if packet.proto == UDP:
            return self._udp(packet)
        if packet.proto == TCP and self.settings.resets_tcp:
            return self._tcp(packet)
        return PASS

    def _udp(self, packet: Packet) -> Verdict:
        query = dns.parse_query(packet.payload)
        if query is None or not is_listed(query.name, self._names):
            return PASS
        if query.type not in {dns.A, dns.AAAA}:
            return PASS
        pool = FORGED_A if query.type == dns.A else FORGED_AAAA
        forged = tuple(
            build_udp(
                packet.dst,
                packet.dport,
                packet.src,
                packet.sport,
                dns.answer(query, [address], ttl=self.settings.ttl),
            )
            for address in self._rng.sample(pool, self.settings.forgers)
        )
        return Verdict(delay=self.settings.head_start, forged=forged)

    def _tcp(self, packet: Packet) -> Verdict:
        # Over TCP two bytes of length come first (RFC 1035, section 4.2.2). No reassembly: a
        # query that is cut in two is not seen.
        query = dns.parse_query(packet.payload[2:])
        if query is None or not is_listed(query.name, self._names):
            return PASS
        return Verdict(passes=False, forged=reset_both(packet))


def make(parameters: Parameters, ground: Ground, rng: Random) -> Censor:
    """A censor with these drawn parameters."""
    settings = Settings(
        head_start=float(parameters["head_start"]),
        forgers=int(parameters["forgers"]),
        ttl=int(parameters["ttl"]),
        resets_tcp=bool(parameters["resets_tcp"]),
    )
    return DnsPoison(settings, ground, rng)
