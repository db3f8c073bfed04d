"""Networks are told apart, and their names tell nothing."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from volok.paths.network import OFFLINE, NetworkReader, network_name, read_network

KEY = bytes(range(32))
HEAD = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
LOCAL = "wlan0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
ARP_HEAD = "IP address       HW type     Flags       HW address            Mask     Device\n"


def default(interface: str = "wlan0", gateway: str = "010200C0", metric: int = 0) -> str:
    return f"{interface}\t00000000\t{gateway}\t0003\t0\t0\t{metric}\t00000000\t0\t0\t0\n"


def neighbour(address: str, hardware: str, interface: str = "wlan0") -> str:
    return f"{address}        0x1         0x2         {hardware}     *        {interface}\n"


def name(routes: str, arp: str = "", key: bytes = KEY) -> str:
    return network_name(HEAD + routes, ARP_HEAD + arp, key)


def test_the_gateway_makes_the_network() -> None:
    home = name(LOCAL + default(), neighbour("192.0.2.1", "02:fc:00:00:00:05"))
    assert home == name(default(), neighbour("192.0.2.1", "02:FC:00:00:00:05"))
    # The same addresses behind another router are another network.
    assert home != name(default(), neighbour("192.0.2.1", "02:fc:00:00:00:06"))
    # The same router at another address, by another kind of interface, is the same one.
    moved = name(default("eth0", "010100C0"), neighbour("192.0.1.1", "02:fc:00:00:00:05", "eth0"))
    assert home == moved
    assert home != name(default(), neighbour("192.0.2.1", "02:fc:00:00:00:05"), bytes(32))


def test_without_a_neighbour_the_address_and_the_kind_of_interface() -> None:
    assert name(default("wlan0")) == name(default("wlan1"))
    assert name(default("wlan0")) != name(default("eth0"))
    assert name(default()) == name(default(), neighbour("192.0.2.1", "00:00:00:00:00:00"))
    tunnel = "tun0\t00000000\t00000000\t0001\t0\t0\t0\t00000000\t0\t0\t0\n"
    assert name(tunnel) not in (OFFLINE, name(default()))


def test_the_route_that_is_preferred_counts() -> None:
    both = default("eth0", "010200C0", 100) + default("wlan0", "010300C0", 600)
    assert name(both) == name(default("eth0", "010200C0"))


def test_no_route_is_offline() -> None:
    assert name("") == name(LOCAL) == network_name("", "", KEY) == OFFLINE
    assert read_network(KEY, Path("/nonexistent"), Path("/nonexistent")) == OFFLINE


def test_the_name_holds_no_address() -> None:
    found = name(default(), neighbour("192.0.2.1", "02:fc:00:00:00:05"))
    assert len(found) == 16
    assert set(found) <= set("0123456789abcdef")


def test_this_computer_has_a_name() -> None:
    times = iter((0.0, 0.5, 5.0))
    reader = NetworkReader(KEY, lambda: next(times))
    assert reader() == reader() == reader() == read_network(KEY)


@given(st.text(), st.text())
def test_nothing_in_these_files_raises(routes: str, arp: str) -> None:
    network_name(HEAD + routes, ARP_HEAD + arp, KEY)
    network_name(HEAD + default() + routes, arp, KEY)
