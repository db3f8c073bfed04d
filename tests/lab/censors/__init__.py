"""Dialogues of packets with a censor: who says what, and what becomes of it.

A `Talk` is one TCP connection that both ends carry on as if every packet that passes arrives.
"""

import ssl
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Network

from lab.censor import Censor, Ground, Verdict
from lab.packets import (
    ACK,
    FIN,
    PSH,
    RST,
    SYN,
    Packet,
    Way,
    build_tcp,
    build_udp,
    checksums_right,
    parse_packet,
)

ANA, BORIS, NEWS = "192.0.2.10", "192.0.2.11", "192.0.2.80"
RELAY, OTHER, CLARA = "203.0.113.11", "203.0.113.80", "198.51.100.10"
FAR = "100.64.7.7"
"""Abroad, but no hoster's."""
LISTED, UNLISTED = "relay1.example", "www.plain.example"

GROUND = Ground(
    listed_names=frozenset({LISTED}),
    listed_addresses=frozenset({RELAY}),
    hosters=(IPv4Network("203.0.113.0/24"), IPv4Network("198.51.100.0/24")),
    allowed_names=frozenset({"news.inside.example"}),
    allowed_addresses=frozenset({NEWS}),
    people=frozenset({ANA, BORIS}),
)


def way_of(source: str, target: str) -> Way:
    """Which way a packet between these addresses goes."""
    inside = [address.startswith("192.0.2.") for address in (source, target)]
    if inside == [True, False]:
        return Way.OUT
    return Way.IN if inside == [False, True] else Way.LOCAL


def tcp(
    source: tuple[str, int],
    target: tuple[str, int],
    flags: int,
    payload: bytes = b"",
    seq: int = 0,
    ack: int = 0,
) -> Packet:
    """A parsed TCP packet."""
    raw = build_tcp(*source, *target, seq, ack, flags, payload)
    return parse_packet(raw, way_of(source[0], target[0]))


def udp(source: tuple[str, int], target: tuple[str, int], payload: bytes) -> Packet:
    """A parsed UDP packet."""
    return parse_packet(build_udp(*source, *target, payload), way_of(source[0], target[0]))


def forged(verdict: Verdict) -> list[Packet]:
    """What a verdict forges, as its receivers see it; all checksums have to be right."""
    assert all(checksums_right(raw) for raw in verdict.forged)
    return [parse_packet(raw, Way.LOCAL) for raw in verdict.forged]


@dataclass
class Talk:
    """A TCP connection past a censor."""

    censor: Censor
    client: tuple[str, int] = (ANA, 40000)
    server: tuple[str, int] = (RELAY, 443)
    now: float = 0.0
    sent: int = 1000
    """The client's next sequence number."""
    heard: int = 9000
    """The server's next sequence number."""

    def see(self, packet: Packet) -> Verdict:
        """Show one packet."""
        return self.censor.see(packet, self.now)

    def syn(self, seq: int | None = None) -> Verdict:
        """The client opens."""
        self.sent = self.sent if seq is None else seq
        verdict = self.see(tcp(self.client, self.server, SYN, seq=self.sent))
        self.sent += 1
        return verdict

    def synack(self) -> Verdict:
        """The server accepts."""
        return self.see(tcp(self.server, self.client, SYN | ACK, b"", self.heard, self.sent))

    def open(self) -> "Talk":
        """Three packets, which all have to pass without anything forged."""
        verdicts = [self.syn(), self.synack()]
        self.heard += 1
        verdicts.append(self.ack())
        assert verdicts == [Verdict()] * 3
        return self

    def ack(self) -> Verdict:
        """The client acknowledges."""
        return self.see(tcp(self.client, self.server, ACK, b"", self.sent, self.heard))

    def say(self, payload: bytes, seq: int | None = None) -> Verdict:
        """The client sends; with `seq` it repeats, or runs ahead, and its count stays."""
        at = self.sent if seq is None else seq
        verdict = self.see(tcp(self.client, self.server, PSH | ACK, payload, at, self.heard))
        self.sent += len(payload) if seq is None else 0
        return verdict

    def hear(self, payload: bytes) -> Verdict:
        """The server sends."""
        verdict = self.see(tcp(self.server, self.client, PSH | ACK, payload, self.heard, self.sent))
        self.heard += len(payload)
        return verdict

    def fin(self) -> Verdict:
        """The client has no more to say."""
        return self.see(tcp(self.client, self.server, FIN | ACK, b"", self.sent, self.heard))

    def rst(self) -> Verdict:
        """The client breaks off."""
        return self.see(tcp(self.client, self.server, RST, b"", self.sent))


def client_hello(name: str | None) -> bytes:
    """The record that a real TLS client sends first; None for no server name."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname=name)
    with suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


def with_ech(record: bytes) -> bytes:
    """The same hello with the extension of encrypted ClientHello (RFC 9849) at its end."""
    body = bytearray(record[9:])
    at = 34
    at += 1 + body[at]
    at += 2 + int.from_bytes(body[at : at + 2], "big")
    at += 1 + body[at]
    extension = b"\xfe\x0d" + (40).to_bytes(2, "big") + bytes(40)
    size = int.from_bytes(body[at : at + 2], "big") + len(extension)
    body[at : at + 2] = size.to_bytes(2, "big")
    message = b"\x01" + (len(body) + len(extension)).to_bytes(3, "big") + body + extension
    return record[:3] + len(message).to_bytes(2, "big") + message


def cut_records(record: bytes, at: int) -> bytes:
    """The same handshake message in two TLS records, the first of `at` bytes."""
    parts = record[5 : 5 + at], record[5 + at :]
    return b"".join(record[:3] + len(part).to_bytes(2, "big") + part for part in parts)
