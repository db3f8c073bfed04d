"""Hosts as network namespaces, each with one TUN device whose other end is a descriptor of ours.

1. A device is opened here and then moved into its namespace; the descriptor goes on working.
2. There is no gateway and no ARP: the default route is the device, and the only one, though the
   address tells of a local network. Each route asks for cubic, since a new namespace would use the
   machine's choice and the sysctl refuses cubic.
3. A socket made while its thread is in a namespace stays there, so `in_host` is entered only for
   the moment of making it.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import signal
import struct
import subprocess
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from lab.ground import Host

NAMESPACES = Path("/run/netns")
MTU = 1500
QUEUE = 1000
"""Packets that wait for the wire before the kernel drops more."""

_TUNSETIFF = 0x400454CA
_TUN_WITHOUT_HEADER = 0x0001 | 0x1000
_CLONE_NEWNET = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)


def make(hosts: Collection[Host], resolvers: Mapping[str, str]) -> dict[str, int]:
    """Make namespaces with addresses and routes; gives the TUN descriptors by host name.

    `resolvers` are the addresses of the name servers by host name. The descriptors are non-blocking
    and carry whole IP packets.
    """
    _ip(f"netns add {host.name}" for host in hosts)
    devices = {host.name: _open_tun(f"lan{place}") for place, host in enumerate(hosts)}
    _ip(f"link set lan{place} netns {host.name}" for place, host in enumerate(hosts))
    for place, host in enumerate(hosts):
        _ip(
            (
                "link set lo up",
                f"addr add {host.address}/24 dev lan{place} noprefixroute",
                f"link set lan{place} mtu {MTU} txqueuelen {QUEUE} multicast on up",
                f"route add default dev lan{place} src {host.address} congctl cubic",
            ),
            "-n",
            host.name,
        )
        with in_host(host.name):  # /proc/sys/net shows the thread's namespace
            Path("/proc/sys/net/ipv6/conf/all/disable_ipv6").write_text("1")
        if host.name in resolvers:
            folder = Path("/etc/netns") / host.name  # `ip netns exec` binds it over /etc
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "resolv.conf").write_text(f"nameserver {resolvers[host.name]}\n")
    return devices


def remove(hosts: Collection[Host]) -> None:
    """End every process in the hosts, at once and without asking, and take the hosts away."""
    for process in processes(hosts):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    _ip(f"netns delete {host.name}" for host in hosts)


def processes(hosts: Collection[Host]) -> list[int]:
    """The process numbers of all that runs in the hosts."""
    namespaces = {(NAMESPACES / host.name).stat().st_ino for host in hosts}
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # it has just ended
                if (entry / "ns/net").stat().st_ino in namespaces:
                    found.append(int(entry.name))
    return found


@contextlib.contextmanager
def in_host(name: str) -> Iterator[None]:
    """Have this thread in a host for a moment: make sockets here, and do not await."""
    here = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        there = os.open(NAMESPACES / name, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _enter(there)
        finally:
            os.close(there)
        try:
            yield
        finally:
            _enter(here)
    finally:
        os.close(here)


def _enter(namespace: int) -> None:
    if _LIBC.setns(namespace, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def _open_tun(name: str) -> int:
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _TUN_WITHOUT_HEADER))
    return device


def _ip(lines: Iterator[str] | Collection[str], *options: str) -> None:
    command = ["ip", *options, "-batch", "-"]
    subprocess.run(command, check=True, text=True, input="\n".join(lines))
