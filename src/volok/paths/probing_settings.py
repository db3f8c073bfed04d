"""How the doctor observes, and what it observes."""

from __future__ import annotations

from dataclasses import dataclass

from volok.model.relay_link import RelayPin


@dataclass(frozen=True, slots=True)
class ProbeSettings:
    """How the doctor observes. Times are in seconds, sizes in bytes."""

    handshakes: int = 3
    """Connections being opened at once; more look like an attack to some censors."""
    spacing: float = 0.45
    """Between two connections to one place: some censors count those that follow faster."""
    lookup_wait: float = 5.0
    """For the addresses of a name."""
    answer_wait: float = 0.7
    """For further answers to one question after the first."""
    connect_wait: float = 3.5
    """For TCP."""
    greeting_wait: float = 3.5
    """For TLS."""
    speech_wait: float = 4.0
    """For the websocket handshake."""
    silence: float = 3.5
    """Without anything from the other end, after which a connection counts as frozen."""
    step: int = 3000
    """Sent at a time while looking how much a connection carries; as much comes back."""
    steps: int = 10
    """So many times; what passes all of them is not cut off by a network."""
    bulk: int = 48_000
    """Sent at once then, to see how fast it is; as much comes back."""
    bulk_wait: float = 7.0
    """For that at most."""
    addresses: int = 4
    """Of one place, that are tried at most."""
    places: int = 12
    """Relays and drops that are looked at."""
    carrying: int = 3
    """Relays that connections are filled to, which takes about 300 KB each."""
    way_wait: float = 9.0
    """For a place by a path that the person added, and for a drop to take and give a file."""
    whole: float = 27.0
    """For everything; what is not done by then is left out."""
    thorough: float = 60.0
    """The same with the checks that are made on demand only."""


@dataclass(frozen=True, slots=True)
class Target:
    """One of the person's own places."""

    id: str
    """Its URL, or what else the person knows it by."""
    is_relay: bool
    host: str = ""
    """Empty where it is not known, or there is none."""
    port: int = 443
    tls: bool = True
    pin: RelayPin | None = None
    known: tuple[str, ...] = ()
    """Addresses at which it proved itself earlier."""
    straight: bool = True
    """False: it is only to be reached by paths that the person added, so nothing is sent to it or
    asked about it from here."""
    is_network: bool = True
    """Whether a network leads there; not so for a folder."""
    speaks: bool = True
    """Whether it is told by what it proves in a handshake; else only by trying it as a drop."""
