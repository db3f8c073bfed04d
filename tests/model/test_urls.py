"""URLs of relays."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volok.model.urls import (
    InvalidUrl,
    blossom_base,
    blossom_url,
    normalise_relay_url,
    relay_host,
    url_in_requests,
)

pieces = st.sampled_from(".:/?#@[]%- \t\u3002\ud800") | st.sampled_from(
    ["wss://", "ws://", "WSS:", "relay", "Example", "443", "80", "::1", "127.0.0.1", "рф", "ß"]
)

PIN = "A" * 22


@pytest.mark.parametrize(
    ("url", "normal", "host", "base"),
    [
        ("wss://relay.example", "wss://relay.example", "relay.example", "https://relay.example"),
        (" WSS://Relay.EXAMPLE:443/ ", "wss://relay.example", "relay.example", None),
        ("ws://relay.example:80//", "ws://relay.example", "relay.example", "http://relay.example"),
        ("ws://h:443/", "ws://h:443", "h", "http://h:443"),
        ("wss://h./Path/", "wss://h/Path", "h", "https://h"),
        ("wss://h/?key=A%20b", "wss://h?key=A%20b", "h", "https://h"),
        ("ws://[0:0::1]:7000", "ws://[::1]:7000", "::1", "http://[::1]:7000"),
        ("ws://127.0.0.1:7000", "ws://127.0.0.1:7000", "127.0.0.1", "http://127.0.0.1:7000"),
        ("ws://anna.localhost:1", "ws://anna.localhost:1", "anna.localhost", None),
        ("wss://Пример.рф", "wss://xn--e1afmkfd.xn--p1ai", "xn--e1afmkfd.xn--p1ai", None),
    ],
)
def test_normalised(url: str, normal: str, host: str, base: str | None) -> None:
    assert normalise_relay_url(url) == normal
    assert normalise_relay_url(normal) == normal
    assert relay_host(url) == host
    if base is not None:
        assert blossom_base(url) == base


@pytest.mark.parametrize(
    "url",
    [
        "",
        "relay.example",
        "https://relay.example",
        "//relay.example",
        "wss:relay.example",
        "wss://",
        "wss:///path",
        "wss://:443",
        "wss://user@relay.example",
        "wss://user:secret@relay.example",
        "wss://@relay.example",
        "wss://relay.example#",
        "wss://relay.example/#part",
        f"ws://relay.example/#{PIN}",
        f"wss://relay.example/#{PIN}&sni=192.0.2.1",
        f"wss://relay.example#{PIN}#{PIN}",
        "wss://relay.example:0",
        "wss://relay.example:65536",
        "wss://relay.example:x",
        "wss://re lay.example",
        "wss://relay.example/a\nb",
        "wss://relay..example",
        "wss://-relay.example",
        "wss://relay.example\\evil",
        "wss://relay.example/путь",
        'wss://relay.example/"',
        "wss://1.2.3",
        "wss://256.1.1.1",
        "wss://[::1",
        "wss://[::1%25eth0]",
        "wss://[relay.example]",
        "wss://[::1]x",
        "wss://x[::1]",
        "wss://" + "a" * 64,
        "wss://relay.example/" + "a" * 255,
    ],
)
def test_refused(url: str) -> None:
    for function in (normalise_relay_url, relay_host, blossom_base):
        with pytest.raises(InvalidUrl):
            function(url)


@given(st.text(max_size=30) | st.lists(pieces, max_size=10).map("".join))
def test_what_is_no_url_raises_invalid_url(text: str) -> None:
    try:
        normal = normalise_relay_url(text)
    except InvalidUrl:
        return
    assert normal.isascii()
    assert normalise_relay_url(normal) == normal
    assert normal.startswith(("ws://", "wss://"))
    assert relay_host(normal) == relay_host(text)
    assert not set("#@ \\") & set(normal.partition("?")[0].partition("/")[0])


def test_a_pinned_relay_keeps_its_fragment_and_its_secret_path() -> None:
    url = f"wss://h:8443/SECRET#{PIN}&sni=www.example.org"
    assert normalise_relay_url(f"WSS://H:8443/SECRET/#{PIN}&sni=WWW.example.ORG") == url
    assert normalise_relay_url(url) == url
    assert relay_host(url) == "h"
    assert blossom_base(url) == "https://h:8443/SECRET"
    assert blossom_url(url, "upload") == f"https://h:8443/SECRET/upload#{PIN}&sni=www.example.org"
    assert blossom_url("wss://h/path", "upload") == "https://h/upload"
    assert url_in_requests(url) == "wss://h:8443/SECRET"
    assert normalise_relay_url(f"wss://h#{PIN}") == f"wss://h#{PIN}"
