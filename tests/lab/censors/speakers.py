"""Two ends that talk past a censor, packet by packet."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from ipaddress import IPv4Network

from lab.censor import Censor, Ground, Value, Verdict, make
from lab.packets import ACK, FIN, PSH, RST, SYN, Way, build_tcp, build_udp, parse_packet

ANA = "192.0.2.10"
BORIS = "192.0.2.11"
MAIL_INSIDE = "192.0.2.25"
CLARA = "198.51.100.10"
RELAY = "203.0.113.11"
ELSEWHERE = "198.18.0.1"
"""A server abroad that stands in no hoster's network."""

GROUND = Ground(
    listed_names=frozenset({"relay1.example"}),
    listed_addresses=frozenset({RELAY}),
    hosters=(IPv4Network("203.0.113.0/24"), IPv4Network("198.51.100.0/24")),
    allowed_names=frozenset({"mail.inside.example"}),
    allowed_addresses=frozenset({MAIL_INSIDE}),
    people=frozenset({ANA, BORIS}),
)


def browser_hello(name: str | None) -> bytes:
    """The first bytes of a client with many ciphers, as OpenSSL writes them."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    outgoing = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()
    raise AssertionError("A handshake ended without an answer")


@dataclass
class Tcp:
    """A TCP connection between a client inside and a server abroad, unless told otherwise."""

    censor: Censor
    client: str = ANA
    server: str = RELAY
    client_port: int = 40_000
    port: int = 443
    way: Way = Way.OUT
    """Which way the client's packets go."""
    now: float = 0.0
    _sent: dict[bool, int] = field(default_factory=lambda: {True: 1_000, False: 9_000})

    def up(self, payload: bytes = b"", flags: int = ACK) -> Verdict:
        """The client sends a packet."""
        return self._send(True, payload, flags)

    def down(self, payload: bytes = b"", flags: int = ACK) -> Verdict:
        """The server sends a packet."""
        return self._send(False, payload, flags)

    def opens(self) -> bool:
        """The handshake of TCP; whether all three packets pass."""
        packets = (self.up(flags=SYN), self.down(flags=SYN | ACK), self.up())
        return all(verdict.passes for verdict in packets)

    def closes(self) -> bool:
        """The end of the connection; whether it passes."""
        return self.up(flags=FIN | ACK).passes and self.down(flags=RST).passes

    def _send(self, by_client: bool, payload: bytes, flags: int) -> Verdict:
        source, target = (self.client, self.client_port), (self.server, self.port)
        way = self.way
        if not by_client:
            source, target = target, source
            way = {Way.OUT: Way.IN, Way.IN: Way.OUT, Way.LOCAL: Way.LOCAL}[way]
        seq, ack = self._sent[by_client], self._sent[not by_client]
        flags |= PSH if payload else 0
        raw = build_tcp(*source, *target, seq, ack, flags, payload)
        self._sent[by_client] += len(payload) + bool(flags & SYN)
        return self.censor.see(parse_packet(raw, way), self.now)


def datagram(
    censor: Censor,
    payload: bytes = b"x",
    *,
    way: Way = Way.OUT,
    server: str = RELAY,
    port: int = 443,
    now: float = 0.0,
) -> bool:
    """A datagram between a client inside and a server; whether it passes."""
    source, target = (ANA, 50_000), (server, port)
    if way is Way.IN:
        source, target = target, source
    raw = build_udp(*source, *target, payload)
    return censor.see(parse_packet(raw, way), now).passes


def ping(censor: Censor, way: Way = Way.OUT) -> bool:
    """An ICMP echo; whether it passes."""
    raw = bytearray(build_udp(ANA, 8, RELAY, 0, b""))
    raw[9] = 1
    return censor.see(parse_packet(bytes(raw), way), 0.0).passes


def drawn(name: str) -> list[tuple[Censor, dict[str, Value]]]:
    """The profile as twenty seeds draw it."""
    return [make(name, GROUND, seed) for seed in range(20)]
