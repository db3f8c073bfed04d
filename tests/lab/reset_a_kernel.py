"""Checks forged resets against the kernel's TCP; run in a network namespace of its own.

The kernel has one end of each connection, this program plays the other end by hand over a TUN
device, and the resets made by `lab.packets.reset_both` are sent to the kernel's end. Prints the
name of each case that the kernel believed at once; fails at the first that it did not.
"""

import fcntl
import os
import select
import socket
import struct
import subprocess
import sys

from lab.packets import ACK, PSH, SYN, Packet, Way, build_tcp, parse_packet, reset_both

KERNEL, OTHER = "192.0.2.10", "203.0.113.11"
TUNSETIFF = 0x400454CA
TUN_WITHOUT_HEADER = 0x1001
PATIENCE = 5.0


def open_tun() -> int:
    try:
        device = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
        fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", b"wire", TUN_WITHOUT_HEADER))
    except OSError:
        sys.exit("cannot make a TUN device")
    for command in (
        f"addr add {KERNEL}/32 dev wire",
        "link set wire up",
        f"route add default dev wire src {KERNEL}",
    ):
        subprocess.run(["ip", *command.split()], check=True)
    return device


def next_tcp(device: int) -> Packet:
    """The next TCP packet that the kernel sends."""
    while True:
        if not select.select([device], [], [], PATIENCE)[0]:
            raise TimeoutError
        raw = os.read(device, 2048)
        if raw[0] >> 4 == 4 and (packet := parse_packet(raw, Way.OUT)).proto == 6:
            return packet


def reply(device: int, to: Packet, seq: int, flags: int, payload: bytes = b"") -> Packet:
    """Send a packet of the other end, which acknowledges all that `to` carries; return it."""
    ack = to.seq + len(to.payload) + (to.syn or to.synack)
    raw = build_tcp(OTHER, to.dport, KERNEL, to.sport, seq, ack, flags | ACK, payload)
    os.write(device, raw)
    return parse_packet(raw, Way.IN)


def connected(device: int) -> tuple[socket.socket, Packet]:
    """A socket of the kernel that has connected to port 443, and the ACK that it sent last."""
    client = socket.socket()
    client.setblocking(False)
    client.connect_ex((OTHER, 443))
    reply(device, next_tcp(device), 5000, SYN)
    return client, next_tcp(device)


def is_reset(client: socket.socket, expected: type[OSError]) -> bool:
    """Whether the kernel has broken the connection off."""
    select.select([], [client], [], PATIENCE)
    client.setblocking(False)
    try:
        client.recv(1)
    except expected:
        return True
    except OSError:
        return False
    return False


def connecting(device: int) -> bool:
    client = socket.socket()
    client.setblocking(False)
    client.connect_ex((OTHER, 443))
    os.write(device, reset_both(next_tcp(device))[0])
    return is_reset(client, ConnectionRefusedError)


def sender(device: int) -> bool:
    client, _ = connected(device)
    client.send(b"a name that is listed")
    os.write(device, reset_both(next_tcp(device))[0])
    return is_reset(client, ConnectionResetError)


def receiver(device: int) -> bool:
    client, last = connected(device)
    refused = build_tcp(OTHER, 443, KERNEL, last.sport, 5001, last.seq, PSH | ACK, b"a bad answer")
    os.write(device, reset_both(parse_packet(refused, Way.IN))[1])
    return is_reset(client, ConnectionResetError)


def accepting(device: int) -> bool:
    server = socket.create_server((KERNEL, 443))
    server.settimeout(PATIENCE)
    opening = build_tcp(OTHER, 4000, KERNEL, 443, 7000, 0, SYN)
    os.write(device, opening)
    last = reply(device, next_tcp(device), 7001, 0)
    client, _ = server.accept()
    hello = build_tcp(OTHER, 4000, KERNEL, 443, 7001, last.ack, PSH | ACK, b"a listed name")
    os.write(device, reset_both(parse_packet(hello, Way.IN))[1])
    return is_reset(client, ConnectionResetError)


def main() -> None:
    device = open_tun()
    for case in (connecting, sender, receiver, accepting):
        if not case(device):
            sys.exit(f"not believed: {case.__name__}")
        print(case.__name__)


if __name__ == "__main__":
    main()
