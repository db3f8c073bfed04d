"""Transports in the address of a relay."""

from __future__ import annotations

import contextlib
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volok.model.relay_link import InvalidFragment, RelayPin, parse_fragment, without_transports
from volok.model.transport import (
    InvalidTransport,
    Transport,
    parameters_text,
    parse_transport,
)
from volok.model.urls import blossom_url, normalise_relay_url, url_in_requests

CERT = "AzGXT1rJTxKV+m4z8m7zxvE5KT+2ZLPlXWOvaoS2zZJj/gRW2uVsxsyNPXZFn0zjmDvTJg"
OBFS4 = Transport("obfs4", "", 4443, (("cert", CERT), ("iat-mode", "0")))
PIN = RelayPin(bytes(range(16)), "www.example.org", (OBFS4,))

values = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=60)
keys = st.text(string.ascii_letters + string.digits + "_.-", min_size=1, max_size=20)
hosts = st.sampled_from(["", "203.0.113.7", "2001:db8::7", "bridge.example"])
transports = st.builds(
    Transport,
    st.sampled_from(["obfs4", "webtunnel", "meek_lite"]),
    hosts,
    st.integers(1, 65535),
    st.lists(st.tuples(keys, values), max_size=3).map(tuple),
)


@given(transports)
def test_transports_round_trip(made: Transport) -> None:
    assert parse_transport(made.to_text()) == made
    pin = RelayPin(bytes(16), "", (made,))
    assert parse_fragment(pin.to_text()) == pin


@given(st.lists(st.tuples(keys, values), max_size=3).map(tuple))
def test_parameters_are_told_apart_again(parameters: tuple[tuple[str, str], ...]) -> None:
    found: list[list[str]] = []
    current = [""]
    escaped = False
    for character in parameters_text(parameters):
        if escaped or character not in "\\;=":
            current[-1] += character
            escaped = False
        elif character == "\\":
            escaped = True
        elif character == "=":
            current.append("")
        else:
            found.append(current)
            current = [""]
    if parameters:
        found.append(current)
    assert [tuple(pair) for pair in found] == list(parameters)


def test_a_whole_address() -> None:
    url = f"wss://203.0.113.11:8443/a-secret-path-of-22-ch#{PIN.to_text()}"
    assert normalise_relay_url(url) == url
    assert len(url) < 200
    assert "," not in url  # addresses stand between commas in the link of an invite
    assert url_in_requests(url) == "wss://203.0.113.11:8443/a-secret-path-of-22-ch"
    assert without_transports(url) == url.partition("&pt=")[0]
    assert parse_fragment(without_transports(url).partition("#")[2]) == RelayPin(
        PIN.pin, "www.example.org"
    )
    assert blossom_url(url, "x").endswith("/x#" + PIN.to_text())


def test_hosts_have_one_form() -> None:
    assert parse_transport("obfs4;Bridge.EXAMPLE:1").host == "bridge.example"
    assert parse_transport("obfs4;[2001:DB8:0::7]:1").host == "2001:db8::7"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "obfs4",
        "obfs4;",
        "obfs4;1",
        "obfs4;:0",
        "obfs4;:65536",
        "4obfs;:1",
        "rm -rf;:1",
        "obfs4;:1;",
        "obfs4;:1;cert",
        "obfs4;:1;=x",
        "obfs4;:1;cert=%0a",
        "obfs4;:1;cert=%zz",
        "obfs4;:1;cert=%ff",
        "obfs4;:1;cert=%FF",
        "obfs4;:1;cert=%",
        "obfs4;:1;cert=ж",
        "obfs4;a..b:1",
        "obfs4;1.2.3:1",
        "obfs4;[::1:1",
        "obfs4;:1;cert=" + "x" * 510,
        "obfs4;:1;cert=" + "=" * 300,
    ],
)
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(InvalidTransport):
        parse_transport(text)
    with pytest.raises(InvalidFragment):
        parse_fragment(f"{RelayPin(bytes(16)).to_text()}&pt={text}")


def test_no_more_than_a_few() -> None:
    with pytest.raises(InvalidFragment):
        parse_fragment(RelayPin(bytes(16), "", (OBFS4,) * 5).to_text())


@given(st.text(max_size=60))
def test_no_text_raises_anything_else(text: str) -> None:
    for wrong in (text, f"obfs4;:1;{text}", f"obfs4;{text}:1"):
        with contextlib.suppress(InvalidTransport):
            assert parse_transport(parse_transport(wrong).to_text()) == parse_transport(wrong)
