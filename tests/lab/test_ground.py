"""The ground: addresses from the ranges for documentation, each once."""

from __future__ import annotations

from ipaddress import IPv4Address

from lab import ground


def test_every_host_has_an_address_of_its_own_in_a_known_network() -> None:
    assert len({host.address for host in ground.HOSTS}) == len(ground.HOSTS)
    assert set(ground.BY_NAME) == {host.name for host in (*ground.HOSTS, *ground.WAITING)}
    for host in ground.HOSTS:
        address = IPv4Address(host.address)
        assert host.inside is (address in ground.COUNTRY)
        hosted = any(address in network for network in ground.HOSTERS)
        assert hosted is not (host.inside or host in ground.PEOPLE)


def test_names_belong_to_nobody() -> None:
    for host in ground.HOSTS:
        assert all(name.endswith(".example") for name in host.names)


def test_an_ordinary_censor_lists_the_relays_and_spares_what_is_domestic() -> None:
    known = ground.ordinary()
    assert known.listed_addresses == {host.address for host in ground.RELAYS}
    assert known.listed_names == {name for host in ground.RELAYS for name in host.names}
    assert known.people == {ground.ANA.address, ground.BORIS.address}
    assert all(ground.BY_NAME[name].inside for name in ("mail-inside", "drop-inside"))
    assert ground.MAIL_INSIDE.address in known.allowed_addresses
    assert not known.allowed_addresses & known.listed_addresses
    assert known.hosted(ground.RELAY1.address)
    assert not known.hosted(ground.WEB_INSIDE.address)
