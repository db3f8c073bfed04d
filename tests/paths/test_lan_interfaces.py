"""Which interfaces lead to a local network, and which addresses may be dialled on one."""

from __future__ import annotations

from ipaddress import IPv4Interface, IPv6Address, ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volok.paths.lan_interfaces import Interface, dialable, is_local, local_interfaces

CAFE = Interface("wlan0", 3, (IPv4Interface("192.168.7.20/24"),), IPv6Address("fe80::7"))
UP, LOOPBACK, MULTICAST = 0x1, 0x8, 0x1000


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "0.0.0.0",
        "255.255.255.255",
        "224.0.0.251",
        "192.168.7.0",
        "192.168.7.255",
        "192.168.7.20",
        "192.168.8.1",
        "10.0.0.1",
        "169.254.169.254",
        "203.0.113.9",
        "::1",
        "::ffff:192.168.7.9",
        "::ffff:127.0.0.1",
        "fe80::7",
        "fd00::1",
        "2001:db8::1",
        "ff02::fb",
        "printer.local",
        "",
        "%",
        "192.168.7.9/24",
    ],
)
def test_nothing_is_dialled_that_is_not_another_computer_on_this_network(address: str) -> None:
    assert dialable([address], CAFE) == []


def test_neighbours_are_dialled_each_once() -> None:
    heard = ["192.168.7.9", "192.168.7.9", "fe80::9%eth5", "fe80::9"]
    assert dialable(heard, CAFE) == ["192.168.7.9", "fe80::9%3"]
    assert dialable(["fe80::9"], Interface("eth0", 2, CAFE.v4)) == []


@given(st.one_of(st.ip_addresses().map(str), st.text(max_size=20)))
def test_whatever_is_announced_only_neighbours_come_out(address: str) -> None:
    for found in dialable([address], CAFE):
        plain = ip_address(found.partition("%")[0])
        assert plain in CAFE.v4[0].network or plain.is_link_local
        assert str(plain) not in CAFE.addresses


@pytest.mark.parametrize("name", ["tun0", "wg0", "docker0", "br-5e1f", "tailscale0", "ppp0"])
def test_tunnels_and_virtual_bridges_are_no_local_network(name: str) -> None:
    assert not is_local(name, UP | MULTICAST)


def test_flags_decide_where_the_system_tells_them() -> None:
    assert is_local("eth0", UP | MULTICAST)
    assert is_local("en0", None)
    assert not is_local("eth0", UP)
    assert not is_local("eth0", MULTICAST)
    assert not is_local("lo", UP | LOOPBACK | MULTICAST)


def test_interfaces_without_known_flags_are_judged_by_name(tmp_path: Path) -> None:
    for one in local_interfaces(tmp_path):
        assert one.v4
        assert not any(each.is_loopback for each in one.v4)
