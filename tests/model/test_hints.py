"""What may be passed on and taken up as a hint."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from volok.model.hints import (
    MAX_HINT,
    Hint,
    InvalidHint,
    is_local_host,
    is_public,
    parse_hint,
    parse_hints,
)

PIN = "A" * 22
ONION = "a" * 56 + ".onion"

TAKEN = {
    "wss://relay.example": ("relay", "wss://relay.example"),
    "WSS://Relay.Example:443/": ("relay", "wss://relay.example"),
    f"wss://203.0.113.5:7777/path#{PIN}": ("relay", f"wss://203.0.113.5:7777/path#{PIN}"),
    "wss://[2606:4700::1]:8443": ("relay", "wss://[2606:4700::1]:8443"),
    f"ws://{ONION}": ("relay", f"ws://{ONION}"),
    "webdavs://cloud.example/shared/": ("webdav", "webdavs://cloud.example/shared"),
    "sftp://host.example:2222/drop": ("sftp", "sftp://host.example:2222/drop"),
    "sftp://host.example:22/drop": ("sftp", "sftp://host.example/drop"),
    "s3+https://s3.example/letters/ab": ("s3", "s3+https://s3.example/letters/ab"),
    "mailto:Ana@Mail.Example": ("mail", "mailto:Ana@mail.example"),
}

REFUSED = (
    # Ourselves, our neighbours, everybody at once.
    "wss://127.0.0.1",
    "wss://localhost",
    "wss://relay.localhost",
    "wss://[::1]",
    "wss://0.0.0.0",
    "wss://10.1.2.3",
    "wss://172.31.0.1",
    "wss://192.168.1.1",
    "wss://100.64.0.1",
    "wss://169.254.169.254",
    "wss://224.0.0.251",
    "wss://255.255.255.255",
    "wss://[fe80::1]",
    "wss://[fd00::1]",
    "wss://[ff02::fb]",
    "wss://[::ffff:192.168.1.1]",
    "wss://[64:ff9b::a00:1]",
    "wss://[2002:7f00:1::]",
    "wss://router",
    "wss://printer.local",
    "wss://nas.lan",
    "wss://x.internal",
    "wss://1.0.0.127.in-addr.arpa",
    "webdavs://192.168.0.2/share",
    "sftp://nas.local/share",
    "mailto:me@localhost",
    "mailto:me@127.0.0.1",
    # Ports on which other services live.
    "wss://host.example:22",
    "wss://host.example:25",
    "wss://host.example:6667",
    "webdavs://host.example:143/x",
    # Other than plain.
    "ws://relay.example",
    "wss://user:password@relay.example",
    "webdavs://user:password@cloud.example/x",
    "wss://relay.example/delete?all=1",
    "wss://relay.example/a/%2e%2e/b",
    "wss://relay.example/" + "a" * 300,
    "wss://" + "a" * 600,
    "wss://relay.example#" + "A" * 21,
    "wss://exam ple.example",
    "wss://пример.example\n",
    "webdavs://cloud.example/",
    "mailto:a@b.example,c@d.example",
    "mailto:a@b.example?subject=x",
    "mailto:@b.example",
    "mailto:a@.example",
)


@pytest.mark.parametrize("text", TAKEN)
def test_taken(text: str) -> None:
    assert parse_hint(text) == Hint(*TAKEN[text])


@pytest.mark.parametrize("text", REFUSED)
def test_refused(text: str) -> None:
    with pytest.raises(InvalidHint):
        parse_hint(text)


@pytest.mark.parametrize("text", ["", "relay.example", "https://x.example", "tel:123", "file:/x"])
def test_unknown_kinds_are_no_errors(text: str) -> None:
    assert parse_hint(text) is None


def test_a_transport_is_kept_only_where_it_leads_outside() -> None:
    link = f"wss://203.0.113.5/s#{PIN}"
    for inner in ("127.0.0.1:4443", "router:4443", "10.0.0.1:4443", "nas.local:4443", ":25"):
        assert parse_hint(f"{link}&pt=obfs4;{inner};cert=abc") == Hint("relay", link)
    for inner in (":4443", "203.0.113.9:4443", "name.example:4443"):
        text = f"{link}&pt=obfs4;{inner};cert=abc"
        assert parse_hint(text) == Hint("relay", text)


@given(st.text(max_size=MAX_HINT + 10))
@example("wss://[")
@example("wss://[::1")
@example("sftp://h:99999999999/x")
def test_anything_else_raises_the_one_error_or_is_in_its_one_form(text: str) -> None:
    try:
        hint = parse_hint(text)
    except InvalidHint:
        return
    if hint is not None:
        assert parse_hint(hint.place) == hint


@given(
    st.sampled_from(["wss", "ws", "webdavs", "sftp", "s3+https"]),
    st.ip_addresses(),
    st.integers(1, 65535),
)
def test_no_address_of_a_local_network_is_taken(
    scheme: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int
) -> None:
    host = f"[{address}]" if address.version == 6 else str(address)
    try:
        hint = parse_hint(f"{scheme}://{host}:{port}/x")
    except InvalidHint:
        return
    assert hint is not None
    assert is_public(str(address))
    assert not any((address.is_loopback, address.is_link_local, address.is_multicast))
    # Those for documentation lead nowhere.
    documentation = ("192.0.2.", "198.51.100.", "203.0.113.", "2001:db8:")
    assert not address.is_private or str(address).startswith(documentation)


def test_of_many_the_first_few_count() -> None:
    relays = [f"wss://r{n}.example" for n in range(5)]
    mails = [f"mailto:m{n}@mail.example" for n in range(5)]
    told = ["wss://127.0.0.1", relays[0], relays[0], "x:y", *mails, *relays]
    assert [hint.place for hint in parse_hints(told, 3, 2)] == [relays[0], *mails[:2], *relays[1:3]]


@pytest.mark.parametrize("host", ["relay.example", "example.com", "8.8.8.8", "2606:4700::1"])
def test_public_hosts(host: str) -> None:
    assert not is_local_host(host)
