"""What the doctor sees: the outcomes of its small observations. Pure.

An observation says what happened, never what it means; that is for `volok.paths.doctor`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, IntEnum

_NOT_PUBLIC = tuple(
    ipaddress.ip_network(text)
    for text in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
        *("172.16.0.0/12", "192.168.0.0/16", "224.0.0.0/4", "240.0.0.0/4"),
        *("::/127", "2001::/32", "fc00::/7", "fe80::/10", "ff00::/8"),
    )
)
"""Networks in which no public server stands (RFC 6890); Teredo among them, since forgers use it."""
_PRIVATE = tuple(
    ipaddress.ip_network(text)
    for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
)
"""Of these, the networks of homes and companies (RFC 1918, RFC 4193)."""


class Lookup(Enum):
    """What became of the question for a name's addresses."""

    ANSWERED = "answered"
    NO_SUCH_NAME = "no-such-name"
    """The answer was that there is no such name, or no address for it."""
    NO_ANSWER = "no-answer"
    NOT_NEEDED = "not-needed"
    """The host is an address."""


class Hello(Enum):
    """What the greeting of a connection showed."""

    NAMED = "named"
    """The name that the program shows by itself, in one piece."""
    CUT = "cut"
    """The same, cut into two records and two packets."""
    NAMELESS = "nameless"
    """No name."""
    OTHER = "other"
    """The name of another of the person's own places."""
    PLAIN = "plain"
    """There was none: a connection without TLS."""


class Stage(IntEnum):
    """How far a connection came; each comes after the one before."""

    CONNECT = 1
    """TCP."""
    GREETING = 2
    """The TLS handshake, at the end of which the other side has proved who it is."""
    SPEECH = 3
    """The websocket handshake."""
    CARRY = 4
    """Pings that fill it, and their answers."""


class Outcome(Enum):
    """How the last stage that was tried ended."""

    WORKS = "works"
    SILENT = "silent"
    """Nothing came back in time."""
    RESET = "reset"
    """The connection was broken off."""
    REFUSED = "refused"
    """The answer was that nobody is there."""
    NO_ROUTE = "no-route"
    """This computer knows no way there."""
    STRANGER = "stranger"
    """Somebody answered who is not the one that was meant."""
    EXPIRED = "expired"
    """A certificate that is not valid today, by the clock of this computer."""
    ANSWERS = "answers"
    """Somebody answered, but not as was expected: an alert, another protocol."""


@dataclass(frozen=True, slots=True)
class Carried:
    """What one connection carried before it ended, both ways together."""

    bytes: int
    """Of TCP payload, as far as answers came."""
    packets: int | None
    """The same in packets; None where the system does not tell."""
    rate: float | None = None
    """Bytes a second in each direction, measured on a full connection; None: not measured."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One connection."""

    address: str
    hello: Hello
    stage: Stage
    outcome: Outcome
    carried: Carried | None = None

    @property
    def opened(self) -> bool:
        """Whether TCP was opened."""
        return self.stage > Stage.CONNECT or self.outcome is Outcome.WORKS

    @property
    def proved(self) -> bool:
        """Whether the one who was meant was there; without TLS, somebody who speaks the protocol
        is as good as can be known."""
        last = Stage.SPEECH if self.hello is Hello.PLAIN else Stage.GREETING
        return self.stage > last or (self.stage is last and self.outcome is Outcome.WORKS)

    @property
    def greeted(self) -> bool:
        """Whether somebody answered the greeting, be it to decline it."""
        answers = (Outcome.STRANGER, Outcome.EXPIRED, Outcome.ANSWERS)
        return self.proved or (self.stage is Stage.GREETING and self.outcome in answers)

    @property
    def whole(self) -> bool:
        """Whether it carried all that it was given."""
        return self.stage is Stage.CARRY and self.outcome is Outcome.WORKS

    @property
    def frozen(self) -> bool:
        """Whether it fell silent after it had begun well."""
        return self.stage >= Stage.SPEECH and self.outcome is Outcome.SILENT


@dataclass(frozen=True, slots=True)
class NameSeen:
    """What the name of a place led to."""

    lookup: Lookup
    addresses: tuple[str, ...] = ()
    """As the system gave them."""
    answers: tuple[tuple[str, ...], ...] = ()
    """Different answers that name servers gave to the same question, one after another."""
    injected: bool = False
    """Whether a question that was sent where no name server is got an answer."""


@dataclass(frozen=True, slots=True)
class PlaceSeen:
    """One relay or drop of the person's own."""

    id: str
    """Its URL, or what else the person knows it by."""
    is_relay: bool
    is_network: bool = True
    """Whether a network leads there; not so for a folder."""
    straight: bool = True
    """Whether it may be reached without any of the paths that the person added."""
    name: NameSeen | None = None
    """None: not looked up."""
    attempts: tuple[Attempt, ...] = ()
    ways: tuple[tuple[str, bool], ...] = ()
    """Paths that the person added, by name, and whether they lead there now."""
    works: bool | None = None
    """Of a drop: whether a file could be left, read and removed. None: not tried."""
    problem: str = ""
    """Why not, in a sentence."""
    known: tuple[str, ...] = ()
    """Addresses at which it proved itself earlier."""

    @property
    def proved_at(self) -> tuple[str, ...]:
        """The addresses at which it proved itself."""
        return tuple(dict.fromkeys(one.address for one in self.attempts if one.proved))

    @property
    def by_way(self) -> bool:
        """Whether a path that the person added leads there."""
        return any(works for _, works in self.ways)

    @property
    def answers(self) -> bool:
        """Whether it can be reached in any way."""
        return bool(self.proved_at) or self.works is True or self.by_way


@dataclass(frozen=True, slots=True)
class Observations:
    """All that was seen."""

    places: tuple[PlaceSeen, ...] = ()
    has_route: bool = True
    """Whether this computer knows a way out."""
    name_server: bool | None = None
    """Whether the system's name server answers anything; None: there is none elsewhere."""
    thorough: bool = False
    """Whether the checks were made that may cost a place for some minutes."""
    passes_quic: bool | None = None
    """Whether a QUIC packet arrives. None: cannot be told, or not tried; so with the following."""
    passes_any_protocol: bool | None = None
    """Whether what is neither TLS, HTTP nor DNS arrives on a port of theirs."""
    passes_random: bool | None = None
    """Whether bytes that look fully encrypted arrive each time."""
    passes_parallel: bool | None = None
    """Whether greetings are answered after several at once."""
    complete: bool = True
    """Whether the time sufficed for everything."""


def is_public(address: str) -> bool:
    """Whether a public server may stand at this address."""
    known = _parsed(address)
    return known is not None and not _within(known, _NOT_PUBLIC)


def is_private(address: str) -> bool:
    """Whether it is an address of a home or a company."""
    known = _parsed(address)
    return known is not None and _within(known, _PRIVATE)


_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _parsed(address: str) -> _Address | None:
    try:
        return ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return None


def _within(address: _Address, networks: Iterable[_Network]) -> bool:
    return any(address in network for network in networks if network.version == address.version)
