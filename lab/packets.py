"""IPv4 packets as the border sees them: taken apart, built, and forged.

Sources: RFC 791 (IPv4), RFC 9293 (TCP), RFC 768 (UDP), RFC 1071 (checksums), RFC 5961 (which RST a
TCP stack accepts). Ports and sequence numbers are numbers in host order, addresses dotted strings.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address
from struct import Struct, error

FIN = 0x01
SYN = 0x02
RST = 0x04
PSH = 0x08
ACK = 0x10

ICMP = 1
TCP = 6
UDP = 17

End = tuple[str, int]
"""An address and a port; the port is 0 where the protocol has none."""

SEQUENCE = 1 << 32
"""Sequence numbers are counted modulo this."""

_IPV4 = Struct("!BBHHHBBH4s4s")
_IPV4_READ = Struct("!BxHxxHxBxx4s4s")
_TCP = Struct("!HHIIBBHHH")
_TCP_READ = Struct("!HHIIBBH")
_UDP = Struct("!HHHH")
_PORTS = Struct("!HHH")
_PSEUDO = Struct("!4s4sxBH")

_DONT_FRAGMENT = 0x4000
_FRAGMENT_OFFSET = 0x1FFF
_LONGEST = 0xFFFF


class InvalidPacket(ValueError):
    """These bytes are no whole IPv4 packet, or no packet can be made of these values."""


class Way(Enum):
    """Which way a packet goes, seen from the border."""

    OUT = "out"
    """From inside the country to abroad."""
    IN = "in"
    """From abroad to inside the country."""
    LOCAL = "local"
    """Both ends are inside, or both are abroad."""

    # Members are single objects; the hash of Enum goes through the name, in Python.
    __hash__ = object.__hash__


@dataclass(frozen=True, slots=True)
class Flow:
    """A connection, the same for its packets in both directions."""

    proto: int
    inner: End
    """The end inside the country."""
    outer: End
    """The end abroad."""


@dataclass(frozen=True, slots=True)
class Packet:
    """One IPv4 packet. TCP fields are 0 for other protocols, ports also for ICMP."""

    raw: bytes
    """The packet as it came, IP header included."""
    way: Way
    src: str
    dst: str
    proto: int
    """1 ICMP, 6 TCP, 17 UDP; others are possible."""
    sport: int = 0
    dport: int = 0
    seq: int = 0
    ack: int = 0
    flags: int = 0
    """FIN, SYN, RST, PSH and ACK, combined."""
    window: int = 0
    """As sent, without the connection's window scale."""
    payload: bytes = b""
    """What TCP or UDP carries; for other protocols all that IP carries."""

    @property
    def syn(self) -> bool:
        """Whether a client opens a connection with it: SYN without ACK."""
        return self.flags & (SYN | ACK) == SYN

    @property
    def synack(self) -> bool:
        """Whether a server accepts a connection with it."""
        return self.flags & (SYN | ACK) == SYN | ACK

    @property
    def fin(self) -> bool:
        """Whether the sender says that it has sent all."""
        return self.flags & FIN != 0

    @property
    def rst(self) -> bool:
        """Whether it breaks the connection off."""
        return self.flags & RST != 0

    @property
    def has_ack(self) -> bool:
        """Whether its acknowledgement number means something."""
        return self.flags & ACK != 0

    @property
    def inner(self) -> End:
        """The end inside the country; of a local packet the end that comes first in text order."""
        source, target = (self.src, self.sport), (self.dst, self.dport)
        if self.way is Way.OUT:
            return source
        return target if self.way is Way.IN else min(source, target)

    @property
    def outer(self) -> End:
        """The end abroad; of a local packet the end that comes last in text order."""
        source, target = (self.src, self.sport), (self.dst, self.dport)
        if self.way is Way.OUT:
            return target
        return source if self.way is Way.IN else max(source, target)

    @property
    def flow(self) -> Flow:
        """The connection it belongs to."""
        return Flow(self.proto, self.inner, self.outer)


@lru_cache(maxsize=4096)
def _dotted(packed: bytes) -> str:
    return ".".join(map(str, packed))


@lru_cache(maxsize=4096)
def _packed(address: str) -> bytes:
    try:
        return IPv4Address(address).packed
    except AddressValueError:
        raise InvalidPacket("An address is not four numbers with dots") from None


def parse_packet(raw: bytes, way: Way) -> Packet:
    """Take a packet apart. Checksums are not looked at (`checksums_right` does that).

    Raises InvalidPacket for anything but IPv4, for packets that are cut short, and for fragments
    other than the first, which have no ports. Bytes after the length in the header are ignored.
    """
    try:
        first, total, fragment, proto, source, target = _IPV4_READ.unpack_from(raw)
    except error:
        raise InvalidPacket("Shorter than an IPv4 header") from None
    start = (first & 15) << 2
    if first >> 4 != 4 or not 20 <= start <= total <= len(raw):
        raise InvalidPacket("Not a whole IPv4 packet")
    if fragment & _FRAGMENT_OFFSET:
        raise InvalidPacket("A fragment that is not the first")
    src, dst = _dotted(source), _dotted(target)
    if proto == TCP:
        if total - start < 20:
            raise InvalidPacket("Shorter than a TCP header")
        sport, dport, seq, ack, offset, flags, window = _TCP_READ.unpack_from(raw, start)
        body = start + (offset >> 4 << 2)
        if not start + 20 <= body <= total:
            raise InvalidPacket("The TCP header ends outside of the packet")
        payload = raw[body:total]
        return Packet(
            raw, way, src, dst, proto, sport, dport, seq, ack, flags & 0x3F, window, payload
        )
    if proto == UDP:
        if total - start < 8:
            raise InvalidPacket("Shorter than a UDP header")
        sport, dport, length = _PORTS.unpack_from(raw, start)
        # The first fragment of a datagram holds less than the datagram's length.
        fragmented = bool(fragment & 0x2000)
        if length < 8 or (length > total - start and not fragmented):
            raise InvalidPacket("The UDP length does not fit the packet")
        end = min(start + length, total)
        return Packet(raw, way, src, dst, proto, sport, dport, payload=raw[start + 8 : end])
    return Packet(raw, way, src, dst, proto, payload=raw[start:total])


def checksum(data: bytes) -> int:
    """The internet checksum (RFC 1071) of bytes, in host order.

    Ones' complement addition of 16-bit words is addition modulo 0xFFFF, which one division of the
    whole as a number gives, since 0x10000 leaves 1. A sum that is not zero is never written as 0.
    """
    number = int.from_bytes(data, "big") << (len(data) & 1) * 8
    return 0xFFFF - (number % 0xFFFF or 0xFFFF) if number else 0xFFFF


def build_tcp(
    src: str,
    sport: int,
    dst: str,
    dport: int,
    seq: int,
    ack: int,
    flags: int,
    payload: bytes = b"",
    window: int = 65535,
    ttl: int = 64,
) -> bytes:
    """A TCP packet without options, with right checksums; `seq` and `ack` are taken modulo 2^32.

    Raises InvalidPacket for values that do not fit their fields.
    """
    source, target = _packed(src), _packed(dst)
    numbers = (sport, dport, seq % SEQUENCE, ack % SEQUENCE, 5 << 4, flags, window)
    try:
        header = _TCP.pack(*numbers, 0, 0)
        pseudo = _PSEUDO.pack(source, target, TCP, len(header) + len(payload))
        right = checksum(pseudo + header + payload)
        return _ip_header(source, target, TCP, len(header) + len(payload), ttl) + (
            _TCP.pack(*numbers, right, 0) + payload
        )
    except error:
        raise InvalidPacket("A value does not fit its field") from None


def build_udp(src: str, sport: int, dst: str, dport: int, payload: bytes, ttl: int = 64) -> bytes:
    """A UDP packet with right checksums. Raises InvalidPacket for values that do not fit."""
    source, target = _packed(src), _packed(dst)
    length = 8 + len(payload)
    try:
        pseudo = _PSEUDO.pack(source, target, UDP, length)
        # 0 means "no checksum" in UDP, so a checksum of 0 is written as 0xFFFF (RFC 768).
        right = checksum(pseudo + _UDP.pack(sport, dport, length, 0) + payload) or 0xFFFF
        return _ip_header(source, target, UDP, length, ttl) + (
            _UDP.pack(sport, dport, length, right) + payload
        )
    except error:
        raise InvalidPacket("A value does not fit its field") from None


def _ip_header(source: bytes, target: bytes, proto: int, carried: int, ttl: int) -> bytes:
    """An IPv4 header without options. Raises struct.error for values that do not fit."""
    total = 20 + carried
    blank = _IPV4.pack(0x45, 0, total, 0, _DONT_FRAGMENT, ttl, proto, 0, source, target)
    return blank[:10] + checksum(blank).to_bytes(2, "big") + blank[12:]


def checksums_right(raw: bytes) -> bool:
    """Whether the checksums of the IPv4 header and of TCP, UDP or ICMP are right.

    Raises InvalidPacket as `parse_packet` does. A UDP checksum of 0 ("none") is right.
    """
    packet = parse_packet(raw, Way.LOCAL)
    start, total = (raw[0] & 15) << 2, int.from_bytes(raw[2:4], "big")
    if checksum(raw[:start]):
        return False
    carried = raw[start:total]
    if packet.proto == UDP:
        carried = carried[: int.from_bytes(carried[4:6], "big")]
        if carried[6:8] == b"\0\0":
            return True
    if packet.proto in {TCP, UDP}:
        carried = _PSEUDO.pack(raw[12:16], raw[16:20], packet.proto, len(carried)) + carried
    elif packet.proto != ICMP:
        return True
    return not checksum(carried)


def reset_both(packet: Packet) -> tuple[bytes, bytes]:
    """RSTs that break off a packet's connection: one to its sender, one to its receiver.

    A stack breaks off at once only when the RST carries exactly the sequence number that it
    expects next (RFC 5961, section 3.2), or, while it waits for a SYN/ACK, when it acknowledges
    the SYN. The sender expects what the packet acknowledges. The receiver expects the packet
    itself, so its RST has to arrive before the packet; after a SYN or a SYN/ACK it expects the
    number that follows, and a client that waits for a SYN/ACK takes any.

    Raises InvalidPacket when the packet is not TCP.
    """
    if packet.proto != TCP:
        raise InvalidPacket("Only TCP connections can be reset")
    opens = int(packet.flags & SYN != 0)
    follows = packet.seq + len(packet.payload) + opens + packet.fin
    ack, ack_flag = (packet.ack, ACK) if packet.has_ack else (0, 0)
    to_sender = build_tcp(
        packet.dst, packet.dport, packet.src, packet.sport, ack, follows, RST | ACK, window=0
    )
    to_receiver = build_tcp(
        packet.src,
        packet.sport,
        packet.dst,
        packet.dport,
        packet.seq + opens,
        ack,
        RST | ack_flag,
        window=0,
    )
    return to_sender, to_receiver
